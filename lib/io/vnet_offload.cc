#include "vnet_offload.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "winze/base/bytes.h"
#include "winze/base/checksum.h"

namespace winze::vnet {
namespace {

constexpr std::uint8_t kNeedsChecksum = 1;
enum GsoType : std::uint8_t { kNone = 0, kTcp4 = 1, kTcp6 = 4, kUdpL4 = 5, kEcn = 0x80 };

constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::size_t kIpv4Size = 20;
constexpr std::size_t kIpv6Size = 40;
constexpr std::size_t kTcpSize = 20;
constexpr std::size_t kUdpSize = 8;
constexpr std::size_t kLargestPacket = 65535;
// In a TCP header.
constexpr std::size_t kSequence = 4, kOffset = 12, kFlags = 13, kTcpChecksum = 16;
constexpr std::uint8_t kFin = 0x01, kPush = 0x08, kAck = 0x10, kCwr = 0x80;
// In a UDP header.
constexpr std::size_t kLength = 4, kUdpChecksum = 6;

std::uint16_t load_native(const std::uint8_t* from) {
  std::uint16_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
void store_native(std::uint8_t* to, std::size_t value) {
  const auto narrow = static_cast<std::uint16_t>(value);
  std::memcpy(to, &narrow, sizeof narrow);
}

bool is_v4(std::span<const std::uint8_t> packet) { return packet[0] >> 4 == 4; }

// Where the headers of a TCP segment or UDP datagram in its IP packet are.
struct Layout {
  bool tcp;
  std::size_t at;       // where the transport header begins
  std::size_t headers;  // size of all headers

  std::size_t checksum_at() const { return at + (tcp ? kTcpChecksum : kUdpChecksum); }
};

std::optional<Layout> layout_of(std::span<const std::uint8_t> packet, bool tcp, std::size_t at) {
  if (at + (tcp ? kTcpSize : kUdpSize) > packet.size()) return std::nullopt;
  const std::size_t headers = at + (tcp ? (packet[at + kOffset] >> 4) * std::size_t{4} : kUdpSize);
  if (headers < at + (tcp ? kTcpSize : kUdpSize) || headers > packet.size()) return std::nullopt;
  return Layout{tcp, at, headers};
}

// Of a packet of `size` bytes with the headers at the front of `packet`.
InternetChecksum pseudo_header(std::span<const std::uint8_t> packet, const Layout& layout, std::size_t size) {
  InternetChecksum sum;
  sum.add(is_v4(packet) ? packet.subspan(12, 8) : packet.subspan(8, 32));
  return sum.add_field(layout.tcp ? kTcp : kUdp).add_field(static_cast<std::uint16_t>(size - layout.at));
}

// In UDP (RFC 768) zero means that there is none.
void store_udp_checksum(const InternetChecksum& sum, std::uint8_t* to) {
  sum.store(to);
  if (load_u16(to) == 0) store_u16(to, 0xffff);
}

void complete_checksum(std::span<std::uint8_t> packet, const Layout& layout) {
  std::uint8_t* const field = packet.data() + layout.checksum_at();
  store_u16(field, 0);
  const InternetChecksum sum = pseudo_header(packet, layout, packet.size()).add(packet.subspan(layout.at));
  layout.tcp ? sum.store(field) : store_udp_checksum(sum, field);
}

// In the headers at the front of `packet`, whose own size may be less.
void set_length(std::span<std::uint8_t> packet, const Layout& layout, std::size_t size) {
  if (!layout.tcp) store_u16(packet.data() + layout.at + kLength, static_cast<std::uint16_t>(size - layout.at));
  if (!is_v4(packet)) return store_u16(packet.data() + 4, static_cast<std::uint16_t>(size - kIpv6Size));
  store_u16(packet.data() + 2, static_cast<std::uint16_t>(size));
  const std::size_t header = (packet[0] & 15u) * 4;
  store_u16(packet.data() + 10, 0);
  InternetChecksum().add(packet.first(header)).store(packet.data() + 10);
}

// --- cutting ---

struct Cut {
  Layout layout;
  std::size_t segment;  // payload of each, in bytes
};

std::optional<Cut> cut_of(const Header& header, std::span<const std::uint8_t> packet) {
  const std::uint8_t type = header[1] & ~kEcn;
  const std::size_t at = load_native(&header[6]), segment = load_native(&header[4]);
  if ((type != kTcp4 && type != kTcp6 && type != kUdpL4) || segment == 0 || (header[0] & kNeedsChecksum) == 0) {
    return std::nullopt;
  }
  const bool v4 = is_v4(packet);
  if ((!v4 && packet[0] >> 4 != 6) || (type != kUdpL4 && v4 != (type == kTcp4))) return std::nullopt;
  if (at < (v4 ? kIpv4Size : kIpv6Size) || (v4 && (packet[0] & 15u) * 4 != at)) return std::nullopt;
  const auto layout = layout_of(packet, type != kUdpL4, at);
  // A segment's length must fit into its IP header.
  if (!layout || layout->headers + segment > kLargestPacket) return std::nullopt;
  return Cut{*layout, segment};
}

// Segment `index`, which begins at `offset` of the payload.
Buffer segment_of(std::span<const std::uint8_t> packet, const Cut& cut, std::size_t index, std::size_t offset,
                  Overhead room, BufferPool& pool) {
  const Layout& layout = cut.layout;
  const std::size_t payload = packet.size() - layout.headers;
  const std::size_t n = std::min(cut.segment, payload - offset);
  const std::size_t size = layout.headers + n;
  // A copy, because each segment is sealed in a buffer of its own.
  Buffer out = pool.acquire(room.front + size + room.back, room.front);
  out.append(packet.first(layout.headers));
  out.append(packet.subspan(layout.headers + offset, n));
  if (is_v4(packet)) {
    store_u16(out.data() + 4, static_cast<std::uint16_t>(load_u16(packet.data() + 4) + index));
  }
  set_length(out.span(), layout, size);
  if (layout.tcp) {
    std::uint8_t* tcp = out.data() + layout.at;
    store_u32(tcp + kSequence, static_cast<std::uint32_t>(load_u32(tcp + kSequence) + offset));
    if (offset + n < payload) tcp[kFlags] &= static_cast<std::uint8_t>(~(kFin | kPush));
    if (index != 0) tcp[kFlags] &= static_cast<std::uint8_t>(~kCwr);
  }
  complete_checksum(out.span(), layout);
  return out;
}

// --- joining ---

// A packet that may be joined with others: no IP options, no fragment, with payload; of TCP, ACK and perhaps PSH alone.
std::optional<Layout> joinable(std::span<const std::uint8_t> packet, bool udp_too) {
  if (packet.size() < kIpv4Size + kUdpSize) return std::nullopt;
  const bool v4 = is_v4(packet);
  const std::size_t at = v4 ? kIpv4Size : kIpv6Size;
  if (packet.size() < at) return std::nullopt;
  const std::uint8_t protocol = packet[v4 ? 9 : 6];
  if (protocol != kTcp && !(udp_too && protocol == kUdp)) return std::nullopt;
  if (v4) {
    const bool plain =
        packet[0] == 0x45 && (load_u16(&packet[6]) & 0x3fff) == 0 && load_u16(&packet[2]) == packet.size();
    if (!plain || InternetChecksum().add(packet.first(kIpv4Size)).folded() != 0xffff) return std::nullopt;
  } else if (packet[0] >> 4 != 6 || load_u16(&packet[4]) + kIpv6Size != packet.size()) {
    return std::nullopt;
  }
  const auto layout = layout_of(packet, protocol == kTcp, at);
  if (!layout || layout->headers == packet.size()) return std::nullopt;
  if (layout->tcp) {
    if ((packet[at + kFlags] & ~kPush) != kAck) return std::nullopt;
  } else if (load_u16(&packet[at + kLength]) != packet.size() - at || load_u16(&packet[at + kUdpChecksum]) == 0) {
    return std::nullopt;
  }
  return layout;
}

bool has_right_checksum(std::span<const std::uint8_t> packet, const Layout& layout) {
  return pseudo_header(packet, layout, packet.size()).add(packet.subspan(layout.at)).folded() == 0xffff;
}

// All but lengths, checksums, identification, sequence and PSH alike.
bool same_stream(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b, const Layout& layout) {
  const auto same = [&](std::size_t from, std::size_t to) { return std::memcmp(&a[from], &b[from], to - from) == 0; };
  const std::size_t at = layout.at;
  const bool ip = is_v4(a) ? is_v4(b) && same(0, 2) && same(6, 10) && same(12, 20) : same(0, 4) && same(6, 40);
  if (!ip || !same(at, at + 4)) return false;
  return !layout.tcp ||
         (same(at + 8, at + kFlags) && same(at + 14, at + kTcpChecksum) && same(at + 18, layout.headers));
}

}  // namespace

bool split(const Header& header, std::span<std::uint8_t> packet, Overhead room, BufferPool& pool,
           std::vector<Buffer>& out) {
  if (packet.empty()) return false;
  if ((header[1] & ~kEcn) != kNone) {
    const std::optional<Cut> cut = cut_of(header, packet);
    if (!cut) return false;
    std::size_t offset = 0, index = 0;
    do {
      out.push_back(segment_of(packet, *cut, index++, offset, room, pool));
      offset += cut->segment;
    } while (offset < packet.size() - cut->layout.headers);
    return true;
  }
  if ((header[0] & kNeedsChecksum) != 0) {
    const std::size_t start = load_native(&header[6]), at = start + load_native(&header[8]);
    if (at + 2 > packet.size()) return false;
    // The field holds the sum of the pseudo header.
    const InternetChecksum sum = InternetChecksum().add(packet.subspan(start));
    at - start == kUdpChecksum ? store_udp_checksum(sum, &packet[at]) : sum.store(&packet[at]);
  }
  Buffer whole = pool.acquire(room.front + packet.size() + room.back, room.front);
  whole.append(packet);
  out.push_back(std::move(whole));
  return true;
}

std::size_t mergeable(std::span<const std::span<std::uint8_t>> packets, bool udp) {
  const auto first = joinable(packets[0], udp);
  if (!first || packets.size() < 2 || !has_right_checksum(packets[0], *first)) return 1;
  const std::size_t payload = packets[0].size() - first->headers;
  const auto pushes = [&](std::span<const std::uint8_t> p) {
    return first->tcp && (p[first->at + kFlags] & kPush) != 0;
  };
  if (pushes(packets[0])) return 1;
  std::size_t count = 1, total = packets[0].size();
  std::uint32_t next = load_u32(&packets[0][first->at + kSequence]) + static_cast<std::uint32_t>(payload);
  while (count < packets.size()) {
    const std::span<const std::uint8_t> packet = packets[count];
    const auto layout = joinable(packet, udp);
    if (!layout || layout->tcp != first->tcp || layout->at != first->at || layout->headers != first->headers) break;
    const std::size_t size = packet.size() - layout->headers;
    if (size > payload || total + size > kLargestPacket) break;
    if (first->tcp && load_u32(&packet[layout->at + kSequence]) != next) break;
    if (!same_stream(packets[0], packet, *layout) || !has_right_checksum(packet, *layout)) break;
    ++count;
    total += size;
    next += static_cast<std::uint32_t>(size);
    if (size < payload || pushes(packet)) break;
  }
  return count;
}

std::size_t merge(std::span<const std::span<std::uint8_t>> packets, Header& header) {
  const std::span<std::uint8_t> first = packets.front();
  const Layout layout = *joinable(first, true);
  std::size_t size = layout.headers;
  for (const auto& packet : packets) size += packet.size() - layout.headers;
  const std::size_t payload = first.size() - layout.headers;
  set_length(first, layout, size);
  if (layout.tcp) first[layout.at + kFlags] |= packets.back()[layout.at + kFlags] & kPush;
  pseudo_header(first, layout, size).store_partial(first.data() + layout.checksum_at());
  header = {};
  header[0] = kNeedsChecksum;
  header[1] = !layout.tcp ? kUdpL4 : is_v4(first) ? kTcp4 : kTcp6;
  store_native(&header[2], layout.headers);
  store_native(&header[4], payload);
  store_native(&header[6], layout.at);
  store_native(&header[8], layout.checksum_at() - layout.at);
  return layout.headers;
}

}  // namespace winze::vnet
