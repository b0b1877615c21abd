// Request targets as proxies get them (RFC 9112 §3.2).
#pragma once

#include <string>
#include <string_view>
#include <system_error>

#include "winze/base/address.h"

namespace winze::http {

// "host", "host:", "host:port" with a name, an IPv4 address, or an IPv6 address in brackets. No user information.
// Error: Errc::kBadTarget.
[[nodiscard]] std::error_code parse_authority(std::string_view text, std::uint16_t default_port, Destination& out);

// http://authority[path][?query], the scheme in any case; other schemes are not proxied. Error: Errc::kBadTarget.
struct AbsoluteTarget {
  Destination destination;
  std::string authority;  // as it was written: the Host field
  std::string origin;     // path and query; "/" when both are absent
};
[[nodiscard]] std::error_code parse_absolute(std::string_view text, AbsoluteTarget& out);

}  // namespace winze::http
