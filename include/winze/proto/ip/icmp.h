// The ICMP messages of path-MTU discovery (RFC 1191, RFC 8201): to the sender of a packet that does not fit, and from
// the path.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "winze/base/address.h"
#include "winze/base/buffer.h"

namespace winze::ip {

// Turns `packet` into the message that tells its sender that packets of up to `mtu` bytes pass: ICMPv6 Packet Too Big
// (RFC 4443 section 3.2), or ICMP fragmentation needed (RFC 792, RFC 1191 section 4). `from`: who says so, of the
// packet's version. False, and the packet is untouched, when nobody may be told: it is an ICMP error, a later fragment,
// malformed, or from or to no single host (RFC 1122 section 3.2.2, RFC 4443 section 2.4). The host limits the rate.
bool make_packet_too_big(Buffer& packet, std::size_t mtu, const IpAddress& from);

struct PacketTooBig {
  std::uint32_t mtu = 0;                 // 0: a router older than RFC 1191 did not say
  std::span<const std::uint8_t> quoted;  // the beginning of the packet that did not fit, its IP header whole
};
// Nothing for another packet, or with a wrong checksum. Anybody can send such a message: believe it only about a packet
// that one may have sent, and never below what every path takes (RFC 4301 section 6, RFC 8201 section 4).
std::optional<PacketTooBig> parse_packet_too_big(std::span<const std::uint8_t> packet) noexcept;

}  // namespace winze::ip
