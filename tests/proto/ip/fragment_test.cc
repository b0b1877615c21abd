#include "winze/proto/ip/fragment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "support/vectors.h"
#include "winze/base/bytes.h"

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

TEST_CASE("fragments: attacks") {
  Reassembler reassembler;
  SUBCASE("teardrop: a piece inside another") {
    CHECK_FALSE(add(reassembler, piece(1, 0, 64, true)));
    CHECK_FALSE(add(reassembler, piece(1, 24, 8, false)));
    CHECK(reassembler.counters().overlaps == 1);
  }
  SUBCASE("a first piece that rewrites the ports") {
    CHECK_FALSE(add(reassembler, piece(1, 0, 16, true, 1)));
    CHECK_FALSE(add(reassembler, piece(1, 0, 16, true, 2)));
    CHECK(reassembler.counters().overlaps == 1);
  }
  SUBCASE("two ends") {
    CHECK_FALSE(add(reassembler, piece(1, 16, 8, false)));
    CHECK_FALSE(add(reassembler, piece(1, 32, 8, false)));
    CHECK(reassembler.counters().overlaps == 1);
  }
  SUBCASE("an end before what came") {
    CHECK_FALSE(add(reassembler, piece(1, 32, 8, true)));
    CHECK_FALSE(add(reassembler, piece(1, 16, 8, false)));
    CHECK(reassembler.counters().overlaps == 1);
  }
  SUBCASE("a middle that is no multiple of 8, and nothing at all") {
    CHECK_FALSE(add(reassembler, piece(1, 0, 9, true)));
    CHECK_FALSE(add(reassembler, piece(1, 8, 0, false)));
    CHECK(reassembler.counters().malformed == 2);
  }
  SUBCASE("ping of death") {
    CHECK_FALSE(parse(piece(1, 65528, 64, false)));
    // Each piece is in order, but with a header the whole is too long.
    CHECK_FALSE(add(reassembler, piece(1, 65504, 16, false)));
    for (std::size_t at = 0; at < 65504; at += 2048) {
      CHECK_FALSE(add(reassembler, piece(1, at, std::min<std::size_t>(2048, 65504 - at), true)));
    }
    CHECK(reassembler.counters().malformed == 1);
  }
  CHECK(reassembler.held_bytes() == 0);
  CHECK(reassembler.deadline() == kNever);
}

TEST_CASE("fragments: memory has a bound, and gives the oldest up first") {
  Reassembler reassembler({.bytes = 10'000, .fragments = 4});
  for (std::uint16_t id = 0; id < 1000; ++id) {
    CHECK_FALSE(add(reassembler, piece(id, 0, 512, true)));
    CHECK(reassembler.held_bytes() <= 10'000);
  }
  CHECK(reassembler.counters().evicted > 900);
  CHECK(add(reassembler, piece(999, 512, 512, false)));  // the youngest is still there
  CHECK_FALSE(add(reassembler, piece(0, 512, 512, false)));

  Reassembler few({.fragments = 4});
  for (int i = 0; i < 5; ++i) CHECK_FALSE(add(few, piece(1, static_cast<std::size_t>(i) * 16, 8, true)));
  CHECK(few.counters().evicted == 1);
  CHECK(few.held_bytes() == 0);
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
