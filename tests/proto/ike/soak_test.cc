// A long life compressed: thousands of rekeys of both ends while 5 % of all IKE messages are lost and traffic goes on.
#include <doctest/doctest.h>

#include "support/ike_pair.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

TEST_CASE("ike: 10,000 child and 1,000 IKE rekeys at 5 % loss lose no packet and leave nothing behind") {
  IkePair pair(99);
  const SaId sa = pair.connect();
  const SaId sa_b = pair.b.last<Up>()->sa;
  const ChildId child_a = pair.a.last<ChildUp>()->child, child_b = pair.b.last<ChildUp>()->child;
  pair.bend = [&](bool, const Buffer&) {
    return IkePair::Fate{.copies = pair.net.below(100) < 5 ? 0u : 1u, .extra = Duration(pair.net.below(30'000'000))};
  };
  pair.bend_esp = [&](bool, const Buffer&) {
    return IkePair::Fate{.copies = pair.net.below(100) < 5 ? 0u : 1u, .extra = Duration(pair.net.below(5'000'000))};
  };
  // Rekeys are counted by who began them; both ends begin at about the same time, so that many collide.
  std::uint64_t rounds = 0;
  while (pair.a.engine.counters().child_rekeys < 10'000 || pair.a.engine.counters().ike_rekeys < 1'000) {
    REQUIRE(rounds < 20'000);
    const bool ike = ++rounds % 10 == 0;
    if (ike) {
      pair.a.engine.rekey(pair.now, sa);
      if (rounds % 20 == 0) pair.b.engine.rekey(pair.now, sa_b);
    } else {
      if (pair.net.below(3) != 0) pair.a.engine.rekey_child(pair.now, child_a);
      if (pair.net.below(3) != 0) pair.b.engine.rekey_child(pair.now, child_b);
    }
    for (int i = 0; i < 40; ++i) {
      pair.send_packet(true);
      pair.send_packet(false);
      pair.run(100ms);
    }
    for (test::IkeEnd* const end : {&pair.a, &pair.b}) {
      REQUIRE_MESSAGE(end->count<Closed>() == 0, "round ", rounds, ": ", end->last<Closed>()->reason.to_string());
      REQUIRE_MESSAGE(end->count<ChildDown>() == 0, "round ", rounds, ": ", end->last<ChildDown>()->reason.to_string());
      end->events.clear();
    }
  }
  pair.bend = nullptr;
  pair.bend_esp = nullptr;
  pair.run(200s);
  MESSAGE(rounds, " rounds, ", pair.a.engine.counters().collisions, " collisions, ", pair.sent_packets,
          " packets, of which the network lost ", pair.lost_packets);
  CHECK(pair.unsent_packets == 0);
  CHECK(pair.lost_to_rekeying() == 0);
  CHECK(pair.a.delivered + pair.b.delivered + pair.lost_packets == pair.sent_packets);
  CHECK(pair.a.engine.counters().collisions > 100);
  for (const test::IkeEnd* const end : {&pair.a, &pair.b}) {
    CHECK(end->engine.size() == 1);
    CHECK(end->children.size() == 1);
    CHECK(end->inbound.size() == 1);
  }
  CHECK(pair.traffic_flows());
}

}  // namespace
}  // namespace winze::ike
