// Traffic selectors: which packets a security policy, or an SA, is for (RFC 4301 section 4.4.1.1, RFC 7296 section
// 3.13).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/address.h"
#include "winze/proto/ip/header.h"

namespace winze::ip {

// What a packet is judged by. For ICMP, both ports are type * 256 + code (RFC 7296 section 3.13.1).
struct Flow {
  IpAddress source, destination;
  std::uint8_t protocol = 0;
  bool ports_known = false;  // not in later fragments, cut packets, or of a protocol that has none
  std::uint16_t source_port = 0, destination_port = 0;

  friend bool operator==(const Flow&, const Flow&) = default;
};
Flow flow_of(std::span<const std::uint8_t> packet, const Header& header) noexcept;

// One end of the traffic.
struct Selector {
  static constexpr std::uint8_t kAnyProtocol = 0;

  IpAddress first, last;  // of one version
  std::uint8_t protocol = kAnyProtocol;
  // All ports: 0 to 65535. With other ranges a packet whose ports are unknown does not match.
  std::uint16_t first_port = 0, last_port = 65535;

  // The text is "ADDRESS", "ADDRESS/BITS" or "ADDRESS-ADDRESS", then perhaps "[PROTOCOL]" or "[PROTOCOL/PORT]", with
  // names (tcp, udp, icmp, icmp6) or numbers, and PORT one or a range: "10.0.0.0/8[tcp/80-90]".
  static std::optional<Selector> parse(std::string_view text);
  // All of the addresses with the same first `bits` bits.
  static Selector prefix(const IpAddress& address, unsigned bits);
  static Selector any(bool v6) { return prefix(v6 ? IpAddress::v6(kZeros) : IpAddress(), 0); }

  bool any_port() const noexcept { return first_port == 0 && last_port == 65535; }
  bool covers(const IpAddress& address) const noexcept { return first <= address && address <= last; }
  bool covers_port(bool known, std::uint16_t port) const noexcept {
    return any_port() || (known && first_port <= port && port <= last_port);
  }
  std::string to_string() const;
  friend bool operator==(const Selector&, const Selector&) = default;

 private:
  static constexpr std::uint8_t kZeros[16] = {};
};

// A packet is covered when one local and one remote selector cover it. An empty list covers nothing.
struct SelectorPair {
  std::vector<Selector> local, remote;

  bool covers_outbound(const Flow& flow) const noexcept;
  bool covers_inbound(const Flow& flow) const noexcept;
  // The same for a packet whose ports cannot be seen: whether any ports would do.
  bool covers_inbound_but_ports(const Flow& flow) const noexcept;
  // Whether a packet's ports matter, so that only whole packets can be judged.
  bool needs_ports() const noexcept;
  // 0.0.0.0/0 and ::/0 at both ends.
  static SelectorPair any();

  friend bool operator==(const SelectorPair&, const SelectorPair&) = default;
};

// What is for the one address is for the other instead.
void move_host(std::vector<Selector>& selectors, const IpAddress& from, const IpAddress& to);

}  // namespace winze::ip
