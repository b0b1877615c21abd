// What crosses what: exchanges of both ends at once, under a network that loses, repeats, delays and reorders (RFC 7296
// sections 2.8 and 2.25). After each case nothing is left over at either end, and no inner packet was lost to a rekey.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "support/ike_pair.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

struct World {
  struct End {
    test::IkeEnd& at;
    SaId sa;
    ChildId child;
  };
  IkePair& pair;
  End a, b;  // A is the client, unless the scenario is mirrored

  ChildConfigPtr more(const End& end) const {
    return std::make_shared<const ChildConfig>(IkePair::child(&end.at == &pair.a));
  }
};

enum class Roles : std::uint8_t {
  kAny,      // A may be the gateway too
  kAlike,    // both do the same
  kClientA,  // what A does is for clients
};

struct Scenario {
  std::string_view name;
  std::function<void(World&)> act;
  // What is left in the end.
  std::size_t sas = 1, children = 1;
  Roles roles = Roles::kAny;
  bool reauthenticates = false;
};

// Where the client moves to, and can be reached as well as before.
Path elsewhere(const IkePair& pair) {
  Path path = pair.route().floated.value();
  path.local.address = *IpAddress::parse("198.51.100.9");
  return path;
}
void move(World& w) { w.a.at.engine.move(w.pair.now, w.a.sa, {elsewhere(w.pair), std::nullopt}); }

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> kAll = {
      {"A rekeys the child", [](World& w) { w.a.at.engine.rekey_child(w.pair.now, w.a.child); }},
      {"both rekey the child",
       [](World& w) {
         w.a.at.engine.rekey_child(w.pair.now, w.a.child);
         w.b.at.engine.rekey_child(w.pair.now, w.b.child);
       },
       1, 1, Roles::kAlike},
      {"A rekeys the IKE SA", [](World& w) { w.a.at.engine.rekey(w.pair.now, w.a.sa); }},
      {"both rekey the IKE SA",
       [](World& w) {
         w.a.at.engine.rekey(w.pair.now, w.a.sa);
         w.b.at.engine.rekey(w.pair.now, w.b.sa);
       },
       1, 1, Roles::kAlike},
      {"A rekeys the child, B the IKE SA",
       [](World& w) {
         w.a.at.engine.rekey_child(w.pair.now, w.a.child);
         w.b.at.engine.rekey(w.pair.now, w.b.sa);
       }},
      {"both rekey both",
       [](World& w) {
         w.a.at.engine.rekey(w.pair.now, w.a.sa);
         w.a.at.engine.rekey_child(w.pair.now, w.a.child);
         w.b.at.engine.rekey(w.pair.now, w.b.sa);
         w.b.at.engine.rekey_child(w.pair.now, w.b.child);
       },
       1, 1, Roles::kAlike},
      {"A deletes the child, B rekeys it",
       [](World& w) {
         w.a.at.engine.delete_child(w.pair.now, w.a.child);
         w.b.at.engine.rekey_child(w.pair.now, w.b.child);
       },
       1, 0},
      {"both delete the child",
       [](World& w) {
         w.a.at.engine.delete_child(w.pair.now, w.a.child);
         w.b.at.engine.delete_child(w.pair.now, w.b.child);
       },
       1, 0, Roles::kAlike},
      {"A deletes the child, B rekeys the IKE SA",
       [](World& w) {
         w.a.at.engine.delete_child(w.pair.now, w.a.child);
         w.b.at.engine.rekey(w.pair.now, w.b.sa);
       },
       1, 0},
      {"A closes, B rekeys the IKE SA",
       [](World& w) {
         w.a.at.engine.close(w.pair.now, w.a.sa);
         w.b.at.engine.rekey(w.pair.now, w.b.sa);
       },
       0, 0},
      {"A closes, B rekeys the child",
       [](World& w) {
         w.a.at.engine.close(w.pair.now, w.a.sa);
         w.b.at.engine.rekey_child(w.pair.now, w.b.child);
       },
       0, 0},
      {"both close",
       [](World& w) {
         w.a.at.engine.close(w.pair.now, w.a.sa);
         w.b.at.engine.close(w.pair.now, w.b.sa);
       },
       0, 0, Roles::kAlike},
      {"A adds a child, B rekeys the IKE SA",
       [](World& w) {
         w.a.at.engine.add_child(w.pair.now, w.a.sa, w.more(w.a));
         w.b.at.engine.rekey(w.pair.now, w.b.sa);
       },
       1, 2},
      {"both add a child",
       [](World& w) {
         w.a.at.engine.add_child(w.pair.now, w.a.sa, w.more(w.a));
         w.b.at.engine.add_child(w.pair.now, w.b.sa, w.more(w.b));
       },
       1, 3, Roles::kAlike},
      {"A rekeys and then deletes the child",
       [](World& w) {
         w.a.at.engine.rekey_child(w.pair.now, w.a.child);
         w.a.at.engine.delete_child(w.pair.now, w.a.child);
       },
       1, 0},
      {"both rekey the IKE SA, and A closes it",
       [](World& w) {
         w.a.at.engine.rekey(w.pair.now, w.a.sa);
         w.b.at.engine.rekey(w.pair.now, w.b.sa);
         w.pair.run(25ms);
         w.a.at.engine.close(w.pair.now, w.a.sa);
       },
       0, 0},
      {"A reauthenticates", [](World& w) { w.a.at.engine.reauthenticate(w.pair.now, w.a.sa); }, 1, 1, Roles::kClientA,
       true},
      {"A reauthenticates, B rekeys the child",
       [](World& w) {
         w.a.at.engine.reauthenticate(w.pair.now, w.a.sa);
         w.b.at.engine.rekey_child(w.pair.now, w.b.child);
       },
       1, 1, Roles::kClientA, true},
      {"A reauthenticates, B rekeys the IKE SA",
       [](World& w) {
         w.a.at.engine.reauthenticate(w.pair.now, w.a.sa);
         w.b.at.engine.rekey(w.pair.now, w.b.sa);
       },
       1, 1, Roles::kClientA, true},
      {"A reauthenticates and rekeys the IKE SA",
       [](World& w) {
         w.a.at.engine.reauthenticate(w.pair.now, w.a.sa);
         w.a.at.engine.rekey(w.pair.now, w.a.sa);
       },
       1, 1, Roles::kClientA, true},
      {"A reauthenticates, B deletes the child",
       [](World& w) {
         w.a.at.engine.reauthenticate(w.pair.now, w.a.sa);
         w.b.at.engine.delete_child(w.pair.now, w.b.child);
       },
       1, 1, Roles::kClientA, true},
      // As a gateway does when a client is late with it.
      {"A reauthenticates, B closes",
       [](World& w) {
         w.a.at.engine.reauthenticate(w.pair.now, w.a.sa);
         w.b.at.engine.close(w.pair.now, w.b.sa);
       },
       1, 1, Roles::kClientA, true},
      {"A moves", move, 1, 1, Roles::kClientA},
      {"A moves, B rekeys the child",
       [](World& w) {
         move(w);
         w.b.at.engine.rekey_child(w.pair.now, w.b.child);
       },
       1, 1, Roles::kClientA},
      {"A moves, B rekeys the IKE SA",
       [](World& w) {
         move(w);
         w.b.at.engine.rekey(w.pair.now, w.b.sa);
       },
       1, 1, Roles::kClientA},
      {"A rekeys the child, and moves",
       [](World& w) {
         w.a.at.engine.rekey_child(w.pair.now, w.a.child);
         move(w);
       },
       1, 1, Roles::kClientA},
      {"A rekeys the IKE SA, and moves",
       [](World& w) {
         w.a.at.engine.rekey(w.pair.now, w.a.sa);
         move(w);
       },
       1, 1, Roles::kClientA},
      {"both rekey the IKE SA, and A moves",
       [](World& w) {
         w.a.at.engine.rekey(w.pair.now, w.a.sa);
         w.b.at.engine.rekey(w.pair.now, w.b.sa);
         w.pair.run(25ms);
         move(w);
       },
       1, 1, Roles::kClientA},
      {"A moves, B deletes the child",
       [](World& w) {
         move(w);
         w.b.at.engine.delete_child(w.pair.now, w.b.child);
       },
       1, 0, Roles::kClientA},
      {"A moves, B closes",
       [](World& w) {
         move(w);
         w.b.at.engine.close(w.pair.now, w.b.sa);
       },
       0, 0, Roles::kClientA},
  };
  return kAll;
}

using Fate = IkePair::Fate;

struct Weather {
  std::string name;
  std::function<IkePair::Bend(IkePair&)> make;
};

// Does `what` to the n-th message that one end sends from now on.
Weather nth(std::string name, bool of_a, unsigned n, Fate what) {
  return {std::move(name), [=](IkePair&) {
            return [=, seen = 0u](bool from_a, const Buffer&) mutable {
              if (from_a != of_a || seen++ != n) return Fate{};
              return what;
            };
          }};
}

std::vector<Weather> weathers() {
  std::vector<Weather> all = {
      {"fair", [](IkePair&) { return IkePair::Bend(); }},
      {"everything twice", [](IkePair&) { return [](bool, const Buffer&) { return Fate{.copies = 2}; }; }},
      {"out of order",
       [](IkePair& pair) {
         return [&pair](bool, const Buffer&) { return Fate{.extra = Duration(pair.net.below(60'000'000))}; };
       }},
      {"5 % lost",
       [](IkePair& pair) {
         return [&pair](bool, const Buffer&) { return Fate{.copies = pair.net.below(100) < 5 ? 0u : 1u}; };
       }},
      {"25 % lost",
       [](IkePair& pair) {
         return [&pair](bool, const Buffer&) { return Fate{.copies = pair.net.below(100) < 25 ? 0u : 1u}; };
       }},
      {"A's messages are slow",
       [](IkePair&) { return [](bool from_a, const Buffer&) { return Fate{.extra = from_a ? 300ms : 0ms}; }; }},
      {"B's messages are slow",
       [](IkePair&) { return [](bool from_a, const Buffer&) { return Fate{.extra = from_a ? 0ms : 300ms}; }; }},
  };
  for (unsigned n = 0; n < 4; ++n) {
    const std::string number = std::to_string(n);
    all.push_back(nth("A's message " + number + " is lost", true, n, {.copies = 0}));
    all.push_back(nth("B's message " + number + " is lost", false, n, {.copies = 0}));
    all.push_back(nth("A's message " + number + " comes late", true, n, {.extra = 5s}));
    all.push_back(nth("B's message " + number + " comes late", false, n, {.extra = 5s}));
  }
  return all;
}

// Traffic both ways for so long, a packet each 20 ms.
void run_with_traffic(IkePair& pair, Duration time) {
  const TimePoint end = pair.now + time;
  while (pair.now < end) {
    pair.send_packet(true);
    pair.send_packet(false);
    pair.run(20ms);
  }
}

void check_end(const World& w, const Scenario& scenario) {
  for (const test::IkeEnd* const end : {&w.pair.a, &w.pair.b}) {
    CAPTURE(end == &w.pair.a ? "A" : "B");
    CHECK(end->engine.size() == scenario.sas);
    CHECK(end->children.size() == scenario.children);
    CHECK(end->inbound.size() == scenario.children);
    // Reauthentication closes the old one; and a first message that comes late opens one that never comes up.
    const std::size_t closed = scenario.reauthenticates ? 1 : 1 - scenario.sas;
    CHECK(end->count<Closed>() >= closed);
    CHECK(end->count<Closed>() <= closed + (scenario.reauthenticates ? 1 : 0));
  }
  // Each child sends by what the other end accepts.
  for (const bool of_a : {true, false}) {
    const test::IkeEnd& from = of_a ? w.pair.a : w.pair.b;
    const test::IkeEnd& to = of_a ? w.pair.b : w.pair.a;
    for (const auto& [id, child] : from.children) CHECK(to.inbound.contains(child.outbound->spi()));
  }
  if (scenario.children != 0) CHECK(w.pair.traffic_flows());
  if (scenario.sas == 0 || scenario.reauthenticates) return;
  // Both know of one way.
  const auto way_a = w.pair.a.engine.info(w.pair.a.last<Up>()->sa),
             way_b = w.pair.b.engine.info(w.pair.b.last<Up>()->sa);
  REQUIRE(way_a);
  REQUIRE(way_b);
  CHECK(way_a->path.local == way_b->path.remote);
  const bool moves = scenario.name.find("moves") != std::string_view::npos;
  CHECK((way_a->path.local.address == elsewhere(w.pair).local.address) == moves);
  if (!moves) return;
  for (const test::IkeEnd* const end : {&w.pair.a, &w.pair.b}) {
    CAPTURE(end == &w.pair.a ? "A" : "B");
    REQUIRE(end->count<Migrated>() >= 1);
    CHECK(end->last<Migrated>()->sa == end->last<Up>()->sa);
    if (scenario.children != 0) CHECK(end->last<Migrated>()->children.size() == 1);
  }
}

// Ends that do not give up in any weather here.
ConnectionPtr patient(bool of_a) {
  Connection c = IkePair::connection(of_a);
  c.retransmission = {.first = 1s, .factor = 1.2, .tries = 12};
  return IkePair::share(c);
}

// How one comes to its end; the collisions that there were.
std::uint64_t play(const Scenario& scenario, const Weather& weather, std::uint64_t seed, bool mirrored) {
  IkePair pair(seed);
  const SaId sa = pair.connect(patient(true), patient(false));
  World::End client{pair.a, sa, pair.a.last<ChildUp>()->child};
  World::End gateway{pair.b, pair.b.last<Up>()->sa, pair.b.last<ChildUp>()->child};
  World w{pair, mirrored ? gateway : client, mirrored ? client : gateway};
  pair.bend = weather.make(pair);
  scenario.act(w);
  if (scenario.children != 0) run_with_traffic(pair, 15s);
  pair.run(150s);
  pair.bend = nullptr;
  pair.run(120s);
  // What makes another child is no rekey: a packet that overtakes the answer has nowhere to go yet.
  const bool counts = scenario.children == 1 &&
                      (!scenario.reauthenticates || (scenario.name == "A reauthenticates" && weather.name == "fair"));
  if (counts) CHECK(pair.lost_to_rekeying() == 0);
  check_end(w, scenario);
  return pair.a.engine.counters().collisions + pair.b.engine.counters().collisions;
}

TEST_CASE("ike: exchanges that cross, under every weather, in either role") {
  std::uint64_t collisions = 0;
  for (const Scenario& scenario : scenarios()) {
    for (const Weather& weather : weathers()) {
      // The nonces decide who gives way: seeds for both outcomes.
      for (const std::uint64_t seed : {11, 12, 13}) {
        for (const bool mirrored : {false, true}) {
          if (mirrored && scenario.roles != Roles::kAny) continue;
          CAPTURE(scenario.name);
          CAPTURE(weather.name);
          CAPTURE(seed);
          CAPTURE(mirrored);
          collisions += play(scenario, weather, seed, mirrored);
        }
      }
    }
  }
  CHECK(collisions > 100);
}

// --- A peer that vanishes in the middle

ConnectionPtr hasty(bool of_a) {
  Connection c = IkePair::connection(of_a);
  c.dpd_delay = 3s;
  c.retransmission = {.first = 1s, .factor = 1.5, .tries = 3};
  return IkePair::share(c);
}

TEST_CASE("ike: a peer that vanishes while both rekey, after each of its messages: nothing is left of it") {
  for (const bool of_ike : {true, false}) {
    for (const bool gone_is_a : {true, false}) {
      for (unsigned after = 0; after < 6; ++after) {
        for (const std::uint64_t seed : {21, 22, 23}) {
          CAPTURE(of_ike);
          CAPTURE(gone_is_a);
          CAPTURE(after);
          CAPTURE(seed);
          IkePair pair(seed);
          const SaId sa = pair.connect(hasty(true), hasty(false));
          const SaId sa_b = pair.b.last<Up>()->sa;
          pair.bend = [=, seen = 0u](bool from_a, const Buffer&) mutable {
            // What it has said arrives; what is said to it after that does not.
            if (from_a == gone_is_a) return Fate{seen++ < after ? 1u : 0u};
            return Fate{seen < after ? 1u : 0u};
          };
          if (of_ike) {
            pair.a.engine.rekey(pair.now, sa);
            pair.b.engine.rekey(pair.now, sa_b);
          } else {
            pair.a.engine.rekey_child(pair.now, pair.a.children.begin()->first);
            pair.b.engine.rekey_child(pair.now, pair.b.children.begin()->first);
          }
          pair.run(120s);
          for (const test::IkeEnd* const end : {&pair.a, &pair.b}) {
            CAPTURE(end == &pair.a ? "A" : "B");
            CHECK(end->engine.size() == 0);
            CHECK(end->children.empty());
            CHECK(end->inbound.empty());
            REQUIRE(end->count<Closed>() == 1);
            CHECK(end->last<Closed>()->reason.cause == Cause::kTimedOut);
            CHECK(end->count<ChildDown>() == 1);
          }
        }
      }
    }
  }
}

TEST_CASE("ike: a host that forgets an IKE SA in a collision forgets what the peer has made beside it") {
  IkePair pair(24);
  const SaId sa = pair.connect(hasty(true), hasty(false));
  pair.bend = [](bool from_a, const Buffer&) { return Fate{from_a ? 0u : 1u}; };
  pair.a.engine.rekey(pair.now, sa);
  pair.b.engine.rekey(pair.now, pair.b.last<Up>()->sa);
  pair.run(50ms);
  REQUIRE(pair.a.engine.size() == 2);
  CHECK(pair.a.engine.forget(sa));
  CHECK(pair.a.engine.size() == 0);
}

}  // namespace
}  // namespace winze::ike
