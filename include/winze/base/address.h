// IP addresses, endpoints, and the destinations people dial.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace winze {

// An IPv4 or IPv6 address, in network order. Default: 0.0.0.0.
class IpAddress {
 public:
  constexpr IpAddress() = default;
  static IpAddress v4(std::span<const std::uint8_t, 4> bytes);
  static IpAddress v6(std::span<const std::uint8_t, 16> bytes);
  // "192.0.2.1", "2001:db8::1", also "[2001:db8::1]". No zone, no port.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const { return !v6_; }
  bool is_v6() const { return v6_; }
  bool is_unspecified() const;
  bool is_loopback() const;
  bool is_multicast() const;
  // ::ffff:a.b.c.d becomes a.b.c.d; others stay.
  IpAddress unmapped() const;
  // 4 or 16 bytes.
  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), v6_ ? std::size_t{16} : std::size_t{4}}; }
  std::string to_string() const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  bool v6_ = false;
  std::array<std::uint8_t, 16> bytes_{};
};

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;

  // "192.0.2.1:80", "[2001:db8::1]:80".
  static std::optional<Endpoint> parse(std::string_view text);
  std::string to_string() const;
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

// An address and how many of its bits name the network: an interface's address, or a network.
struct Prefix {
  IpAddress address;
  std::uint8_t bits = 0;

  // "192.0.2.1/24", "2001:db8::/32"; without "/BITS" all bits.
  static std::optional<Prefix> parse(std::string_view text);
  std::string to_string() const;
  friend auto operator<=>(const Prefix&, const Prefix&) = default;
};

enum class Network : std::uint8_t { kTcp, kUdp };

// What a client asks for: a host name as it was given (nobody resolves early), or an address; a port; TCP or UDP.
struct Destination {
  std::variant<IpAddress, std::string> host;
  std::uint16_t port = 0;
  Network network = Network::kTcp;

  Destination() = default;
  // `host` that is textually an IP address (also "[v6]") becomes one.
  Destination(std::string_view to_host, std::uint16_t to_port, Network over = Network::kTcp);
  Destination(IpAddress to_address, std::uint16_t to_port, Network over = Network::kTcp)
      : host(to_address), port(to_port), network(over) {}
  Destination(const Endpoint& to, Network over = Network::kTcp) : Destination(to.address, to.port, over) {}

  bool is_name() const { return std::holds_alternative<std::string>(host); }
  const IpAddress* address() const { return std::get_if<IpAddress>(&host); }
  const std::string* name() const { return std::get_if<std::string>(&host); }
  // The host alone: "example.org", "192.0.2.1", "2001:db8::1".
  std::string host_text() const;
  // "example.org:80", "[2001:db8::1]:80".
  std::string to_string() const;

  friend bool operator==(const Destination&, const Destination&) = default;
};

// "host:port" with a host name, IPv4 address, or bracketed IPv6 address.
std::optional<Destination> parse_host_port(std::string_view text, Network network = Network::kTcp);

}  // namespace winze
