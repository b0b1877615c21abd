// A flood of first requests from addresses that are nobody's: what gets in meanwhile, and what goes on.
#include <doctest/doctest.h>

#include "support/ike_first_request.h"
#include "support/ike_pair.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

struct Flood {
  IkePair& pair;
  SeededRandom random{9};
  std::size_t in = 0, out = 0, sent = 0;

  void wave(std::size_t count) {
    // What was on its way for somebody else is not the flood's.
    pair.drain();
    for (std::size_t i = 0; i < count; ++i) {
      Buffer message = test::first_request(random, default_proposals(Protocol::kIke), 31);
      std::uint8_t address[4];
      random.fill(address);
      in += message.size();
      ++sent;
      pair.b.engine.receive(pair.now, {pair.b.plain, {IpAddress::v4(address), 500}, 1, false, false},
                            std::move(message));
      while (auto answer = pair.b.engine.next_transmit()) out += answer->datagram.size();
    }
  }
};

TEST_CASE("security: a flood crosses the threshold of a gateway as it comes, and a client gets in all the same") {
  const EngineOptions defaults;
  IkePair pair(121);
  // Somebody is there before.
  Connection watchful = IkePair::connection(true);
  watchful.dpd_delay = 2s;
  pair.connect(IkePair::share(watchful));
  const SaId early = pair.b.last<Up>()->sa;
  Flood flood{pair};
  flood.wave(defaults.cookie_threshold);
  CHECK(pair.b.engine.half_open() == defaults.cookie_threshold);
  CHECK(pair.b.engine.counters().cookies_sent == 0);
  flood.wave(1);
  CHECK(pair.b.engine.half_open() == defaults.cookie_threshold);
  CHECK(pair.b.engine.counters().cookies_sent == 1);

  // For as long as those that got in before stay half open.
  const std::size_t ups = pair.b.count<Up>();
  std::size_t clients = 0;
  for (int i = 0; i < 40; ++i) {
    flood.wave(100);
    if (i % 10 == 0) {
      Connection c = IkePair::connection(true);
      c.local.id = Identity::parse("late" + std::to_string(i) + ".test");
      Connection served = IkePair::connection(false);
      served.remote.id = IdentityPattern("*.test");
      pair.b.engine.set_connections({IkePair::share(served)});
      pair.a.engine.initiate(pair.now, IkePair::share(c), pair.route());
      ++clients;
    }
    pair.drain();
    pair.run(500ms);
    CHECK(pair.send_packet(true));
    CHECK(pair.send_packet(false));
    CHECK(pair.b.engine.half_open() <= defaults.cookie_threshold);
  }
  CHECK(pair.b.count<Up>() == ups + clients);
  CHECK(pair.a.count<Closed>() == 0);
  CHECK(pair.b.engine.info(early).has_value());
  CHECK(pair.b.engine.counters().cookies_bad == 0);
  CHECK(pair.b.engine.counters().over_limit == 0);
  CHECK(pair.lost_to_rekeying() == 0);

  // It is over, and so is the need of cookies.
  pair.run(60s);
  CHECK(pair.b.engine.half_open() == 0);
  CHECK(pair.b.engine.size() == 1 + clients);
  const std::uint64_t asked = pair.b.engine.counters().cookies_sent;
  Connection c = IkePair::connection(true);
  c.local.id = Identity::parse("last.test");
  pair.a.engine.initiate(pair.now, IkePair::share(c), pair.route());
  pair.run(1s);
  CHECK(pair.b.count<Up>() == ups + clients + 1);
  CHECK(pair.b.engine.counters().cookies_sent == asked);
  CHECK(pair.traffic_flows());
}

TEST_CASE("security: under a flood an established IKE SA is rekeyed, probed and moved as ever") {
  EngineOptions for_b;
  for_b.cookie_threshold = 0;
  for_b.half_open_limit = 1;
  IkePair pair(122, {}, std::move(for_b));
  const SaId sa = pair.connect();
  Flood flood{pair};
  flood.wave(2000);
  CHECK(pair.a.engine.rekey_child(pair.now, pair.a.children.begin()->first));
  pair.run(10ms);
  flood.wave(2000);
  pair.run(10s);
  CHECK(pair.a.engine.rekey(pair.now, sa));
  flood.wave(2000);
  pair.run(10s);
  CHECK(pair.b.engine.rekey(pair.now, pair.b.last<Up>()->sa));
  flood.wave(2000);
  pair.run(120s);
  CHECK(pair.a.count<Rekeyed>() == 2);
  CHECK(pair.b.count<ChildOutbound>() == 1);
  CHECK(pair.b.engine.counters().cookies_sent >= 8000);
  CHECK(flood.out < flood.in);
  CHECK(pair.b.engine.size() == 1);
  CHECK(pair.traffic_flows());
}

}  // namespace
}  // namespace winze::ike
