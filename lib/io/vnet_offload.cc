#include "vnet_offload.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "winze/base/bytes.h"
#include "winze/base/checksum.h"

namespace winze::vnet {
namespace {

constexpr std::uint8_t kNeedsChecksum = 1;
enum GsoType : std::uint8_t { kNone = 0, kTcp4 = 1, kTcp6 = 4, kEcn = 0x80 };

constexpr std::uint8_t kTcpProtocol = 6;
constexpr std::size_t kIpv4Size = 20;
constexpr std::size_t kIpv6Size = 40;
constexpr std::size_t kTcpSize = 20;
constexpr std::size_t kLargestPacket = 65535;
// In a TCP header.
constexpr std::size_t kSequence = 4, kOffset = 12, kFlags = 13, kChecksumAt = 16;
constexpr std::size_t kUdpChecksumAt = 6;
constexpr std::uint8_t kFin = 0x01, kPush = 0x08, kAck = 0x10, kCwr = 0x80;

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

// Of the TCP segment at `tcp` up to the packet's end, without its own bytes.
InternetChecksum pseudo_header(std::span<const std::uint8_t> packet, std::size_t tcp, std::size_t end) {
  InternetChecksum sum;
  sum.add(is_v4(packet) ? packet.subspan(12, 8) : packet.subspan(8, 32));
  return sum.add_field(kTcpProtocol).add_field(static_cast<std::uint16_t>(end - tcp));
}

void set_length(std::span<std::uint8_t> packet, std::size_t size) {
  if (!is_v4(packet)) return store_u16(packet.data() + 4, static_cast<std::uint16_t>(size - kIpv6Size));
  store_u16(packet.data() + 2, static_cast<std::uint16_t>(size));
  const std::size_t header = (packet[0] & 15u) * 4;
  store_u16(packet.data() + 10, 0);
  InternetChecksum().add(packet.first(header)).store(packet.data() + 10);
}

// --- cutting ---

struct Cut {
  std::size_t tcp;      // where the TCP header begins
  std::size_t headers;  // size of all headers
  std::size_t segment;  // payload of each, in bytes
};

std::optional<Cut> cut_of(const Header& header, std::span<const std::uint8_t> packet) {
  const std::uint8_t type = header[1] & ~kEcn;
  const std::size_t tcp = load_native(&header[6]);
  const Cut cut{tcp, 0, load_native(&header[4])};
  const std::size_t least = type == kTcp4 ? kIpv4Size : kIpv6Size;
  if ((type != kTcp4 && type != kTcp6) || cut.segment == 0 || (header[0] & kNeedsChecksum) == 0) return std::nullopt;
  if (packet.size() < least || is_v4(packet) != (type == kTcp4)) return std::nullopt;
  if (!is_v4(packet) && packet[0] >> 4 != 6) return std::nullopt;
  if (tcp < least || tcp + kTcpSize > packet.size()) return std::nullopt;
  if (type == kTcp4 && (packet[0] & 15u) * 4 != tcp) return std::nullopt;
  const std::size_t headers = tcp + (packet[tcp + kOffset] >> 4) * 4u;
  if (headers < tcp + kTcpSize || headers > packet.size()) return std::nullopt;
  // A segment's length must fit into its IP header.
  if (headers + cut.segment > kLargestPacket) return std::nullopt;
  return Cut{tcp, headers, cut.segment};
}

// Segment `index`, which begins at `offset` of the payload.
Buffer segment_of(std::span<const std::uint8_t> packet, const Cut& cut, std::size_t index, std::size_t offset,
                  Overhead room, BufferPool& pool) {
  const std::size_t payload = packet.size() - cut.headers;
  const std::size_t n = std::min(cut.segment, payload - offset);
  const std::size_t size = cut.headers + n;
  // A copy, because each segment is sealed in a buffer of its own.
  Buffer out = pool.acquire(room.front + size + room.back, room.front);
  out.append(packet.first(cut.headers));
  out.append(packet.subspan(cut.headers + offset, n));
  if (is_v4(packet)) {
    store_u16(out.data() + 4, static_cast<std::uint16_t>(load_u16(packet.data() + 4) + index));
  }
  set_length(out.span(), size);
  std::uint8_t* tcp = out.data() + cut.tcp;
  store_u32(tcp + kSequence, static_cast<std::uint32_t>(load_u32(tcp + kSequence) + offset));
  if (offset + n < payload) tcp[kFlags] &= static_cast<std::uint8_t>(~(kFin | kPush));
  if (index != 0) tcp[kFlags] &= static_cast<std::uint8_t>(~kCwr);
  store_u16(tcp + kChecksumAt, 0);
  pseudo_header(out.span(), cut.tcp, size).add(out.span().subspan(cut.tcp)).store(tcp + kChecksumAt);
  return out;
}

// --- joining ---

// A TCP segment that may be joined with others: no IP options, no fragment, ACK and perhaps PSH alone, with payload.
struct Segment {
  std::size_t tcp;
  std::size_t headers;
  std::size_t payload;
};

std::optional<Segment> segment_at(std::span<const std::uint8_t> packet) {
  if (packet.size() < kIpv4Size + kTcpSize) return std::nullopt;
  const bool v4 = is_v4(packet);
  if (v4) {
    const bool plain = packet[0] == 0x45 && packet[9] == kTcpProtocol && (load_u16(&packet[6]) & 0x3fff) == 0 &&
                       load_u16(&packet[2]) == packet.size();
    if (!plain || InternetChecksum().add(packet.first(kIpv4Size)).folded() != 0xffff) return std::nullopt;
  } else {
    const bool plain = packet[0] >> 4 == 6 && packet.size() >= kIpv6Size + kTcpSize && packet[6] == kTcpProtocol &&
                       load_u16(&packet[4]) + kIpv6Size == packet.size();
    if (!plain) return std::nullopt;
  }
  const std::size_t tcp = v4 ? kIpv4Size : kIpv6Size;
  const std::size_t headers = tcp + (packet[tcp + kOffset] >> 4) * 4u;
  if (headers < tcp + kTcpSize || headers >= packet.size()) return std::nullopt;
  if ((packet[tcp + kFlags] & ~kPush) != kAck) return std::nullopt;
  return Segment{tcp, headers, packet.size() - headers};
}

bool has_right_checksum(std::span<const std::uint8_t> packet, const Segment& s) {
  return pseudo_header(packet, s.tcp, packet.size()).add(packet.subspan(s.tcp)).folded() == 0xffff;
}

// All but lengths, checksums, identification, sequence and PSH alike.
bool same_stream(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b, const Segment& s) {
  const auto same = [&](std::size_t from, std::size_t to) { return std::memcmp(&a[from], &b[from], to - from) == 0; };
  const std::size_t tcp = s.tcp;
  const bool ip = is_v4(a) ? is_v4(b) && same(0, 2) && same(6, 10) && same(12, 20) : same(0, 4) && same(6, 40);
  return ip && same(tcp, tcp + kSequence) && same(tcp + 8, tcp + kFlags) && same(tcp + 14, tcp + kChecksumAt) &&
         same(tcp + 18, s.headers);
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
    } while (offset < packet.size() - cut->headers);
    return true;
  }
  if ((header[0] & kNeedsChecksum) != 0) {
    const std::size_t start = load_native(&header[6]), at = start + load_native(&header[8]);
    if (at + 2 > packet.size()) return false;
    // The field holds the sum of the pseudo header.
    InternetChecksum().add(packet.subspan(start)).store(&packet[at]);
    // In UDP (RFC 768) zero means that there is none.
    if (at - start == kUdpChecksumAt && load_u16(&packet[at]) == 0) store_u16(&packet[at], 0xffff);
  }
  Buffer whole = pool.acquire(room.front + packet.size() + room.back, room.front);
  whole.append(packet);
  out.push_back(std::move(whole));
  return true;
}

std::size_t mergeable(std::span<const std::span<std::uint8_t>> packets) {
  const auto first = segment_at(packets[0]);
  if (!first || packets.size() < 2 || !has_right_checksum(packets[0], *first)) return 1;
  if ((packets[0][first->tcp + kFlags] & kPush) != 0) return 1;
  std::size_t count = 1, total = packets[0].size();
  std::uint32_t next = load_u32(&packets[0][first->tcp + kSequence]) + static_cast<std::uint32_t>(first->payload);
  while (count < packets.size()) {
    const std::span<const std::uint8_t> packet = packets[count];
    const auto s = segment_at(packet);
    if (!s || s->tcp != first->tcp || s->headers != first->headers || s->payload > first->payload) break;
    if (total + s->payload > kLargestPacket || load_u32(&packet[s->tcp + kSequence]) != next) break;
    if (!same_stream(packets[0], packet, *s) || !has_right_checksum(packet, *s)) break;
    ++count;
    total += s->payload;
    next += static_cast<std::uint32_t>(s->payload);
    if (s->payload < first->payload || (packet[s->tcp + kFlags] & kPush) != 0) break;
  }
  return count;
}

std::size_t merge(std::span<const std::span<std::uint8_t>> packets, Header& header) {
  const std::span<std::uint8_t> first = packets.front();
  const Segment s = *segment_at(first);
  std::size_t size = 0;
  for (const auto& packet : packets) size += packet.size() - s.headers;
  size += s.headers;
  set_length(first, size);
  std::uint8_t* tcp = first.data() + s.tcp;
  tcp[kFlags] |= packets.back()[s.tcp + kFlags] & kPush;
  pseudo_header(first, s.tcp, size).store_partial(tcp + kChecksumAt);
  header = {};
  header[0] = kNeedsChecksum;
  header[1] = is_v4(first) ? kTcp4 : kTcp6;
  store_native(&header[2], s.headers);
  store_native(&header[4], s.payload);
  store_native(&header[6], s.tcp);
  store_native(&header[8], kChecksumAt);
  return s.headers;
}

}  // namespace winze::vnet
