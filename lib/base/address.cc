#include "winze/base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace winze {

IpAddress IpAddress::v4(std::span<const std::uint8_t, 4> bytes) {
  IpAddress a;
  std::copy(bytes.begin(), bytes.end(), a.bytes_.begin());
  return a;
}

IpAddress IpAddress::v6(std::span<const std::uint8_t, 16> bytes) {
  IpAddress a;
  a.v6_ = true;
  std::copy(bytes.begin(), bytes.end(), a.bytes_.begin());
  return a;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
    if (text.find(':') == text.npos) return std::nullopt;
  }
  char zero_terminated[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof zero_terminated || text.find('\0') != text.npos) return std::nullopt;
  std::memcpy(zero_terminated, text.data(), text.size());
  zero_terminated[text.size()] = 0;
  IpAddress a;
  a.v6_ = text.find(':') != text.npos;
  if (inet_pton(a.v6_ ? AF_INET6 : AF_INET, zero_terminated, a.bytes_.data()) != 1) return std::nullopt;
  return a;
}

bool IpAddress::is_unspecified() const {
  return std::ranges::all_of(bytes(), [](std::uint8_t b) { return b == 0; });
}

bool IpAddress::is_loopback() const {
  if (!v6_) return bytes_[0] == 127;
  return std::ranges::all_of(bytes().first(15), [](std::uint8_t b) { return b == 0; }) && bytes_[15] == 1;
}

bool IpAddress::is_multicast() const { return v6_ ? bytes_[0] == 0xff : (bytes_[0] & 0xf0) == 0xe0; }

IpAddress IpAddress::unmapped() const {
  static constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!v6_ || std::memcmp(bytes_.data(), kMapped, sizeof kMapped) != 0) return *this;
  return v4(std::span<const std::uint8_t, 4>(bytes_.data() + 12, 4));
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), text, sizeof text);
  return text;
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  auto d = parse_host_port(text);
  if (!d || d->is_name()) return std::nullopt;
  return Endpoint{*d->address(), d->port};
}

std::string Endpoint::to_string() const { return Destination(*this).to_string(); }

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const std::size_t slash = text.rfind('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned all = address->is_v4() ? 32 : 128;
  if (slash == text.npos) return Prefix{*address, static_cast<std::uint8_t>(all)};
  const std::string_view digits = text.substr(slash + 1);
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  if (error != std::errc() || end != digits.data() + digits.size() || bits > all) return std::nullopt;
  return Prefix{*address, static_cast<std::uint8_t>(bits)};
}

std::string Prefix::to_string() const { return address.to_string() + "/" + std::to_string(bits); }

Destination::Destination(std::string_view to_host, std::uint16_t to_port, Network over) : port(to_port), network(over) {
  if (auto parsed = IpAddress::parse(to_host)) {
    host = *parsed;
  } else {
    host = std::string(to_host);
  }
}

std::string Destination::host_text() const { return is_name() ? *name() : address()->to_string(); }

std::string Destination::to_string() const {
  const std::string text = host_text();
  const bool brackets = !is_name() && address()->is_v6();
  return (brackets ? "[" + text + "]" : text) + ":" + std::to_string(port);
}

std::optional<Destination> parse_host_port(std::string_view text, Network network) {
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos || colon == 0) return std::nullopt;
  const std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  const bool bracketed = host.front() == '[';
  if (bracketed != (host.find(':') != host.npos)) return std::nullopt;
  Destination d(host, port, network);
  if (bracketed && d.is_name()) return std::nullopt;
  return d;
}

}  // namespace winze
