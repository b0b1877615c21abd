// A peer that answers TEMPORARY_FAILURE for longer than a collision lasts (RFC 7296 section 2.25).
#include <doctest/doctest.h>

#include "support/ike_pair.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

constexpr std::uint16_t kTemporaryFailure = 43;

// B's host does not answer in time while it is busy, and B is asked for another child so often.
struct Busy {
  explicit Busy(std::uint64_t seed, const ChildConfig& of_a = IkePair::child(true))
      : pair(seed, {}, {.host_timeout = 100ms}) {
    pair.b.on_event = [this](const Event& event) {
      const auto* const ask = std::get_if<AskNarrow>(&event);
      if (ask == nullptr) return;
      ++asked;
      if (!busy) pair.b.engine.answer(pair.now, ask->id, ask->selectors);
    };
    Connection a = IkePair::connection(true), b = IkePair::connection(false);
    a.children = {std::make_shared<ChildConfig>(of_a)};
    b.ask_narrow = true;
    sa = pair.connect(IkePair::share(a), IkePair::share(b));
    child = pair.a.last<ChildUp>()->child;
    asked = 0;
    busy = true;
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

  IkePair pair;
  SaId sa{};
  ChildId child{};
  bool busy = false;
  unsigned asked = 0;
};

TEST_CASE("ike: a rekey that a peer puts off for minutes is tried again, more and more seldom, until it is done") {
  Busy world(171);
  CHECK(world.pair.a.engine.rekey_child(world.pair.now, world.child));
  world.pair.run(300s);
  CHECK(world.asked > 11);
  CHECK(world.asked < 25);
  CHECK(world.pair.a.engine.counters().child_rekeys == 0);
  world.busy = false;
  world.pair.run(70s);
  CHECK(world.pair.a.engine.counters().child_rekeys == 1);
  CHECK(world.pair.a.count<ChildDown>() == 0);
  CHECK(world.pair.traffic_flows());
}

TEST_CASE("ike: a child that no try has renewed ends by its age, and the host is told so") {
  ChildConfig config = IkePair::child(true);
  config.rekey_time = 60s;
  config.rand_time = 0s;
  config.life_time = 240s;
  Busy world(172, config);
  world.pair.run(236s);
  CHECK(world.pair.a.count<ChildDown>() == 0);
  CHECK(world.asked > 10);
  const unsigned before = world.asked;
  world.pair.run(600s);
  REQUIRE(world.pair.a.count<ChildDown>() == 1);
  CHECK(world.pair.a.last<ChildDown>()->reason.cause == Cause::kExpired);
  CHECK(world.pair.b.count<ChildDown>() == 1);
  CHECK(world.asked == before);
  CHECK(world.pair.a.engine.info(world.sa)->established);
}

TEST_CASE("ike: a new child that a peer puts off for minutes is given up, and the host is told so") {
  Busy world(173);
  CHECK(world.pair.a.engine.add_child(world.pair.now, world.sa,
                                      std::make_shared<const ChildConfig>(IkePair::child(true))));
  world.pair.run(20s);
  CHECK(world.pair.a.count<ChildRefused>() == 0);
  world.pair.run(600s);
  CHECK(world.asked == 11);
  REQUIRE(world.pair.a.count<ChildRefused>() == 1);
  CHECK(world.pair.a.last<ChildRefused>()->reason.notify == kTemporaryFailure);
}

}  // namespace
}  // namespace winze::ike
