// Paths of Unix sockets: "/path", "@abstract", "@@padded" (abstract, padded with zeros to the full length).
#pragma once

#include <string_view>
#include <system_error>

#include "socket_stream.h"

namespace winze {

// Errc::kUnsupported for an empty or over-long path.
std::error_code to_unix_sockaddr(std::string_view path, sockaddr_any& out);

}  // namespace winze
