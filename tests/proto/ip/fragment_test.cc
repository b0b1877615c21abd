#include "winze/proto/ip/fragment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "support/vectors.h"
#include "winze/base/bytes.h"
#include "winze/proto/ip/selector.h"

namespace winze::ip {
namespace {

using test::Bytes;

constexpr TimePoint kStart{};

std::vector<Bytes> pieces_of(const test::Vector& v) {
  std::vector<Bytes> out;
  for (int i = 0; v.has("piece" + std::to_string(i)); ++i) out.push_back(v.bytes("piece" + std::to_string(i)));
  return out;
}

std::optional<Buffer> add(Reassembler& reassembler, const Bytes& piece, TimePoint now = kStart) {
  const auto header = parse(piece);
  REQUIRE(header);
  REQUIRE(header->is_fragment());
  return reassembler.add(piece, *header, now, {.front = 7, .back = 9});
}

std::string text(const Buffer& packet) { return test::hex(packet.span()); }

TEST_CASE("fragments: another maker's, in every order") {
  for (const test::Vector& v : test::load_vectors("ip/fragments.txt")) {
    CAPTURE(v.text("id"));
    const std::vector<Bytes> pieces = pieces_of(v);
    std::vector<std::size_t> order(pieces.size());
    std::iota(order.begin(), order.end(), 0);
    Reassembler reassembler;
    std::uint64_t joined = 0;
    do {
      for (std::size_t i = 0; i < pieces.size(); ++i) {
        if (i > 0) CHECK_FALSE(add(reassembler, pieces[order[i - 1]]));  // a repetition changes nothing
        const auto whole = add(reassembler, pieces[order[i]]);
        REQUIRE(whole.has_value() == (i + 1 == pieces.size()));
        if (!whole) continue;
        CHECK(text(*whole) == v.text("packet"));
        CHECK(whole->headroom() == 7);
        CHECK(whole->tailroom() == 9);
        ++joined;
      }
      CHECK(reassembler.held_bytes() == 0);
    } while (std::ranges::next_permutation(order).found);
    CHECK(reassembler.counters().joined == joined);
  }
}

TEST_CASE("fragments: ours are cut as another maker cuts them") {
  for (const test::Vector& v : test::load_vectors("ip/fragments.txt")) {
    CAPTURE(v.text("id"));
    Buffer packet = Buffer::copy_of(v.bytes("packet"));
    const auto header = parse(packet.span());
    REQUIRE(header);
    std::vector<Buffer> out;
    const bool cut = fragment(std::move(packet), *header, std::stoul(v.text("mtu")), {.front = 8, .back = 8}, out);
    REQUIRE(cut == !header->v6);
    if (!cut) continue;
    const std::vector<Bytes> pieces = pieces_of(v);
    REQUIRE(out.size() == pieces.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      CHECK(text(out[i]) == test::hex(pieces[i]));
      CHECK(out[i].headroom() == 8);
      CHECK(out[i].size() <= std::stoul(v.text("mtu")));
    }
  }
}

// An IPv4 packet of UDP, as a fragment.
Bytes piece(std::uint16_t id, std::size_t offset, std::size_t size, bool more, std::uint8_t fill = 0) {
  Buffer b = Buffer::copy_of(Bytes(size, fill), {.front = 20, .back = 0});
  REQUIRE(prepend_header(b, {.source = *IpAddress::parse("10.0.0.1"),
                             .destination = *IpAddress::parse("10.0.0.2"),
                             .protocol = kUdp,
                             .dont_fragment = false,
                             .identification = id}));
  store_u16(b.data() + 6, static_cast<std::uint16_t>((more ? 0x2000 : 0) | offset / 8));
  update_length(b.span());
  return {b.data(), b.data() + b.size()};
}

// An IPv6 packet of UDP, as a fragment.
Bytes piece6(std::uint32_t id, std::size_t offset, std::size_t size, bool more, std::uint8_t fill = 0) {
  Bytes header = {kUdp, 0, 0, 0, 0, 0, 0, 0};
  store_u16(header.data() + 2, static_cast<std::uint16_t>(offset | (more ? 1 : 0)));
  store_u32(header.data() + 4, id);
  Buffer b = Buffer::copy_of(header, {.front = 40, .back = size});
  b.append(std::span<const std::uint8_t>(Bytes(size, fill)));
  REQUIRE(prepend_header(
      b, {.source = *IpAddress::parse("fd00::1"), .destination = *IpAddress::parse("fd00::2"), .protocol = kFragment}));
  return {b.data(), b.data() + b.size()};
}

using MakePiece = Bytes (*)(std::uint32_t id, std::size_t offset, std::size_t size, bool more, std::uint8_t fill);
constexpr MakePiece kVersions[] = {
    [](std::uint32_t id, std::size_t offset, std::size_t size, bool more, std::uint8_t fill) {
      return piece(static_cast<std::uint16_t>(id), offset, size, more, fill);
    },
    piece6};

TEST_CASE("fragment attack: overlaps") {
  struct Piece {
    std::size_t offset, size;
    bool more;
    std::uint8_t fill = 0;
  };
  struct Case {
    const char* name;
    std::vector<Piece> pieces;
  };
  const Case cases[] = {
      {"teardrop: a piece inside another", {{0, 64, true}, {24, 8, false}}},
      {"a piece around another", {{24, 8, true}, {0, 64, true}}},
      {"the end of one over the begin of the next", {{16, 16, true}, {0, 24, true}}},
      {"the begin of one over the end of the last", {{0, 24, true}, {16, 16, false}}},
      {"a first piece that rewrites the ports", {{0, 16, true, 1}, {0, 16, true, 2}}},
      {"a second piece that rewrites the flags of TCP (RFC 1858 section 4)", {{0, 16, true, 1}, {8, 16, false, 2}}},
      {"two ends", {{16, 8, false}, {32, 8, false}}},
      {"an end before what came", {{32, 8, true}, {16, 8, false}}},
  };
  for (const MakePiece make : kVersions) {
    for (const Case& c : cases) {
      CAPTURE(c.name);
      Reassembler reassembler;
      for (const Piece& p : c.pieces) CHECK_FALSE(add(reassembler, make(1, p.offset, p.size, p.more, p.fill)));
      CHECK(reassembler.counters().overlaps == 1);
      CHECK(reassembler.counters().joined == 0);
      CHECK(reassembler.held_bytes() == 0);  // all of the packet is gone (RFC 5722)
      CHECK(reassembler.deadline() == kNever);
    }
  }
}

TEST_CASE("fragment attack: sizes that cannot be") {
  for (const MakePiece make : kVersions) {
    Reassembler reassembler;
    CHECK_FALSE(add(reassembler, make(1, 0, 9, true, 0)));   // a middle that is no multiple of 8
    CHECK_FALSE(add(reassembler, make(1, 8, 0, false, 0)));  // nothing at all
    CHECK(reassembler.counters().malformed == 2);
    CHECK(reassembler.held_bytes() == 0);
  }
}

// The ports of a first piece that is too small for them are not believed to be known; the whole has them.
TEST_CASE("fragment attack: a tiny first fragment") {
  for (const MakePiece make : kVersions) {
    for (const std::size_t size : {std::size_t{8}, std::size_t{16}}) {  // TCP's flags are at 13
      Reassembler reassembler;
      const Bytes first = make(1, 0, size, true, 0x35);
      CHECK_FALSE(add(reassembler, first));
      const auto whole = add(reassembler, make(1, size, 24, false, 0x36));
      REQUIRE(whole);
      const auto header = parse(whole->span());
      REQUIRE(header);
      CHECK_FALSE(header->is_fragment());
      CHECK(flow_of(whole->span(), *header).destination_port == 0x3535);
      CHECK(whole->size() == header->header_size + size + 24);
      CHECK(reassembler.counters().joined == 1);
    }
    // A piece behind the first says nothing of ports, whatever stands in it.
    const Bytes later = make(1, 8, 24, false, 0x36);
    CHECK_FALSE(flow_of(later, *parse(later)).ports_known);
  }
}

TEST_CASE("fragment attack: ping of death, wholes of more than 65535 bytes") {
  CHECK_FALSE(parse(piece(1, 65528, 64, false)));  // seen in one piece
  CHECK_FALSE(parse(piece6(1, 65528, 64, false)));
  // Each piece is in order, but with a header the whole is too long.
  for (const std::size_t end : {65504, 65512}) {
    Reassembler reassembler;
    CHECK_FALSE(add(reassembler, piece(1, end, 16, false)));
    for (std::size_t at = 0; at < end; at += 2048) {
      CHECK_FALSE(add(reassembler, piece(1, at, std::min<std::size_t>(2048, end - at), true)));
    }
    CHECK(reassembler.counters().malformed == 1);
    CHECK(reassembler.counters().joined == 0);
    CHECK(reassembler.held_bytes() == 0);
  }
}

TEST_CASE("fragment attack: too many fragments") {
  for (const MakePiece make : kVersions) {
    Reassembler reassembler;
    const std::size_t most = Reassembler::Limits{}.fragments;
    for (std::size_t i = 0; i <= most; ++i) {
      CHECK(reassembler.counters().evicted == 0);
      CHECK_FALSE(add(reassembler, make(1, i * 16, 8, true, 0)));
    }
    CHECK(reassembler.counters().evicted == 1);
    CHECK(reassembler.held_bytes() == 0);
  }
}

TEST_CASE("fragment attack: memory has a bound, and gives the oldest up first") {
  constexpr std::size_t kBound = 10'000;
  for (const MakePiece make : kVersions) {
    for (const std::size_t size : {8, 512, 1400}) {  // many small ones cost their bookkeeping too
      Reassembler reassembler({.bytes = kBound});
      for (std::uint32_t id = 0; id < 1000; ++id) {
        CHECK_FALSE(add(reassembler, make(id, 0, size, true, 0)));
        CHECK(reassembler.held_bytes() <= kBound);
      }
      const std::uint64_t evicted = reassembler.counters().evicted;
      CHECK(evicted > 900);
      CHECK(add(reassembler, make(999, size, 512, false, 0)));  // the youngest is still there
      CHECK_FALSE(add(reassembler, make(0, size, 512, false, 0)));
      CHECK(reassembler.counters().joined == 1);
    }
  }
}

TEST_CASE("fragments: time ends what stays incomplete") {
  Reassembler reassembler;
  CHECK_FALSE(add(reassembler, piece(1, 0, 16, true)));
  CHECK_FALSE(add(reassembler, piece(2, 0, 16, true), kStart + std::chrono::seconds(20)));
  CHECK(reassembler.deadline() == kStart + std::chrono::seconds(30));
  CHECK_FALSE(add(reassembler, piece(1, 16, 16, false), kStart + std::chrono::seconds(30)));
  CHECK(reassembler.counters().timed_out == 1);
  CHECK(add(reassembler, piece(2, 16, 16, false), kStart + std::chrono::seconds(49)));
  reassembler.on_deadline(kStart + std::chrono::seconds(100));
  CHECK(reassembler.counters().timed_out == 2);
  CHECK(reassembler.held_bytes() == 0);
}

}  // namespace
}  // namespace winze::ip
