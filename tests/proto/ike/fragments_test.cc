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

TEST_CASE("security: fragments of many strangers who have proved nothing are bounded all together") {
  EngineOptions for_b;
  for_b.cookie_threshold = SIZE_MAX;
  for_b.source_cookie_threshold = for_b.source_half_open_limit = 0;
  std::vector<test::RogueKeys> keys;
  for_b.key_log = [&](std::string_view line) { keys.emplace_back().take(line); };
  const std::size_t limit = for_b.half_open_reassembly_limit;
  IkePair pair(114, {}, std::move(for_b));
  pair.b.engine.set_connections({IkePair::share(test::open_book(false))});
  const ConnectionPtr of_a = IkePair::share(test::open_book(true));
  constexpr std::size_t kStrangers = 300;
  pair.bend = [](bool from_a, const Buffer& datagram) {
    // First requests, which have no marker, and their answers arrive, and nothing more of what is genuine.
    return IkePair::Fate{!from_a || load_u32(datagram.data()) != 0 ? 1u : 0u};
  };
  for (std::size_t i = 0; i < kStrangers; ++i) pair.a.engine.initiate(pair.now, of_a, pair.route());
  pair.run(1s);
  REQUIRE(keys.size() == kStrangers);
  REQUIRE(pair.b.engine.half_open() == kStrangers);
  SeededRandom random(1);
  std::size_t sent = 0;
  for (test::RogueKeys& one : keys) {
    for (std::uint16_t number = 2; number < 40; ++number) {
      test::bring(pair, false,
                  one.seal(random, Exchange::kAuth, true, false, 1, PayloadType::kNone, Bytes(1000),
                           FragmentNumber{number, 100}));
      sent += 1000;
    }
  }
  REQUIRE(sent > 2 * limit);
  const std::uint64_t kept = sent - 1000 * pair.b.engine.counters().fragments_dropped;
  CHECK(kept <= limit);
  CHECK(kept > limit / 2);
  // They go with their IKE SAs, and others have room again.
  pair.run(40s);
  CHECK(pair.b.engine.half_open() == 0);
  pair.bend = nullptr;
  Connection small = test::open_book(true);
  small.fragment_size = 300;
  small.request.domains = {std::string(200, 'd'), std::string(200, 'e')};
  const std::uint64_t before = pair.b.engine.counters().fragments_dropped;
  pair.a.engine.initiate(pair.now, IkePair::share(small), pair.route());
  pair.run(2s);
  CHECK(pair.b.count<Up>() == 1);
  CHECK(pair.b.engine.counters().fragments_dropped == before);
}

}  // namespace
}  // namespace winze::ike
