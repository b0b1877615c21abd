#include "uri.h"

#include <algorithm>
#include <charconv>

#include "json_value.h"
#include "winze/base/address.h"
#include "winze/base/ascii.h"
#include "winze/proto/host_name.h"

namespace winze::config {

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const char l = lower(c);
    if ((l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += {'%', kDigits[static_cast<unsigned char>(c) >> 4], kDigits[static_cast<unsigned char>(c) & 15]};
    }
  }
  return out;
}

absl::StatusOr<Parameters> Parameters::parse(std::string_view query) {
  Parameters out;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view item = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (item.empty()) continue;
    const std::size_t equals = std::min(item.find('='), item.size());
    const auto name = percent_decode(item.substr(0, equals));
    const auto value = percent_decode(item.substr(std::min(equals + 1, item.size())));
    if (!name || !value)
      return absl::InvalidArgumentError("query: a % without two hexadecimal digits in " + in_quotes(item));
    if (std::ranges::any_of(out.all_, [&](const auto& other) { return other.first == *name; })) {
      return absl::InvalidArgumentError(in_quotes(*name) + ": this parameter is there twice");
    }
    out.all_.emplace_back(*name, *value);
  }
  return out;
}

std::string Parameters::take(std::string_view name) {
  asked_.emplace(name);
  const auto found = std::ranges::find(all_, name, &std::pair<std::string, std::string>::first);
  return found != all_.end() ? found->second : std::string();
}

absl::Status Parameters::finish() const {
  for (const auto& [name, value] : all_) {
    if (value.empty() || asked_.contains(name)) continue;
    std::string known;
    for (const std::string& each : asked_) known += (known.empty() ? "" : ", ") + each;
    return absl::InvalidArgumentError(in_quotes(name) + ": unknown parameter; known here are " + known);
  }
  return absl::OkStatus();
}

absl::Status parse_authority(std::string_view text, Uri& out) {
  std::string_view host = text, port;
  const bool bracketed = text.starts_with('[');
  const std::size_t colon = text.rfind(':');
  if (colon != text.npos && (!bracketed || (colon > 0 && text[colon - 1] == ']'))) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (port.empty() || error != std::errc() || end != port.data() + port.size() || out.port == 0) {
    return absl::InvalidArgumentError("port: expected a number from 1 to 65535, found " + in_quotes(port));
  }
  const bool is_address = IpAddress::parse(host).has_value();
  if (is_address ? !bracketed && host.find(':') != host.npos : !is_host_name(host)) {
    return absl::InvalidArgumentError("host: expected a name, an IPv4 address, or an IPv6 address in brackets, found " +
                                      in_quotes(host));
  }
  out.host = bracketed ? std::string(host.substr(1, host.size() - 2)) : std::string(host);
  return absl::OkStatus();
}

absl::StatusOr<Uri> parse_uri(std::string_view text) {
  const std::size_t question = std::min(text.find('?'), text.size());
  auto parameters = Parameters::parse(text.substr(std::min(question + 1, text.size())));
  if (!parameters.ok()) return parameters.status();
  text = text.substr(0, question);
  const std::size_t at = text.rfind('@');
  if (at == text.npos) return absl::InvalidArgumentError("link: expected user@host:port, found no @");
  Uri out;
  const auto user = percent_decode(text.substr(0, at));
  if (!user) return absl::InvalidArgumentError("user: a % without two hexadecimal digits");
  out.user = *user;
  out.parameters = std::move(*parameters);
  std::string_view authority = text.substr(at + 1);
  if (authority.ends_with('/')) authority.remove_suffix(1);
  if (absl::Status status = parse_authority(authority, out); !status.ok()) return status;
  return out;
}

std::string host_in_authority(const std::string& host) { return host.find(':') != host.npos ? "[" + host + "]" : host; }

}  // namespace winze::config
