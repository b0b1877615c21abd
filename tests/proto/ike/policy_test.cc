// What a connection says of its peers: Connection::unique, AUTH_LIFETIME, and what children copy into outer headers.
#include <doctest/doctest.h>

#include <string>

#include "support/ike_pair.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

struct Ends {
  Connection a = IkePair::connection(true), b = IkePair::connection(false);
};

TEST_CASE("ike: a peer that comes again, by the policies of strongSwan's `unique`") {
  struct Row {
    std::string_view name;
    Unique unique;
    bool forgot;                              // so that it says INITIAL_CONTACT
    bool elsewhere;                           // it comes from another address
    bool second, first_at_once, first_later;  // the second comes up; the first is there afterwards
  };
  for (const Row& row : {
           Row{"no", Unique::kNo, false, false, true, true, true},
           Row{"no, from elsewhere", Unique::kNo, false, true, true, true, true},
           Row{"no, initial contact", Unique::kNo, true, false, true, false, false},
           Row{"never, initial contact", Unique::kNever, true, false, true, true, true},
           Row{"keep, from elsewhere", Unique::kKeep, false, true, false, true, true},
           Row{"keep, as in a reauthentication", Unique::kKeep, false, false, true, true, true},
           Row{"keep, initial contact from elsewhere", Unique::kKeep, true, true, true, false, false},
           Row{"replace, from elsewhere", Unique::kReplace, false, true, true, false, false},
           Row{"replace, as in a reauthentication", Unique::kReplace, false, false, true, true, false},
           Row{"replace, initial contact", Unique::kReplace, true, false, true, false, false},
       }) {
    CAPTURE(row.name);
    Ends ends;
    ends.a.dpd_delay = ends.b.dpd_delay = Duration(0);
    ends.b.unique = row.unique;
    IkePair pair(61);
    const ConnectionPtr of_a = IkePair::share(ends.a);
    const SaId first = pair.connect(of_a, IkePair::share(ends.b));
    const SaId at_b = pair.b.last<Up>()->sa;
    if (row.forgot) pair.a.engine.forget(first);
    Route route = pair.route();
    if (row.elsewhere) {
      route.first.local.address = route.floated->local.address = *IpAddress::parse("192.0.2.99");
    }
    pair.a.engine.initiate(pair.now, of_a, route);
    pair.run(5s);
    CHECK(pair.b.count<Up>() == (row.second ? 2 : 1));
    CHECK(pair.b.engine.info(at_b).has_value() == row.first_at_once);
    if (!row.second) {
      REQUIRE(pair.a.last<Closed>() != nullptr);
      CHECK(pair.a.last<Closed>()->reason.cause == Cause::kRefusedByPeer);
      CHECK(pair.b.last<Closed>()->reason.text.find("is kept") != std::string::npos);
    }
    pair.run(30s);
    CHECK(pair.b.engine.info(at_b).has_value() == row.first_later);
    if (!row.first_later) CHECK(pair.b.last<Closed>()->reason.cause == Cause::kReplaced);
    // One that remembers the first is told of its end.
    if (!row.first_later && !row.forgot) CHECK_FALSE(pair.a.engine.info(first));
  }
}

TEST_CASE("ike: a client says INITIAL_CONTACT only when it has no other IKE SA with the gateway") {
  Ends ends;
  IkePair pair(62);
  const ConnectionPtr of_a = IkePair::share(ends.a);
  pair.connect(of_a, IkePair::share(ends.b));
  pair.a.engine.initiate(pair.now, of_a, pair.route());
  pair.run(5s);
  CHECK(pair.b.count<Up>() == 2);
  CHECK(pair.b.count<Closed>() == 0);
}

TEST_CASE("ike: a client reauthenticates before the lifetime that the gateway says (RFC 4478)") {
  Ends ends;
  ends.b.reauth_time = 100s;
  ends.b.over_time = 20s;
  ends.a.reauth_time = Duration(0);
  IkePair pair(63);
  const SaId first = pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
  pair.run(85s);
  CHECK(pair.a.count<Up>() == 1);
  pair.run(10s);
  CHECK(pair.a.count<Up>() == 2);
  CHECK(pair.a.last<Up>()->replaces == first);
  CHECK(pair.b.count<Up>() == 2);
  pair.run(5s);
  CHECK(pair.a.engine.size() == 1);
  CHECK(pair.traffic_flows());
}

TEST_CASE("ike: a gateway ends an IKE SA whose client does not reauthenticate") {
  Ends ends;
  ends.b.reauth_time = 100s;
  ends.b.over_time = 20s;
  IkePair pair(64);
  // Of the client's messages only those pass that open the first IKE SA.
  unsigned opened = 0;
  pair.bend = [&](bool from_a, const Buffer& datagram) {
    const std::size_t at = load_u32(datagram.data()) == 0 ? 4 : 0;
    const bool opens = datagram.size() > at + 18 && datagram.data()[at + 18] == 34;
    return IkePair::Fate{.copies = from_a && opens && ++opened > 1 ? 0u : 1u};
  };
  pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
  pair.run(118s);
  CHECK(pair.b.count<Closed>() == 0);
  pair.run(3s);
  REQUIRE(pair.b.count<Closed>() == 1);
  CHECK(pair.b.last<Closed>()->reason.cause == Cause::kExpired);
  CHECK(pair.a.count<ChildDown>() == 1);
}

TEST_CASE("security: what was damaged on its way is as good as lost") {
  // The messages of a whole life: IKE_AUTH, a rekey of the child and its deletion, of the IKE SA, and its end.
  const auto live = [](IkePair& pair) {
    const SaId sa = pair.connect();
    pair.run(5s);
    REQUIRE(pair.a.count<ChildUp>() == 1);
    CHECK(pair.a.engine.rekey_child(pair.now, pair.a.last<ChildUp>()->child));
    pair.run(10s);
    CHECK(pair.b.engine.rekey(pair.now, pair.b.last<Up>()->sa));
    pair.run(10s);
    CHECK(pair.traffic_flows());
    CHECK(pair.a.engine.close(pair.now, sa));
    pair.run(100s);
    CHECK(pair.a.engine.size() + pair.b.engine.size() == 0);
  };
  unsigned messages = 0;
  IkePair whole(66);
  whole.bend = [&](bool, const Buffer&) { return ++messages, IkePair::Fate{}; };
  live(whole);
  // Of the first two nothing is proved yet: who stands on the way can have them fail.
  for (unsigned which = 2; which < messages; ++which) {
    for (std::size_t at = which % 11; at < 400; at += 11) {
      CAPTURE(which);
      CAPTURE(at);
      IkePair pair(66);
      unsigned passed = 0;
      pair.bend = [&](bool, const Buffer&) {
        IkePair::Fate fate;
        if (passed++ == which) fate.damaged = at;
        return fate;
      };
      live(pair);
    }
  }
}

TEST_CASE("ike: children say what of the inner header goes into the outer one, and how SHA-256 is cut") {
  Ends ends;
  for (Connection* const end : {&ends.a, &ends.b}) {
    ChildConfig child = *end->children.front();
    child.copy_dscp = child.copy_ecn = false;
    child.short_sha256 = child.legacy = true;
    child.proposals = *parse_proposals(Protocol::kEsp, "aes128-sha256");
    end->children = {std::make_shared<const ChildConfig>(std::move(child))};
  }
  IkePair pair(65);
  pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
  for (const test::IkeEnd* const end : {&pair.a, &pair.b}) {
    REQUIRE(end->count<ChildUp>() == 1);
    const ChildUp& up = *end->last<ChildUp>();
    CHECK(up.how.dscp == 0);
    CHECK(up.how.ecn == ip::EcnMode::kCompatibility);
    CHECK(up.inbound.algorithms.integrity == esp::Integrity::kHmacSha2_256_96);
    CHECK(up.outbound.algorithms.integrity == esp::Integrity::kHmacSha2_256_96);
  }
  CHECK(pair.traffic_flows());
}

TEST_CASE("ike: childless IKE SAs, as either end wants them (RFC 6023)") {
  using enum Childless;
  struct Row {
    Childless a, b;
    bool up;
    unsigned exchanges;  // of the client that has a child: IKE_SA_INIT, IKE_AUTH, CREATE_CHILD_SA
  };
  for (const Row& row : {Row{kAllow, kAllow, true, 2}, Row{kPrefer, kAllow, true, 3}, Row{kPrefer, kNever, true, 2},
                         Row{kForce, kAllow, true, 3}, Row{kForce, kNever, false, 1}, Row{kForce, kForce, true, 3},
                         Row{kAllow, kForce, false, 2}, Row{kPrefer, kForce, true, 3}, Row{kNever, kAllow, true, 2}}) {
    CAPTURE(static_cast<int>(row.a));
    CAPTURE(static_cast<int>(row.b));
    Ends ends;
    ends.a.childless = row.a;
    ends.b.childless = row.b;
    IkePair pair(66);
    pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
    CHECK(pair.a.engine.counters().sent == row.exchanges);
    CHECK(pair.a.count<Up>() == row.up);
    CHECK(pair.b.count<Up>() == row.up);
    if (row.up) {
      CHECK(pair.traffic_flows());
    } else {
      REQUIRE(pair.a.last<Closed>() != nullptr);
      CHECK(pair.a.last<Closed>()->reason.cause == (row.exchanges == 1 ? Cause::kUnsupported : Cause::kRefusedByPeer));
    }
  }
}

TEST_CASE("ike: a child without traffic is closed, and one with traffic is not") {
  TimePoint last{};
  EngineOptions options;
  options.last_traffic = [&](ChildId) { return last; };
  Ends ends;
  ends.a.dpd_delay = ends.b.dpd_delay = Duration(0);
  ChildConfig idle = IkePair::child(true);
  idle.inactivity = 100s;
  ends.a.children = {std::make_shared<ChildConfig>(idle)};
  IkePair pair(67, std::move(options));
  const SaId sa = pair.connect(IkePair::share(ends.a), IkePair::share(ends.b));
  pair.run(90s);
  last = pair.now;
  pair.run(95s);
  CHECK(pair.a.count<ChildDown>() == 0);
  // A rekey is no traffic.
  CHECK(pair.a.engine.rekey_child(pair.now, pair.a.last<ChildUp>()->child));
  pair.run(3s);
  REQUIRE(pair.a.count<ChildDown>() == 0);
  pair.run(10s);
  REQUIRE(pair.a.count<ChildDown>() == 1);
  CHECK(pair.a.last<ChildDown>()->reason.cause == Cause::kInactive);
  CHECK(pair.b.last<ChildDown>()->reason.cause == Cause::kClosedByPeer);
  CHECK(pair.a.engine.info(sa)->children.empty());
  CHECK(pair.a.engine.add_child(pair.now, sa, ends.a.children[0]));
  pair.run(1s);
  CHECK(pair.traffic_flows());
}

}  // namespace
}  // namespace winze::ike
