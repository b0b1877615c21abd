#include "winze/proto/esp/mode.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "beet.h"
#include "encapsulate.h"
#include "winze/base/bytes.h"
#include "winze/base/checksum.h"
#include "winze/proto/esp/udp_encap.h"

namespace winze::esp {
namespace {

// The headers that kTransport leaves in front of ESP; more of them than this would be an attack.
constexpr std::size_t kLargestHead = 256;

struct Head {
  std::array<std::uint8_t, kLargestHead> bytes;
  std::size_t size = 0;

  // Takes the first `n` bytes off a packet.
  bool take(Buffer& packet, std::size_t n) {
    if (n > bytes.size()) return false;
    std::memcpy(bytes.data(), packet.data(), n);
    packet.trim_front(n);
    size = n;
    return true;
  }
  // Puts them back; what follows them is of `protocol`, which the byte at `number_at` tells.
  Drop put(Buffer& packet, std::size_t number_at, std::uint8_t protocol) const {
    const std::size_t fixed = bytes[0] >> 4 == 6 ? ip::kIpv6HeaderSize : 0;
    if (size + packet.size() - fixed > 65535) return Drop::kTooBig;
    std::memcpy(packet.prepend(size), bytes.data(), size);
    packet.data()[number_at] = protocol;
    ip::update_length(packet.span());
    return Drop::kNone;
  }
};

bool dont_fragment(DfPolicy policy, const ip::Header& inner) {
  return policy == DfPolicy::kSet || (policy == DfPolicy::kCopy && inner.dont_fragment);
}

void prepend_udp(Buffer& packet, const Encapsulation& how) {
  std::uint8_t* const udp = packet.prepend(kUdpHeaderSize);
  store_u16(udp, how.local_port);
  store_u16(udp + 2, how.remote_port);
  store_u16(udp + 4, static_cast<std::uint16_t>(packet.size()));
  store_u16(udp + 6, 0);
}

// IPv4 needs no checksum (RFC 3948 section 2.1); IPv6 does.
void complete_udp(std::span<std::uint8_t> packet, std::size_t udp_at) {
  if (ip::version_of(packet) != 6) return;
  const auto udp = packet.subspan(udp_at);
  const std::uint16_t sum = ip::pseudo_checksum(ip::source_of(packet), ip::destination_of(packet), ip::kUdp, udp);
  store_u16(udp.data() + 6, sum == 0 ? 0xffff : sum);
}

// For a NAT that changed what the pseudo-header covers. UDP without a checksum stays without.
void mend_checksum(std::span<std::uint8_t> packet, const ip::Header& header) {
  if (header.is_fragment()) return;
  const auto payload = packet.subspan(header.header_size);
  const bool tcp = header.protocol == ip::kTcp;
  if ((!tcp && header.protocol != ip::kUdp) || payload.size() < (tcp ? 20u : 8u)) return;
  std::uint8_t* const at = payload.data() + (tcp ? 16 : 6);
  if (!tcp && load_u16(at) == 0) return;
  store_u16(at, 0);
  const std::uint16_t sum =
      ip::pseudo_checksum(ip::source_of(packet), ip::destination_of(packet), header.protocol, payload);
  store_u16(at, !tcp && sum == 0 ? 0xffff : sum);
}

Drop finish_transport(const Encapsulation& how, Buffer& packet, ip::Header& inner) {
  const auto header = ip::parse(packet.span());
  if (!header) return Drop::kBadInner;
  inner = *header;
  if (how.behind_nat) mend_checksum(packet.span(), inner);
  return Drop::kNone;
}

Drop finish_beet(const Encapsulation& how, Buffer& packet, std::uint8_t next_header, const Outer& outer,
                 ip::Header& inner) {
  const Drop drop = beet::unwrap(packet, next_header, outer, how.inner_remote, how.inner_local);
  if (drop != Drop::kNone) return drop;
  const auto header = ip::parse(packet.span());
  if (!header) return Drop::kBadInner;
  inner = *header;
  return Drop::kNone;
}

}  // namespace

Outer outer_of(const Encapsulation& how, const ip::Header& inner) noexcept {
  return {.source = how.local,
          .destination = how.remote,
          .traffic_class = ip::outer_traffic_class(inner.traffic_class, how.ecn, how.dscp),
          .hop_limit = how.hop_limit,
          .dont_fragment = dont_fragment(how.df, inner)};
}

Drop finish_tunnel(Buffer& packet, std::uint8_t next_header, const Outer& outer, ip::Header& inner) {
  if (next_header != kNextHeaderV4 && next_header != kNextHeaderV6) return Drop::kBadNextHeader;
  const auto header = ip::parse(packet.span());
  if (!header || header->v6 != (next_header == kNextHeaderV6)) return Drop::kBadInner;
  packet.trim_back(packet.size() - header->size);  // traffic flow confidentiality
  const auto traffic_class = ip::inner_traffic_class(header->traffic_class, outer.traffic_class);
  if (!traffic_class) return Drop::kCongestion;
  inner = *header;
  if (*traffic_class != inner.traffic_class) {
    inner.traffic_class = *traffic_class;
    ip::set_traffic_class(packet.span(), *traffic_class);
  }
  return Drop::kNone;
}

Drop seal(OutboundSa& sa, const Encapsulation& how, Buffer& packet, const ip::Header& header, Outer& outer) {
  packet.trim_back(packet.size() - header.size);
  if (how.mode != Mode::kTransport) outer = outer_of(how, header);
  if (how.mode == Mode::kTunnel) return sa.seal(packet, header.v6 ? kNextHeaderV6 : kNextHeaderV4);
  if (header.is_fragment()) return sa.count(Drop::kFragment);
  if (how.mode == Mode::kTransport) {
    outer = {.source = ip::source_of(packet.span()),
             .destination = ip::destination_of(packet.span()),
             .traffic_class = header.traffic_class,
             .hop_limit = header.hop_limit,
             .dont_fragment = header.dont_fragment};
    const std::uint8_t next_header = packet.data()[header.insert_number_at];
    packet.trim_front(header.insert_at);
    return sa.seal(packet, next_header);
  }
  if (ip::source_of(packet.span()) != how.inner_local || ip::destination_of(packet.span()) != how.inner_remote) {
    return sa.count(Drop::kSelectorMismatch);
  }
  outer.hop_limit = header.hop_limit;
  return sa.seal(packet, beet::wrap(packet, header));
}

Drop open(InboundSa& sa, const Encapsulation& how, Buffer& packet, const Outer& outer, Opened& opened,
          ip::Header& inner) {
  opened = sa.open(packet);
  if (opened.drop != Drop::kNone) return opened.drop;
  Drop drop = Drop::kNone;
  switch (how.mode) {
    case Mode::kTunnel:
      drop = finish_tunnel(packet, opened.next_header, outer, inner);
      break;
    case Mode::kTransport:
      drop = ip::prepend_header(packet, {.source = outer.source,
                                         .destination = outer.destination,
                                         .protocol = opened.next_header,
                                         .traffic_class = outer.traffic_class,
                                         .hop_limit = outer.hop_limit,
                                         .dont_fragment = outer.dont_fragment})
                 ? finish_transport(how, packet, inner)
                 : Drop::kTooBig;
      break;
    case Mode::kBeet:
      drop = finish_beet(how, packet, opened.next_header, outer, inner);
      break;
  }
  opened.drop = drop;
  return drop == Drop::kNone ? drop : sa.count(drop);
}

Drop seal_packet(OutboundSa& sa, const Encapsulation& how, Buffer& packet, const ip::Header& header) {
  const bool udp = how.remote_port != 0;
  if (how.mode == Mode::kTransport) {
    if (header.is_fragment()) return sa.count(Drop::kFragment);
    packet.trim_back(packet.size() - header.size);
    Head head;
    const std::uint8_t next_header = packet.data()[header.insert_number_at];
    if (!head.take(packet, header.insert_at)) return sa.count(Drop::kMalformed);
    Drop drop = sa.seal(packet, next_header);
    if (drop != Drop::kNone) return drop;
    if (udp) prepend_udp(packet, how);
    drop = head.put(packet, header.insert_number_at, udp ? ip::kUdp : kProtocol);
    if (drop != Drop::kNone) return sa.count(drop);
    if (udp) complete_udp(packet.span(), head.size);
    return Drop::kNone;
  }
  Outer outer;
  const Drop drop = seal(sa, how, packet, header, outer);
  if (drop != Drop::kNone) return drop;
  if (udp) prepend_udp(packet, how);
  if (!ip::prepend_header(packet, {.source = outer.source,
                                   .destination = outer.destination,
                                   .protocol = udp ? ip::kUdp : kProtocol,
                                   .traffic_class = outer.traffic_class,
                                   .hop_limit = outer.hop_limit,
                                   .dont_fragment = outer.dont_fragment})) {
    return sa.count(Drop::kTooBig);
  }
  if (udp) complete_udp(packet.span(), how.local.is_v6() ? ip::kIpv6HeaderSize : ip::kIpv4HeaderSize);
  return Drop::kNone;
}

Drop open_packet(InboundSa& sa, const Encapsulation& how, Buffer& packet, Opened& opened, ip::Header& inner) {
  const auto dropped = [&](Drop drop) {
    opened.drop = drop;
    return sa.count(drop);
  };
  const auto header = ip::parse(packet.span());
  if (!header) return dropped(Drop::kMalformed);
  if (header->is_fragment()) return dropped(Drop::kFragment);
  const bool udp = how.remote_port != 0;
  if (header->protocol != (udp ? ip::kUdp : kProtocol)) return dropped(Drop::kMalformed);
  packet.trim_back(packet.size() - header->size);
  const std::size_t before = header->header_size + (udp ? kUdpHeaderSize : 0);
  if (packet.size() < before) return dropped(Drop::kMalformed);

  if (how.mode != Mode::kTransport) {
    const Outer outer{.traffic_class = header->traffic_class, .hop_limit = header->hop_limit};
    packet.trim_front(before);
    return open(sa, how, packet, outer, opened, inner);
  }
  Head head;
  if (!head.take(packet, header->header_size)) return dropped(Drop::kMalformed);
  packet.trim_front(before - header->header_size);
  opened = sa.open(packet);
  if (opened.drop != Drop::kNone) return opened.drop;
  Drop drop = head.put(packet, header->number_at, opened.next_header);
  if (drop == Drop::kNone) drop = finish_transport(how, packet, inner);
  return drop == Drop::kNone ? drop : dropped(drop);
}

namespace {
std::size_t outer_size(const Encapsulation& how) {
  return (how.local.is_v6() ? ip::kIpv6HeaderSize : ip::kIpv4HeaderSize) + (how.remote_port != 0 ? kUdpHeaderSize : 0);
}
}  // namespace

Overhead overhead_of(const OutboundSa& sa, const Encapsulation& how) noexcept {
  return sa.overhead() + Overhead{outer_size(how) + (how.mode == Mode::kBeet ? beet::kPseudoHeaderSize : 0), 0};
}

std::size_t inner_mtu(const OutboundSa& sa, const Encapsulation& how, std::size_t path_mtu) noexcept {
  const std::size_t outer = outer_size(how);
  if (path_mtu <= outer) return 0;
  const std::size_t payload = sa.largest_payload(path_mtu - outer);
  if (how.mode == Mode::kTunnel || payload == 0) return payload;
  const bool v6 = how.mode == Mode::kBeet ? how.inner_local.is_v6() : how.local.is_v6();
  return payload + (v6 ? ip::kIpv6HeaderSize : ip::kIpv4HeaderSize);
}

}  // namespace winze::esp
