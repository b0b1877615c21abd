// Moves to other paths (RFC 4555): taken, refused, checked, and found when a path fails.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/ike_impostor.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::IkePair;

constexpr const char* kElsewhere = "198.51.100.9";

IpAddress ip(std::string_view text) { return *IpAddress::parse(text); }

// The client's path from another address of its own, or to another one of the gateway.
Route from(const IkePair& pair, std::string_view local, std::string_view remote = {}) {
  Path path = *pair.route().floated;
  path.local.address = ip(local);
  if (!remote.empty()) path.remote.address = ip(remote);
  return {path, std::nullopt};
}

// Both ends, and what is sealed with the keys of their IKE SA.
struct Rogue {
  Rogue() : pair(71, options(), {}) {}
  EngineOptions options() {
    EngineOptions out;
    out.key_log = [this](std::string_view line) { keys.take(line); };
    return out;
  }
  SaId connect() {
    Connection a = IkePair::connection(true), b = IkePair::connection(false);
    a.proposals = b.proposals = *parse_proposals(Protocol::kIke, test::kRogueProposal);
    return pair.connect(IkePair::share(a), IkePair::share(b));
  }
  void bring(bool to_a, Exchange exchange, bool response, std::uint32_t id, const PayloadWriter& out,
             const Buffer& inner) {
    test::bring(pair, to_a, keys.seal(random, exchange, !to_a, response, id, out.first(), inner.span()));
    pair.run(1s);
  }
  SeededRandom random{5};
  test::RogueKeys keys;
  IkePair pair;
};

TEST_CASE("mobike: an address that the gateway does not take: IKE and ESP both stay where they were") {
  Connection gateway = IkePair::connection(false);
  gateway.remote_addresses = {*Prefix::parse("192.0.2.0/24")};
  IkePair pair(70);
  const SaId sa = pair.connect(nullptr, IkePair::share(gateway));
  const SaId at_b = pair.b.last<Up>()->sa;
  const Path before = pair.a.engine.info(sa)->path, at_gateway = pair.b.engine.info(at_b)->path;
  CHECK(pair.a.engine.move(pair.now, sa, from(pair, kElsewhere)));
  pair.run(1s);
  CHECK(pair.a.count<Migrated>() + pair.b.count<Migrated>() == 0);
  REQUIRE(pair.a.count<MoveRefused>() == 1);
  CHECK(pair.a.last<MoveRefused>()->notify == notify::kUnacceptableAddresses);
  CHECK(pair.a.last<MoveRefused>()->refused.local.address == ip(kElsewhere));
  CHECK(pair.a.engine.info(sa)->path == before);
  CHECK(pair.b.engine.info(at_b)->path == at_gateway);
  CHECK(pair.a.engine.rekey(pair.now, sa));
  pair.run(5s);
  CHECK(pair.b.count<Rekeyed>() == 1);
  CHECK(pair.traffic_flows());
  // One that it takes.
  CHECK(pair.a.engine.move(pair.now, sa, from(pair, "192.0.2.77")));
  pair.run(1s);
  CHECK(pair.a.count<Migrated>() == 1);
  CHECK(pair.b.count<Migrated>() == 1);
}

TEST_CASE("mobike: a move that is overtaken by another ends at the last") {
  IkePair pair(72);
  const SaId sa = pair.connect();
  CHECK(pair.a.engine.move(pair.now, sa, from(pair, kElsewhere)));
  pair.drain();
  CHECK(pair.a.engine.move(pair.now, sa, from(pair, "198.51.100.10")));
  pair.run(2s);
  CHECK(pair.a.count<Migrated>() == 1);
  CHECK(pair.a.last<Migrated>()->path.local.address == ip("198.51.100.10"));
  REQUIRE(pair.b.last<Migrated>() != nullptr);
  CHECK(pair.b.last<Migrated>()->path.remote.address == ip("198.51.100.10"));
  CHECK(pair.traffic_flows());
}

TEST_CASE("mobike: a move while the gateway rekeys the IKE SA comes to its end") {
  for (const Duration delay : {Duration(0), Duration(5ms), Duration(15ms), Duration(25ms)}) {
    CAPTURE(delay.count());
    IkePair pair(73);
    const SaId sa = pair.connect();
    CHECK(pair.a.engine.move(pair.now, sa, from(pair, kElsewhere)));
    pair.run(delay);
    CHECK(pair.b.engine.rekey(pair.now, pair.b.last<Up>()->sa));
    pair.run(10s);
    CHECK(pair.a.count<Rekeyed>() == 1);
    REQUIRE(pair.a.count<Migrated>() >= 1);
    REQUIRE(pair.b.count<Migrated>() >= 1);
    CHECK(pair.a.last<Migrated>()->sa == sa);
    CHECK(pair.a.last<Migrated>()->children.size() == 1);
    CHECK(pair.b.last<Migrated>()->path.remote.address == ip(kElsewhere));
    CHECK(pair.b.last<Migrated>()->children.size() == 1);
    CHECK(pair.traffic_flows());
  }
}

TEST_CASE("mobike: a gateway sends ESP to a new address once the client has been heard to listen there") {
  IkePair pair(74);
  const SaId sa = pair.connect();
  const ChildConfigPtr second = IkePair::connection(true).children[0];
  // The gateway's answer arrives, and its question does not.
  unsigned from_b = 0;
  pair.bend = [&](bool from_a, const Buffer&) { return IkePair::Fate{!from_a && from_b++ > 0 ? 0u : 1u}; };
  CHECK(pair.a.engine.move(pair.now, sa, from(pair, kElsewhere)));
  pair.run(1s);
  CHECK(pair.a.count<Migrated>() == 1);
  CHECK(pair.b.count<Migrated>() == 0);
  // What is made meanwhile goes the proved way too.
  CHECK(pair.a.engine.add_child(pair.now, sa, second));
  pair.run(1s);
  CHECK(pair.b.last<ChildUp>()->how.remote == pair.a.plain.address);
  pair.bend = nullptr;
  pair.run(20s);
  REQUIRE(pair.b.count<Migrated>() == 1);
  CHECK(pair.b.last<Migrated>()->path.remote.address == ip(kElsewhere));
  CHECK(pair.b.last<Migrated>()->children.size() == 2);
  CHECK(pair.b.last<Migrated>()->children[1].how.remote == ip(kElsewhere));
  // Back to where it is known to be no question is needed; nor for another port of the same host.
  const std::uint64_t sent = pair.b.engine.counters().sent;
  Route route = from(pair, kElsewhere);
  route.first.local.port = 5500;
  CHECK(pair.a.engine.move(pair.now, sa, route));
  pair.run(1s);
  CHECK(pair.b.count<Migrated>() == 2);
  CHECK(pair.b.engine.counters().sent == sent + 1);
}

TEST_CASE("mobike: no ESP for an address at which nobody answers") {
  IkePair pair(75);
  const SaId sa = pair.connect();
  pair.open = [](const Path& path) { return path.remote.address != ip(kElsewhere); };
  CHECK(pair.a.engine.move(pair.now, sa, from(pair, kElsewhere)));
  pair.run(400s);
  CHECK(pair.b.count<Migrated>() == 0);
  REQUIRE(pair.b.last<Closed>() != nullptr);
  CHECK(pair.b.last<Closed>()->reason.cause == Cause::kTimedOut);
  CHECK(pair.a.engine.size() + pair.b.engine.size() == 0);
}

TEST_CASE("mobike: what checks a new address has NAT detection too, without which libreswan answers no cookie") {
  Rogue r;
  const SaId sa = r.connect();
  std::vector<std::uint16_t> asked;
  r.pair.bend = [&](bool from_a, const Buffer& datagram) {
    const auto heard = test::open_with(r.keys, datagram);
    if (!from_a && heard && !heard->header.response) asked = heard->notifies();
    return IkePair::Fate{};
  };
  CHECK(r.pair.a.engine.move(r.pair.now, sa, from(r.pair, kElsewhere)));
  r.pair.run(1s);
  CHECK(asked == std::vector{notify::kNatDetectionSource, notify::kNatDetectionDestination, notify::kCookie2});
  CHECK(r.pair.b.count<Migrated>() == 1);
}

TEST_CASE("mobike: an answer with another cookie, or with none, closes the IKE SA (RFC 4555 section 3.7)") {
  for (const bool of_client : {true, false}) {
    for (const bool none : {true, false}) {
      CAPTURE(of_client);
      CAPTURE(none);
      Rogue r;
      const SaId sa = r.connect();
      // The client's own answers do not come; nor the gateway's, where the client is the one that is fooled.
      bool moved = false;
      r.pair.bend = [&](bool from_a, const Buffer&) {
        if (of_client) return IkePair::Fate{from_a ? 1u : 0u};
        return IkePair::Fate{from_a && std::exchange(moved, true) ? 0u : 1u};
      };
      CHECK(r.pair.a.engine.move(r.pair.now, sa, from(r.pair, kElsewhere)));
      r.pair.run(100ms);
      Buffer inner(64);
      PayloadWriter out(inner);
      const Bytes cookie(16, 7);
      write_notify(out, none ? notify::kAuthLifetime : notify::kCookie2, none ? Bytes(4, 1) : cookie);
      r.bring(of_client, Exchange::kInformational, true, of_client ? 2 : 0, out, inner);
      const test::IkeEnd& end = of_client ? r.pair.a : r.pair.b;
      CHECK(end.count<Migrated>() == 0);
      r.pair.run(400s);
      REQUIRE(end.last<Closed>() != nullptr);
      CHECK(end.engine.size() == 0);
    }
  }
}

TEST_CASE("mobike: a gateway tells its addresses, and a client forgets those that it takes back") {
  Connection gateway = IkePair::connection(false);
  gateway.local_addresses = {*Prefix::parse("192.0.2.0/24"), *Prefix::parse("2001:db8::/32")};
  IkePair pair(76);
  pair.b.engine.set_addresses(pair.now, {ip("192.0.2.2"), ip("192.0.2.22"), ip("2001:db8::2"), ip("10.0.0.1")});
  const SaId sa = pair.connect(nullptr, IkePair::share(gateway));
  CHECK(pair.a.engine.info(sa)->peer_addresses == std::vector{ip("192.0.2.22"), ip("2001:db8::2"), ip("192.0.2.2")});
  pair.b.engine.set_addresses(pair.now, {ip("192.0.2.2"), ip("2001:db8::2")});
  pair.run(1s);
  CHECK(pair.a.engine.info(sa)->peer_addresses == std::vector{ip("2001:db8::2"), ip("192.0.2.2")});
  pair.b.engine.set_addresses(pair.now, {ip("192.0.2.2")});
  pair.run(1s);
  CHECK(pair.a.engine.info(sa)->peer_addresses == std::vector{ip("192.0.2.2")});
  // The same again is no news.
  const std::uint64_t sent = pair.b.engine.counters().sent;
  pair.b.engine.set_addresses(pair.now, {ip("192.0.2.2")});
  pair.run(1s);
  CHECK(pair.b.engine.counters().sent == sent);
}

TEST_CASE("mobike: a client whose path fails goes to another address of its gateway, and each is tried once") {
  for (const bool all : {false, true}) {
    CAPTURE(all);
    Connection a = IkePair::connection(true);
    a.dpd_delay = 10s;
    IkePair pair(77);
    pair.b.engine.set_addresses(pair.now, {ip("192.0.2.2"), ip("192.0.2.22"), ip("192.0.2.23")});
    pair.a.on_event = [&](const Event& event) {
      const auto* const failing = std::get_if<PathFailing>(&event);
      if (failing == nullptr) return;
      Path path = failing->path;
      path.remote.address = failing->others.front();
      CHECK(pair.a.engine.move(pair.now, failing->sa, {path, std::nullopt}));
    };
    const SaId sa = pair.connect(IkePair::share(a));
    pair.open = [&](const Path& path) {
      const IpAddress& gateway = path.remote.port == 4500 && path.local.address == pair.a.plain.address
                                     ? path.remote.address
                                     : path.local.address;
      return !all && gateway == ip("192.0.2.23");
    };
    pair.run(400s);
    CHECK(pair.a.count<PathFailing>() == 2);
    if (all) {
      REQUIRE(pair.a.last<Closed>() != nullptr);
      CHECK(pair.a.last<Closed>()->reason.cause == Cause::kTimedOut);
      continue;
    }
    CHECK(pair.a.engine.info(sa)->path.remote.address == ip("192.0.2.23"));
    REQUIRE(pair.a.count<Migrated>() == 1);
    CHECK(pair.b.last<Migrated>()->path.local.address == ip("192.0.2.23"));
    CHECK(pair.traffic_flows());
    // And back when that one fails, for it has been heard from since.
    pair.open = [&](const Path& path) {
      return path.remote.address != ip("192.0.2.23") && path.local.address != ip("192.0.2.23");
    };
    pair.run(400s);
    CHECK(pair.a.engine.info(sa)->path.remote.address == ip("192.0.2.22"));
    CHECK(pair.traffic_flows());
  }
}

TEST_CASE("mobike: a peer that wants no NAT is told of one, and nothing moves") {
  for (const bool true_words : {true, false}) {
    CAPTURE(true_words);
    Rogue r;
    r.connect();
    Buffer said(64);
    Writer words(said);
    words.bytes(ip(true_words ? "192.0.2.1" : "10.0.0.1").bytes());
    words.bytes(ip("192.0.2.2").bytes());
    words.u16(4500);
    words.u16(4500);
    Buffer inner(128);
    PayloadWriter out(inner);
    write_notify(out, notify::kUpdateSaAddresses);
    write_notify(out, notify::kNoNatsAllowed, said.span());
    r.bring(false, Exchange::kInformational, false, 2, out, inner);
    CHECK(r.pair.b.count<Migrated>() == (true_words ? 1 : 0));
    CHECK(r.pair.b.count<Closed>() == 0);
  }
}

TEST_CASE("mobike: a NAT that the peer does not want ends IKE_AUTH") {
  Rogue r;
  r.pair.bend = [n = 0](bool, const Buffer&) mutable { return IkePair::Fate{n++ < 2 ? 1u : 0u}; };
  r.connect();
  Buffer inner(128);
  PayloadWriter out(inner);
  write_id(out, PayloadType::kIdInitiator, Identity::parse("a.test"));
  write_notify(out, notify::kNoNatsAllowed, Bytes(12, 10));
  r.bring(false, Exchange::kAuth, false, 1, out, inner);
  REQUIRE(r.pair.b.last<Closed>() != nullptr);
  CHECK(r.pair.b.last<Closed>()->reason.notify == notify::kUnexpectedNatDetected);
}

TEST_CASE("mobike: keepalives begin and end with the NAT that the client moves behind") {
  Connection a = IkePair::connection(true), b = IkePair::connection(false);
  a.dpd_delay = b.dpd_delay = Duration(0);
  a.force_encapsulation = b.force_encapsulation = false;
  IkePair pair(78);
  const SaId sa = pair.connect(IkePair::share(a), IkePair::share(b));
  pair.translate = [&](Endpoint end) {
    if (end.address == ip(kElsewhere)) return Endpoint{ip("203.0.113.1"), 40000};
    return end;
  };
  const auto wakes = [&] {
    const std::uint64_t before = pair.wakes;
    pair.run(100s);
    return pair.wakes - before;
  };
  CHECK(wakes() == 0);
  CHECK(pair.a.engine.move(pair.now, sa, from(pair, kElsewhere)));
  pair.run(1s);
  CHECK(wakes() >= 5);
  CHECK(pair.a.engine.move(pair.now, sa, from(pair, "192.0.2.1")));
  pair.run(1s);
  CHECK(wakes() == 0);
}

}  // namespace
}  // namespace winze::ike
