#include "winze/proto/ip/fragment.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "winze/base/bytes.h"

namespace winze::ip {
namespace {

constexpr std::uint16_t kMoreFragments = 0x2000;
constexpr std::uint16_t kReservedFlag = 0x8000;
constexpr std::size_t kLargest = 65535;
// What a fragment costs beside its bytes: a round figure for a piece, its block, and its share of the tables.
constexpr std::size_t kBookkeeping = 128;

// Where the fragmentable part begins.
std::size_t body_at(const Header& header) {
  return header.v6 ? header.fragment_at + kFragmentHeaderSize : header.header_size;
}

// The IPv4 header of all fragments but the first: only options with the copied flag stay (RFC 791 section 3.1).
std::vector<std::uint8_t> later_header(std::span<const std::uint8_t> header) {
  std::vector<std::uint8_t> out(header.begin(), header.begin() + kIpv4HeaderSize);
  for (std::size_t at = kIpv4HeaderSize; at < header.size();) {
    const std::uint8_t kind = header[at];
    if (kind == 0) break;
    const std::size_t size = kind == 1 ? 1 : at + 1 < header.size() ? header[at + 1] : 0;
    if (size == 0 || (kind != 1 && size < 2) || at + size > header.size()) break;
    if ((kind & 0x80) != 0) out.insert(out.end(), header.begin() + at, header.begin() + at + size);
    at += size;
  }
  out.resize((out.size() + 3) / 4 * 4);
  out[0] = static_cast<std::uint8_t>(0x40 | out.size() / 4);
  return out;
}

}  // namespace

namespace {

// The headers of each fragment, and where in them the field of offset and flags is.
struct Heads {
  std::vector<std::uint8_t> first, later;
  std::size_t field_at;
  std::uint16_t field;        // what of it all fragments have
  std::uint16_t more;         // the flag
  std::uint16_t offset_unit;  // the field counts offsets in bytes, divided by this
};

Heads heads_v4(std::span<const std::uint8_t> packet, const Header& header) {
  const auto first = packet.first(header.header_size);
  return {.first = {first.begin(), first.end()},
          .later = later_header(first),
          .field_at = 6,
          .field = static_cast<std::uint16_t>(load_u16(first.data() + 6) & kReservedFlag),
          .more = kMoreFragments,
          .offset_unit = 8};
}

// RFC 8200 section 4.5: the per-fragment headers, then a fragment header of all of them.
Heads heads_v6(std::span<const std::uint8_t> packet, const Header& header) {
  const auto before = packet.first(header.insert_at);
  std::vector<std::uint8_t> head(before.begin(), before.end());
  const std::uint8_t next = std::exchange(head[header.insert_number_at], kFragment);
  head.resize(head.size() + kFragmentHeaderSize);
  std::uint8_t* const fragment = head.data() + header.insert_at;
  fragment[0] = next;
  store_u32(fragment + 4, header.identification);
  return {.first = head, .later = head, .field_at = header.insert_at + 2u, .field = 0, .more = 1, .offset_unit = 1};
}

}  // namespace

bool fragment(Buffer packet, const Header& header, std::size_t mtu, Overhead room, std::vector<Buffer>& out) {
  if (header.size <= mtu) {
    out.push_back(std::move(packet));
    return true;
  }
  if (header.dont_fragment || (header.v6 && header.is_fragment())) return false;
  const auto bytes = std::as_const(packet).span().first(header.size);
  const Heads heads = header.v6 ? heads_v6(bytes, header) : heads_v4(bytes, header);
  const std::size_t least = std::max(mtu, header.v6 ? kIpv6MinimumMtu : kIpv4MinimumMtu);
  if (least < heads.first.size() + 8) return false;
  const std::size_t step = (least - heads.first.size()) / 8 * 8;
  const auto payload = bytes.subspan(header.v6 ? header.insert_at : header.header_size);
  for (std::size_t at = 0; at < payload.size(); at += step) {
    const auto& head = at == 0 ? heads.first : heads.later;
    const auto body = payload.subspan(at, std::min(step, payload.size() - at));
    Buffer piece(room.front + head.size() + body.size() + room.back, room.front);
    piece.append(std::span<const std::uint8_t>(head));
    piece.append(body);
    const bool more = header.more_fragments || at + step < payload.size();
    store_u16(piece.data() + heads.field_at,
              static_cast<std::uint16_t>(heads.field | (more ? heads.more : 0) |
                                         (header.fragment_offset + at) / heads.offset_unit));
    update_length(piece.span());
    out.push_back(std::move(piece));
  }
  return true;
}

std::optional<Buffer> Reassembler::add(std::span<const std::uint8_t> packet, const Header& header, TimePoint now,
                                       Overhead room, const void* owner) {
  on_deadline(now);
  const std::size_t size = header.size - body_at(header);
  if (size == 0 || (header.more_fragments && size % 8 != 0)) {
    ++counters_.malformed;
    return std::nullopt;
  }
  const Key key{source_of(packet), destination_of(packet), header.identification,
                header.v6 ? std::uint8_t{0} : header.protocol, owner};
  auto [found, fresh] = packets_.try_emplace(key);
  if (fresh) {
    found->second.deadline = now + limits_.timeout;
    found->second.age = ages_.insert(ages_.end(), key);
  }
  Partial& partial = found->second;
  if (!insert(partial, packet, header)) {
    drop(found);
    return std::nullopt;
  }
  if (partial.size != 0 && partial.received == partial.size && !partial.head.empty()) {
    Buffer whole = join(partial, room);
    drop(found);
    if (whole.empty()) {
      ++counters_.malformed;
      return std::nullopt;
    }
    ++counters_.joined;
    return whole;
  }
  while (held_ > limits_.bytes) {
    ++counters_.evicted;
    drop(packets_.find(ages_.front()));
  }
  return std::nullopt;
}

// False, with the reason counted, when the fragment ends its packet.
bool Reassembler::insert(Partial& partial, std::span<const std::uint8_t> packet, const Header& header) {
  const auto body = packet.first(header.size).subspan(body_at(header));
  const std::uint32_t begin = header.fragment_offset;
  const auto end = static_cast<std::uint32_t>(begin + body.size());
  const auto next = std::ranges::lower_bound(partial.pieces, begin, {}, &Piece::begin);
  if (next != partial.pieces.end() && next->begin == begin && next->end == end &&
      std::ranges::equal(next->bytes, body)) {
    return true;
  }
  const bool overlaps = (next != partial.pieces.end() && next->begin < end) ||
                        (next != partial.pieces.begin() && std::prev(next)->end > begin);
  const bool beyond = partial.size != 0 && (end > partial.size || (!header.more_fragments && end != partial.size));
  const bool before = !header.more_fragments && !partial.pieces.empty() && partial.pieces.back().end > end;
  if (overlaps || beyond || before) {
    ++counters_.overlaps;
    return false;
  }
  if (partial.pieces.size() == limits_.fragments) {
    ++counters_.evicted;
    return false;
  }
  if (!header.more_fragments) partial.size = end;
  if (begin == 0) {
    // IPv6: the fragment header goes, and the byte that named it names what followed it.
    const std::size_t head_size = header.v6 ? header.fragment_at : header.header_size;
    partial.head.assign(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(head_size));
    if (header.v6) {
      partial.head[header.fragment_number_at] = packet[header.fragment_at];
    } else {
      store_u16(partial.head.data() + 6, static_cast<std::uint16_t>(load_u16(packet.data() + 6) & kReservedFlag));
    }
    hold(partial, head_size);
  }
  partial.received += end - begin;
  partial.pieces.insert(next, Piece{begin, end, {body.begin(), body.end()}});
  hold(partial, body.size() + kBookkeeping);
  return true;
}

// Empty when the whole would be longer than a packet can be.
Buffer Reassembler::join(const Partial& partial, Overhead room) const {
  const std::size_t size = partial.head.size() + partial.size;
  const bool v6 = version_of(partial.head) == 6;
  if (size - (v6 ? kIpv6HeaderSize : 0) > kLargest) return Buffer();
  Buffer whole(room.front + size + room.back, room.front);
  whole.append(std::span<const std::uint8_t>(partial.head));
  for (const Piece& piece : partial.pieces) whole.append(std::span<const std::uint8_t>(piece.bytes));
  update_length(whole.span());
  return whole;
}

void Reassembler::on_deadline(TimePoint now) {
  while (deadline() <= now && !ages_.empty()) {
    ++counters_.timed_out;
    drop(packets_.find(ages_.front()));
  }
}

void Reassembler::hold(Partial& partial, std::size_t bytes) {
  partial.held += bytes;
  held_ += bytes;
}

void Reassembler::drop(Packets::iterator packet) {
  held_ -= packet->second.held;
  ages_.erase(packet->second.age);
  packets_.erase(packet);
}

}  // namespace winze::ip
