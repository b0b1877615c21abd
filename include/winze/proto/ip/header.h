// What the IPsec data plane reads from, and writes into, the header of an IPv4 (RFC 791) or IPv6 (RFC 8200) packet.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "winze/base/address.h"
#include "winze/base/buffer.h"

namespace winze::ip {

inline constexpr std::uint8_t kHopByHop = 0;
inline constexpr std::uint8_t kIcmp = 1;
inline constexpr std::uint8_t kIpv4 = 4;
inline constexpr std::uint8_t kTcp = 6;
inline constexpr std::uint8_t kUdp = 17;
inline constexpr std::uint8_t kIpv6 = 41;
inline constexpr std::uint8_t kRouting = 43;
inline constexpr std::uint8_t kFragment = 44;
inline constexpr std::uint8_t kEsp = 50;
inline constexpr std::uint8_t kAh = 51;
inline constexpr std::uint8_t kIcmpV6 = 58;
inline constexpr std::uint8_t kNoNextHeader = 59;
inline constexpr std::uint8_t kDestinationOptions = 60;

inline constexpr std::size_t kIpv4HeaderSize = 20;
inline constexpr std::size_t kIpv6HeaderSize = 40;
inline constexpr std::size_t kFragmentHeaderSize = 8;
// What every path takes (RFC 8200 section 5; RFC 791 asks for 68, and 576 of a whole packet).
inline constexpr std::size_t kIpv6MinimumMtu = 1280;
inline constexpr std::size_t kIpv4MinimumMtu = 68;

// Offsets are from the first byte of the packet.
struct Header {
  bool v6 = false;
  std::uint8_t traffic_class = 0;  // DSCP (6 bits), ECN (2)
  std::uint8_t hop_limit = 0;
  std::uint8_t protocol = 0;           // of what follows the headers below
  std::uint16_t number_at = 0;         // the byte that names `protocol`
  std::uint16_t header_size = 0;       // with IPv4 options; with all IPv6 extension headers (not ESP, AH)
  std::uint32_t size = 0;              // of the packet; what lies behind is padding
  std::uint16_t insert_at = 0;         // where a transport-mode or fragment header goes
  std::uint16_t insert_number_at = 0;  // the byte that names what stands there
  bool dont_fragment = false;          // IPv6: always, but for a packet joined from its sender's own fragments
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;  // in bytes
  std::uint32_t identification = 0;
  std::uint16_t fragment_at = 0;         // where an IPv6 fragment header stands; 0: none
  std::uint16_t fragment_number_at = 0;  // the byte that names it

  bool is_fragment() const noexcept { return more_fragments || fragment_offset != 0; }
};

// Nothing for what is not a whole, well-formed packet: a wrong length, an extension header that leaves it, fragments
// past 65535 bytes. Checksums are not looked at.
std::optional<Header> parse(std::span<const std::uint8_t> packet) noexcept;

// Of a packet that has a header of its version.
inline unsigned version_of(std::span<const std::uint8_t> packet) noexcept {
  return packet.empty() ? 0 : packet[0] >> 4;
}
std::span<const std::uint8_t> source_bytes(std::span<const std::uint8_t> packet) noexcept;
std::span<const std::uint8_t> destination_bytes(std::span<const std::uint8_t> packet) noexcept;
IpAddress source_of(std::span<const std::uint8_t> packet) noexcept;
IpAddress destination_of(std::span<const std::uint8_t> packet) noexcept;

// In place, with IPv4's checksum kept right.
void set_traffic_class(std::span<std::uint8_t> packet, std::uint8_t value) noexcept;
// Makes the length fields say `packet.size()`, and IPv4's checksum right.
void update_length(std::span<std::uint8_t> packet) noexcept;

struct NewHeader {
  IpAddress source, destination;  // of one version
  std::uint8_t protocol = 0;
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 64;
  bool dont_fragment = true;         // IPv4
  std::uint16_t identification = 0;  // IPv4; of no meaning where dont_fragment is set (RFC 6864)
};
// Puts a header of 20 or 40 bytes in front of what `packet` holds. False when that is too long for one packet.
bool prepend_header(Buffer& packet, const NewHeader& header);

// The sum over a TCP, UDP or ICMPv6 pseudo-header and `payload` (RFC 9293 section 3.1, RFC 8200 section 8.1), as stored
// in a packet: 0 when `payload` holds a right checksum.
std::uint16_t pseudo_checksum(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                              std::span<const std::uint8_t> payload) noexcept;

}  // namespace winze::ip
