#include "unix_address.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "winze/base/error.h"

namespace winze {

std::error_code to_unix_sockaddr(std::string_view path, sockaddr_any& out) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const bool padded = path.starts_with("@@");
  const bool abstract = path.starts_with('@');
  if (padded) path.remove_prefix(1);
  if (path.empty() || path.size() >= sizeof address.sun_path) return Errc::kUnsupported;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (abstract) address.sun_path[0] = 0;
  std::size_t size = offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1);
  if (padded) size = sizeof address;
  std::memcpy(out.bytes, &address, sizeof address);
  out.size = static_cast<unsigned>(size);
  return {};
}

}  // namespace winze
