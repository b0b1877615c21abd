// Fragments (RFC 7383) that are put together to what no message may be, and the bytes that wait for the rest.
#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "support/ike_impostor.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::IkePair;
using test::Impostor;
using test::Said;

// So many vendor ids in a row.
Said many(std::size_t payloads) {
  return test::said([&](PayloadWriter& out) {
    for (std::size_t i = 0; i < payloads; ++i) out.add(PayloadType::kVendor, Bytes(8, 1));
  });
}

void in_fragments(Impostor& world, Exchange exchange, const Said& what, std::size_t total) {
  const std::size_t piece = (what.bytes.size() + total - 1) / total;
  for (std::size_t i = 0; i < total; ++i) {
    const std::size_t at = std::min(i * piece, what.bytes.size());
    const auto part = std::span(what.bytes).subspan(at, std::min(piece, what.bytes.size() - at));
    test::bring(world.pair, world.at_a,
                world.keys.seal(world.random, exchange, world.as_initiator, false, world.next,
                                i == 0 ? what.first : PayloadType::kNone, part,
                                FragmentNumber{static_cast<std::uint16_t>(i + 1), static_cast<std::uint16_t>(total)}));
  }
  ++world.next;
}

TEST_CASE("security: a message in fragments holds no more payloads than one in a piece (CVE-2026-12413)") {
  for (const bool at_a : {true, false}) {
    for (const std::size_t total : {1, 2, 7, 64}) {
      for (const std::size_t payloads : {1, 64, 65, 500, 2000}) {
        CAPTURE(at_a);
        CAPTURE(total);
        CAPTURE(payloads);
        Impostor world(111, at_a);
        in_fragments(world, Exchange::kInformational, many(payloads), total);
        const auto answers = test::open_all(world.keys, test::overhear(world.attacked()));
        REQUIRE(answers.size() == 1);
        CHECK(answers[0].error() == (payloads <= kMaxPayloads ? 0 : notify::kInvalidSyntax));
        CHECK(world.is_up() == (payloads <= kMaxPayloads));
      }
    }
  }
}

TEST_CASE("security: the same in IKE_AUTH, before anybody has proved anything") {
  for (const std::size_t payloads : {65, 2000}) {
    CAPTURE(payloads);
    Impostor world(112, false, test::open_book(true), test::open_book(false), {}, {}, [](IkePair& pair) {
      pair.bend = [n = 0](bool, const Buffer&) mutable { return IkePair::Fate{++n > 2 ? 0u : 1u}; };
    });
    world.next = 1;
    in_fragments(world, Exchange::kAuth, many(payloads), 5);
    const auto answers = test::open_all(world.keys, test::overhear(world.pair.b));
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].error() == notify::kInvalidSyntax);
    CHECK(world.pair.b.count<Up>() == 0);
    CHECK(world.pair.b.engine.half_open() == 0);
  }
}

TEST_CASE("security: a fragment's inner type counts in the first only, and a chain may not go on in a lie") {
  Impostor world(113, false);
  // The second one says that it begins with DELETE, which would end the IKE SA.
  const Said first = many(2);
  const Said second = test::said([](PayloadWriter& out) { write_delete_ike(out); });
  test::bring(world.pair, false,
              world.keys.seal(world.random, Exchange::kInformational, true, false, world.next, first.first, first.bytes,
                              FragmentNumber{1, 2}));
  test::bring(world.pair, false,
              world.keys.seal(world.random, Exchange::kInformational, true, false, world.next, second.first,
                              second.bytes, FragmentNumber{2, 2}));
  const auto answers = test::open_all(world.keys, test::overhear(world.pair.b));
  REQUIRE(answers.size() == 1);
  // The chain ends where the first said, and something is left.
  CHECK(answers[0].error() == notify::kInvalidSyntax);
  CHECK(world.pair.b.last<Closed>()->reason.cause == Cause::kMisbehaved);
}

}  // namespace
}  // namespace winze::ike
