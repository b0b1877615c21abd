#include "winze/proto/ip/tcp_mss.h"

#include <algorithm>

#include "winze/base/bytes.h"

namespace winze::ip {
namespace {

constexpr std::size_t kTcpHeaderSize = 20;
constexpr std::uint8_t kSyn = 2;
constexpr std::uint8_t kEndOfOptions = 0;
constexpr std::uint8_t kNoOperation = 1;
constexpr std::uint8_t kMaximumSegmentSize = 2;

// RFC 1624: what the change of one 16-bit field, on an even offset, does to a checksum.
void adjust_checksum(std::uint8_t* checksum, std::uint16_t from, std::uint16_t to) {
  std::uint32_t sum = (~unsigned{load_u16(checksum)} & 0xffff) + (~unsigned{from} & 0xffff) + to;
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  store_u16(checksum, static_cast<std::uint16_t>(~sum));
}

std::uint16_t swapped(std::uint16_t value) { return static_cast<std::uint16_t>(value << 8 | value >> 8); }

}  // namespace

bool clamp_mss(std::span<std::uint8_t> packet, const Header& header, std::size_t mtu) noexcept {
  if (header.protocol != kTcp || header.is_fragment() || header.size < header.header_size + kTcpHeaderSize)
    return false;
  std::uint8_t* const tcp = packet.data() + header.header_size;
  if ((tcp[13] & kSyn) == 0) return false;
  const std::size_t end = std::min<std::size_t>(tcp[12] >> 4 << 2, header.size - header.header_size);
  const std::size_t headers = (header.v6 ? kIpv6HeaderSize : kIpv4HeaderSize) + kTcpHeaderSize;
  const auto limit = static_cast<std::uint16_t>(std::min<std::size_t>(mtu > headers ? mtu - headers : 0, 0xffff));
  for (std::size_t at = kTcpHeaderSize; at < end;) {
    const std::uint8_t kind = tcp[at];
    if (kind == kEndOfOptions) return false;
    if (kind == kNoOperation) {
      ++at;
      continue;
    }
    if (at + 2 > end || tcp[at + 1] < 2 || at + tcp[at + 1] > end) return false;
    if (kind == kMaximumSegmentSize && tcp[at + 1] == 4) {
      const std::uint16_t announced = load_u16(tcp + at + 2);
      if (announced <= limit) return false;
      store_u16(tcp + at + 2, limit);
      // On an odd offset the field's bytes fall into the other halves of the sum's words.
      const bool odd = at % 2 != 0;
      adjust_checksum(tcp + 16, odd ? swapped(announced) : announced, odd ? swapped(limit) : limit);
      return true;
    }
    at += tcp[at + 1];
  }
  return false;
}

}  // namespace winze::ip
