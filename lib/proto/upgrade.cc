#include "proto/upgrade.h"

#include <algorithm>
#include <cstring>

#include "winze/base/ascii.h"
#include "winze/base/base64.h"
#include "winze/base/error.h"
#include "winze/proto/http/error.h"
#include "winze/proto/ws/error.h"

namespace winze::upgrade {
namespace {

constexpr std::string_view kToken = "websocket";
constexpr std::string_view kUserAgent = "Go-http-client/1.1";

constexpr std::string_view kOwnFields[] = {"Host",
                                           "Connection",
                                           "Upgrade",
                                           "Sec-WebSocket-Key",
                                           "Sec-WebSocket-Version",
                                           "Sec-WebSocket-Extensions",
                                           "Content-Length",
                                           "Transfer-Encoding"};

// Room around early data for the headers of layers above.
constexpr Overhead kEarlyRoom{.front = 64, .back = 64};

absl::Status invalid(std::string text) { return absl::InvalidArgumentError(std::move(text)); }

bool is_own_field(std::string_view name) {
  return std::ranges::any_of(kOwnFields, [&](std::string_view own) { return http::equal_ignoring_case(own, name); });
}

// A target ends at a space; '#' never is part of one.
bool fits_target(char c) { return c > ' ' && c < 0x7f && c != '#'; }

std::string make_target(std::string_view path) {
  std::string out;
  if (!path.starts_with('/')) out += '/';
  for (char c : path) {
    if (fits_target(c)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += "0123456789ABCDEF"[byte >> 4];
      out += "0123456789ABCDEF"[byte & 15];
    }
  }
  return out;
}

std::string_view without_port(std::string_view host) {
  const std::size_t colon = host.rfind(':');
  if (colon == host.npos || host.find(']', colon) != host.npos) return host;
  return host.substr(0, colon);
}

}  // namespace

absl::Status validate(std::string_view host, std::string_view path, const std::vector<http::Field>& fields) {
  if (host.empty() || !http::is_field_value(host)) return invalid("host: must be a host name or address");
  if (path.find('#') != path.npos) return invalid("path: must not contain '#'");
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::string at = "fields[" + std::to_string(i) + "]";
    if (!http::is_token(fields[i].name)) return invalid(at + ".name: is not a field name");
    if (is_own_field(fields[i].name)) return invalid(at + ".name: " + fields[i].name + " is set by the upgrade itself");
    if (!http::is_field_value(fields[i].value)) return invalid(at + ".value: has control characters");
  }
  return absl::OkStatus();
}

http::RequestHead make_request(std::string_view host, std::string_view path, const std::vector<http::Field>& fields) {
  http::RequestHead request;
  request.method = "GET";
  request.target = make_target(path);
  request.fields.add("Host", host);
  const bool names_agent = std::ranges::any_of(
      fields, [](const auto& field) { return http::equal_ignoring_case(field.name, "User-Agent"); });
  if (!names_agent) request.fields.add("User-Agent", kUserAgent);
  for (const http::Field& field : fields) request.fields.add(field.name, field.value);
  request.fields.add("Connection", "Upgrade");
  request.fields.add("Upgrade", kToken);
  return request;
}

std::error_code check_response(const http::ResponseHead& response) {
  if (response.status != 101) return http::refusal_of(response.status);
  const bool switched =
      response.fields.has_token("Connection", "upgrade") && response.fields.has_token("Upgrade", kToken);
  return switched ? std::error_code() : ws::Errc::kNotUpgrade;
}

bool is_upgrade(const http::RequestHead& request) {
  return request.method == "GET" && request.version == http::Version::k11 &&
         request.body.framing == http::Body::Framing::kNone && request.fields.has_token("Connection", "upgrade") &&
         request.fields.has_token("Upgrade", kToken);
}

std::string_view origin_form(std::string_view target) {
  if (target.starts_with('/')) return target;
  const std::size_t scheme = target.find("://");
  if (scheme == target.npos) return target;
  const std::size_t path = target.find('/', scheme + 3);
  return path == target.npos ? std::string_view("/") : target.substr(path);
}

std::string decoded_path(std::string_view origin) {
  const std::string_view path = origin.substr(0, origin.find('?'));
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const int high = path[i] == '%' && i + 2 < path.size() ? hex_digit(path[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(path[i + 2]) : -1;
    if (low < 0) {
      out += path[i];
      continue;
    }
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

bool is_for_host(const http::RequestHead& request, std::string_view host) {
  if (host.empty()) return true;
  const std::string* asked = request.fields.find("Host");
  return asked != nullptr && http::equal_ignoring_case(without_port(*asked), without_port(host));
}

http::ResponseHead make_response() {
  http::ResponseHead response;
  response.status = 101;
  response.reason = "Switching Protocols";
  response.fields.add("Upgrade", kToken);
  response.fields.add("Connection", "Upgrade");
  return response;
}

void append_refusal(unsigned status, Buffer& out) {
  http::ResponseHead response;
  response.status = status;
  response.reason = http::reason_of(status);
  if (status == 426) response.fields.add("Sec-WebSocket-Version", "13");
  response.fields.add("Content-Length", "0");
  response.fields.add("Connection", "close");
  http::encode(response, out);
}

std::string encode_early(std::span<const std::uint8_t> bytes) {
  return base64_encode(bytes, Base64Alphabet::kUrl, Base64Padding::kNone);
}

std::optional<std::vector<std::uint8_t>> decode_early(std::string_view text) {
  std::string url(text);
  std::ranges::replace(url, '+', '-');
  std::ranges::replace(url, '/', '_');
  return base64_decode(url, Base64Alphabet::kUrl, Base64Padding::kLenient);
}

void prepend_early(std::vector<std::uint8_t>& early, Buffer& data) {
  if (early.empty()) return;
  // A copy, once per connection and at most as long as a head.
  if (data.empty()) {
    data = Buffer::copy_of(early, kEarlyRoom);
  } else {
    std::memcpy(data.prepend(early.size()), early.data(), early.size());
  }
  early = {};
}

}  // namespace winze::upgrade
