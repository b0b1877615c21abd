// IP packets from anywhere: what reads their headers stays inside them, and a fragment in any order and overlap either
// waits within the bound, or makes a packet as a host would, or goes.
#include <algorithm>

#include "support/require.h"
#include "winze/base/bytes.h"
#include "winze/proto/ip/fragment.h"
#include "winze/proto/ip/icmp.h"
#include "winze/proto/ip/selector.h"
#include "winze/proto/ip/tcp_mss.h"

using namespace winze;
using winze::test::require;

// The input: packets, each after its size in two bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kBound = 20'000;
  ip::Reassembler reassembler({.bytes = kBound, .fragments = 16});
  TimePoint now{};
  while (size > 2) {
    const std::size_t length = std::min<std::size_t>(load_u16(data), size - 2);
    const std::span<const std::uint8_t> packet(data + 2, length);
    data += 2 + length;
    size -= 2 + length;
    now += std::chrono::seconds(1);

    (void)ip::parse_packet_too_big(packet);
    const auto header = ip::parse(packet);
    if (!header) continue;
    require(header->size <= packet.size() && header->header_size <= header->size);
    (void)ip::flow_of(packet, *header);

    Buffer syn = Buffer::copy_of(packet);
    (void)ip::clamp_mss(syn.span(), *header, 1000);
    Buffer reply = Buffer::copy_of(packet);
    if (ip::make_packet_too_big(reply, 1300, ip::destination_of(packet))) {
      require(ip::parse_packet_too_big(reply.span()).has_value());
    }
    if (header->is_fragment()) {
      const auto whole = reassembler.add(packet, *header, now, {});
      require(reassembler.held_bytes() <= kBound);
      require(!whole || whole->size() >= ip::kIpv4HeaderSize);
      continue;
    }
    std::vector<Buffer> pieces;
    if (!ip::fragment(Buffer::copy_of(packet), *header, 68, {}, pieces) || pieces.size() < 2) continue;
    if (pieces.size() > 16) continue;
    ip::Reassembler joiner;
    std::optional<Buffer> whole;
    for (const Buffer& piece : pieces) {
      require(!whole && piece.size() <= 68 + 8);
      const auto piece_header = ip::parse(piece.span());
      require(piece_header && piece_header->is_fragment());
      whole = joiner.add(piece.span(), *piece_header, now, {});
    }
    require(whole && std::ranges::equal(std::as_const(*whole).span().subspan(header->header_size),
                                        packet.first(header->size).subspan(header->header_size)));
  }
  require(reassembler.held_bytes() <= kBound);
  return 0;
}
