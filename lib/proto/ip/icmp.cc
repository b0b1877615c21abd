#include "winze/proto/ip/icmp.h"

#include <algorithm>

#include "winze/base/bytes.h"
#include "winze/base/checksum.h"
#include "winze/proto/ip/header.h"

namespace winze::ip {
namespace {

constexpr std::size_t kIcmpHeaderSize = 8;
constexpr std::uint8_t kUnreachable = 3;
constexpr std::uint8_t kFragmentationNeeded = 4;
constexpr std::uint8_t kTooBigV6 = 2;
constexpr std::size_t kLargestReplyV4 = 576;

bool is_error(const Header& header, std::span<const std::uint8_t> packet) {
  if (header.protocol != kIcmp && header.protocol != kIcmpV6) return false;
  if (header.header_size >= header.size) return true;
  const std::uint8_t type = packet[header.header_size];
  if (header.v6) return type < 128;
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

bool is_single_host(const IpAddress& address) {
  if (address.is_unspecified() || address.is_multicast()) return false;
  return address.is_v6() || address.bytes()[0] < 240;
}

}  // namespace

bool make_packet_too_big(Buffer& packet, std::size_t mtu, const IpAddress& from) {
  const std::span<const std::uint8_t> bytes = packet.span();
  const auto header = parse(bytes);
  if (!header || from.is_v6() != header->v6 || header->fragment_offset != 0 || is_error(*header, bytes)) return false;
  const IpAddress to = source_of(bytes);
  if (!is_single_host(to)) return false;
  // A v6 packet to a group may be answered (RFC 4443 section 2.4 (e.3)).
  if (!header->v6 && !is_single_host(destination_of(bytes))) return false;

  const std::size_t headers = (header->v6 ? kIpv6HeaderSize : kIpv4HeaderSize) + kIcmpHeaderSize;
  const std::size_t quoted =
      std::min<std::size_t>(header->size, (header->v6 ? kIpv6MinimumMtu : kLargestReplyV4) - headers);
  packet.trim_back(packet.size() - quoted);
  std::uint8_t* const icmp = packet.prepend(kIcmpHeaderSize);
  icmp[0] = header->v6 ? kTooBigV6 : kUnreachable;
  icmp[1] = header->v6 ? 0 : kFragmentationNeeded;
  store_u16(icmp + 2, 0);
  store_u32(icmp + 4, static_cast<std::uint32_t>(header->v6 ? mtu : std::min<std::size_t>(mtu, 0xffff)));
  if (header->v6) {
    store_u16(icmp + 2, pseudo_checksum(from, to, kIcmpV6, packet.span()));
  } else {
    InternetChecksum().add(packet.span()).store(icmp + 2);
  }
  return prepend_header(packet, {.source = from,
                                 .destination = to,
                                 .protocol = std::uint8_t{header->v6 ? kIcmpV6 : kIcmp},
                                 .traffic_class = header->traffic_class,
                                 .dont_fragment = false});
}

std::optional<PacketTooBig> parse_packet_too_big(std::span<const std::uint8_t> packet) noexcept {
  const auto header = parse(packet);
  if (!header || header->is_fragment()) return std::nullopt;
  const auto icmp = packet.first(header->size).subspan(header->header_size);
  if (icmp.size() < kIcmpHeaderSize) return std::nullopt;
  PacketTooBig out;
  if (header->v6) {
    if (header->protocol != kIcmpV6 || icmp[0] != kTooBigV6) return std::nullopt;
    if (pseudo_checksum(source_of(packet), destination_of(packet), kIcmpV6, icmp) != 0) return std::nullopt;
    out.mtu = load_u32(icmp.data() + 4);
  } else {
    if (header->protocol != kIcmp || icmp[0] != kUnreachable || icmp[1] != kFragmentationNeeded) return std::nullopt;
    if (InternetChecksum().add(icmp).folded() != 0xffff) return std::nullopt;
    out.mtu = load_u16(icmp.data() + 6);
  }
  out.quoted = icmp.subspan(kIcmpHeaderSize);
  const std::size_t least = version_of(out.quoted) == 4 ? kIpv4HeaderSize : kIpv6HeaderSize;
  if (version_of(out.quoted) != (header->v6 ? 6u : 4u) || out.quoted.size() < least) return std::nullopt;
  if (!header->v6 && out.quoted.size() < (out.quoted[0] & std::size_t{15}) * 4) return std::nullopt;
  return out;
}

}  // namespace winze::ip
