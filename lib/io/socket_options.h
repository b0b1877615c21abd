// SocketOptions on a descriptor.
#pragma once

#include <system_error>

#include "winze/io/tcp.h"

namespace winze {

enum class SocketRole { kDial, kListen };
// `family`: AF_INET, AF_INET6 or AF_UNIX. The first option the system refuses is the error.
std::error_code apply(const SocketOptions& options, int fd, int family, SocketRole role);

}  // namespace winze
