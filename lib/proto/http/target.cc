#include "winze/proto/http/target.h"

#include <algorithm>
#include <charconv>

#include "winze/proto/host_name.h"
#include "winze/proto/http/error.h"
#include "winze/proto/http/fields.h"

namespace winze::http {

std::error_code parse_authority(std::string_view text, std::uint16_t default_port, Destination& out) {
  const bool bracketed = text.starts_with('[');
  const std::size_t host_end = bracketed ? text.find(']') : text.find(':');
  if (bracketed && host_end == text.npos) return Errc::kBadTarget;
  const std::string_view host = text.substr(0, std::min(bracketed ? host_end + 1 : host_end, text.size()));
  std::string_view port_text = text.substr(host.size());
  std::uint16_t port = default_port;
  if (!port_text.empty()) {
    if (port_text.front() != ':') return Errc::kBadTarget;
    port_text.remove_prefix(1);
  }
  if (!port_text.empty()) {
    const char* end = port_text.data() + port_text.size();
    const auto [stop, error] = std::from_chars(port_text.data(), end, port);
    if (error != std::errc() || stop != end) return Errc::kBadTarget;
  }
  Destination parsed(host, port);
  if (parsed.is_name() && !is_host_name(host)) return Errc::kBadTarget;
  out = std::move(parsed);
  return {};
}

std::error_code parse_absolute(std::string_view text, AbsoluteTarget& out) {
  constexpr std::string_view kScheme = "http://";
  if (!equal_ignoring_case(text.substr(0, kScheme.size()), kScheme)) return Errc::kBadTarget;
  text.remove_prefix(kScheme.size());
  if (text.find('#') != text.npos) return Errc::kBadTarget;
  const std::size_t authority_end = std::min(text.find_first_of("/?"), text.size());
  out.authority = text.substr(0, authority_end);
  out.origin = text.substr(authority_end);
  if (!out.origin.starts_with('/')) out.origin.insert(out.origin.begin(), '/');
  return parse_authority(out.authority, 80, out.destination);
}

}  // namespace winze::http
