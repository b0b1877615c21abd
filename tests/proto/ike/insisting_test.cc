// Peers that insist: on a second rekey beside the first, on a child of an IKE SA that ends.
#include <doctest/doctest.h>

#include <utility>

#include "support/ike_states.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;
using test::Impostor;

TEST_CASE("security: a peer that rekeys over and over while ours is on its way gets one IKE SA of it, or one pair") {
  for (const bool at_a : {true, false}) {
    for (const bool of_ike : {true, false}) {
      CAPTURE(at_a);
      CAPTURE(of_ike);
      Impostor world(151, at_a);
      test::IkeEnd& end = world.attacked();
      REQUIRE((of_ike ? end.engine.rekey(world.pair.now, world.sa())
                      : end.engine.rekey_child(world.pair.now, end.children.begin()->first)));
      (void)test::overhear(end);
      for (int i = 0; i < 20; ++i) {
        CAPTURE(i);
        const auto answers = world.say(Exchange::kCreateChild, test::said([&](PayloadWriter& out) {
                                         if (of_ike) {
                                           test::write_ike_rekey(out, test::good_x25519(world.random));
                                         } else {
                                           test::write_child(out, world, world.peer_spi());
                                         }
                                       }));
        REQUIRE(answers.size() == 1);
        CHECK(answers[0].error() == (i == 0 ? 0 : notify::kTemporaryFailure));
      }
      CHECK(end.engine.size() == (of_ike ? 2 : 1));
      CHECK(end.inbound.size() == (of_ike ? 1 : 2));
      world.pair.run(600s);
      CHECK(end.engine.size() <= 1);
      CHECK(end.children.size() <= end.engine.size());
    }
  }
}

TEST_CASE("security: a child that the host allows when the IKE SA has begun to end is none") {
  enum class Meanwhile { kCloses, kIsRekeyed };
  for (const Meanwhile meanwhile : {Meanwhile::kCloses, Meanwhile::kIsRekeyed}) {
    CAPTURE(static_cast<int>(meanwhile));
    Connection b = test::open_book(false);
    b.ask_narrow = true;
    Impostor world(152, false, test::open_book(true), b, {}, {}, [](IkePair& pair) {
      pair.b.on_event = [&pair, n = 0](const Event& event) mutable {
        const auto* const ask = std::get_if<AskNarrow>(&event);
        if (ask != nullptr && n++ == 0) pair.b.engine.answer(pair.now, ask->id, ask->selectors);
      };
    });
    test::IkeEnd& end = world.attacked();
    REQUIRE(world.is_up());
    CHECK(world.say(Exchange::kCreateChild, test::said([&](PayloadWriter& out) { test::write_child(out, world, 0); }))
              .empty());
    REQUIRE(end.count<AskNarrow>() == 2);
    const AskNarrow asked = *end.last<AskNarrow>();
    if (meanwhile == Meanwhile::kCloses) {
      REQUIRE(end.engine.close(world.pair.now, world.sa()));
    } else {
      // The true peer answers our rekey, as it may; the deletion of the old one gets lost.
      world.pair.bend = [](bool, const Buffer& datagram) {
        return IkePair::Fate{datagram.data()[4 + 18] == static_cast<std::uint8_t>(Exchange::kInformational) ? 0u : 1u};
      };
      const test::RogueKeys before = world.keys;
      REQUIRE(end.engine.rekey(world.pair.now, world.sa()));
      world.pair.run(50ms);
      REQUIRE(end.count<Rekeyed>() == 1);
      world.keys = before;
    }
    (void)test::overhear(end);
    CHECK(end.engine.answer(world.pair.now, asked.id, asked.selectors));
    const auto answers = test::open_all(world.keys, test::overhear(end));
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].error() == notify::kTemporaryFailure);
    CHECK(end.count<ChildUp>() == 1);
    CHECK(end.children.size() == 1);
  }
}

}  // namespace
}  // namespace winze::ike
