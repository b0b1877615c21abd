#include "winze/proto/ip/header.h"

#include <algorithm>
#include <cstring>

#include "winze/base/bytes.h"
#include "winze/base/checksum.h"

namespace winze::ip {
namespace {

constexpr std::size_t kLargest = 65535;

std::optional<Header> parse_v4(std::span<const std::uint8_t> packet) noexcept {
  if (packet.size() < kIpv4HeaderSize) return std::nullopt;
  const std::uint8_t* const p = packet.data();
  Header h;
  h.header_size = static_cast<std::uint16_t>((p[0] & 15) * 4);
  h.size = load_u16(p + 2);
  if (h.header_size < kIpv4HeaderSize || h.size < h.header_size || h.size > packet.size()) return std::nullopt;
  const std::uint16_t fragment = load_u16(p + 6);
  h.traffic_class = p[1];
  h.identification = load_u16(p + 4);
  h.dont_fragment = (fragment & 0x4000) != 0;
  h.more_fragments = (fragment & 0x2000) != 0;
  h.fragment_offset = static_cast<std::uint16_t>((fragment & 0x1fff) * 8);
  h.hop_limit = p[8];
  h.protocol = p[9];
  h.insert_at = h.header_size;
  h.insert_number_at = 9;
  h.number_at = 9;
  if (h.fragment_offset + h.size - h.header_size > kLargest) return std::nullopt;
  return h;
}

// Walks the extension headers. A destination-options header belongs to the unfragmentable part only when a routing
// header follows it (RFC 8200 section 4.5).
std::optional<Header> parse_v6(std::span<const std::uint8_t> packet) noexcept {
  if (packet.size() < kIpv6HeaderSize) return std::nullopt;
  const std::uint8_t* const p = packet.data();
  Header h;
  h.v6 = true;
  h.size = static_cast<std::uint32_t>(kIpv6HeaderSize + load_u16(p + 4));
  if (h.size > packet.size()) return std::nullopt;
  h.traffic_class = static_cast<std::uint8_t>(load_u16(p) >> 4);
  h.hop_limit = p[7];
  h.dont_fragment = true;
  h.insert_at = kIpv6HeaderSize;
  h.insert_number_at = 6;
  std::size_t at = kIpv6HeaderSize, number_at = 6;
  bool may_insert_later = true;
  for (;;) {
    const std::uint8_t kind = p[number_at];
    if (kind == kFragment) {
      if (at + kFragmentHeaderSize > h.size || h.fragment_at != 0) return std::nullopt;
      h.fragment_at = static_cast<std::uint16_t>(at);
      h.fragment_number_at = static_cast<std::uint16_t>(number_at);
      const std::uint16_t fragment = load_u16(p + at + 2);
      h.more_fragments = (fragment & 1) != 0;
      h.fragment_offset = fragment & 0xfff8;
      h.identification = load_u32(p + at + 4);
      may_insert_later = false;
      number_at = at;
      at += kFragmentHeaderSize;
      if (h.fragment_offset != 0) break;  // what follows is not a header
      continue;
    }
    if (kind != kHopByHop && kind != kRouting && kind != kDestinationOptions) break;
    if (at + 8 > h.size) return std::nullopt;
    const std::size_t length = (std::size_t{p[at + 1]} + 1) * 8;
    if (at + length > h.size) return std::nullopt;
    number_at = at;
    at += length;
    if (may_insert_later && kind != kDestinationOptions) {
      h.insert_at = static_cast<std::uint16_t>(at);
      h.insert_number_at = static_cast<std::uint16_t>(number_at);
    }
  }
  h.protocol = p[number_at];
  h.number_at = static_cast<std::uint16_t>(number_at);
  h.header_size = static_cast<std::uint16_t>(at);
  if (h.fragment_offset + h.size - at > kLargest) return std::nullopt;
  return h;
}

void update_checksum(std::uint8_t* header) noexcept {
  store_u16(header + 10, 0);
  InternetChecksum().add({header, (header[0] & std::size_t{15}) * 4}).store(header + 10);
}

IpAddress address_of(std::span<const std::uint8_t> bytes) noexcept {
  return bytes.size() == 4 ? IpAddress::v4(bytes.first<4>()) : IpAddress::v6(bytes.first<16>());
}

}  // namespace

std::optional<Header> parse(std::span<const std::uint8_t> packet) noexcept {
  switch (version_of(packet)) {
    case 4:
      return parse_v4(packet);
    case 6:
      return parse_v6(packet);
    default:
      return std::nullopt;
  }
}

std::span<const std::uint8_t> source_bytes(std::span<const std::uint8_t> packet) noexcept {
  return version_of(packet) == 4 ? packet.subspan(12, 4) : packet.subspan(8, 16);
}
std::span<const std::uint8_t> destination_bytes(std::span<const std::uint8_t> packet) noexcept {
  return version_of(packet) == 4 ? packet.subspan(16, 4) : packet.subspan(24, 16);
}
IpAddress source_of(std::span<const std::uint8_t> packet) noexcept { return address_of(source_bytes(packet)); }
IpAddress destination_of(std::span<const std::uint8_t> packet) noexcept {
  return address_of(destination_bytes(packet));
}

void set_traffic_class(std::span<std::uint8_t> packet, std::uint8_t value) noexcept {
  std::uint8_t* const p = packet.data();
  if (version_of(packet) == 4) {
    p[1] = value;
    return update_checksum(p);
  }
  p[0] = static_cast<std::uint8_t>(0x60 | value >> 4);
  p[1] = static_cast<std::uint8_t>((p[1] & 15) | value << 4);
}

void update_length(std::span<std::uint8_t> packet) noexcept {
  std::uint8_t* const p = packet.data();
  if (version_of(packet) == 4) {
    store_u16(p + 2, static_cast<std::uint16_t>(packet.size()));
    return update_checksum(p);
  }
  store_u16(p + 4, static_cast<std::uint16_t>(packet.size() - kIpv6HeaderSize));
}

bool prepend_header(Buffer& packet, const NewHeader& header) {
  const bool v4 = header.source.is_v4();
  if (packet.size() > kLargest - (v4 ? kIpv4HeaderSize : 0)) return false;
  const std::size_t payload_size = packet.size();
  std::uint8_t* const p = packet.prepend(v4 ? kIpv4HeaderSize : kIpv6HeaderSize);
  if (v4) {
    p[0] = 0x45;
    p[1] = header.traffic_class;
    store_u16(p + 4, header.identification);
    store_u16(p + 6, header.dont_fragment ? 0x4000 : 0);
    p[8] = header.hop_limit;
    p[9] = header.protocol;
    std::ranges::copy(header.source.bytes(), p + 12);
    std::ranges::copy(header.destination.bytes(), p + 16);
    update_length(packet.span());
    return true;
  }
  store_u32(p, 0x60000000u | std::uint32_t{header.traffic_class} << 20);
  store_u16(p + 4, static_cast<std::uint16_t>(payload_size));
  p[6] = header.protocol;
  p[7] = header.hop_limit;
  std::ranges::copy(header.source.bytes(), p + 8);
  std::ranges::copy(header.destination.bytes(), p + 24);
  return true;
}

std::uint16_t pseudo_checksum(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                              std::span<const std::uint8_t> payload) noexcept {
  InternetChecksum sum;
  sum.add(source.bytes()).add(destination.bytes()).add_field(protocol);
  sum.add_field(static_cast<std::uint16_t>(payload.size() >> 16)).add_field(static_cast<std::uint16_t>(payload.size()));
  sum.add(payload);
  std::uint8_t stored[2];
  sum.store(stored);
  return load_u16(stored);
}

}  // namespace winze::ip
