// A client that moves from one address to another (RFC 4555), over sockets of loopback: 127.0.0.0/8 is all this host's.
#include <doctest/doctest.h>

#include "support/ipsec_world.h"

namespace winze::tunnel {
namespace {

using namespace std::chrono_literals;
using test::ip;
using test::Pair;
using test::Site;
using test::World;

struct Roaming : Pair {
  Site* site = nullptr;
  ike::SaId sa{};

  explicit Roaming(bool mobike = true) {
    site = &add_client(ip("0.0.0.0"));
    auto own = client_connection("a.test");
    own->mobike = mobike;
    const auto begun = site->host->connect(own, at(), ip("127.0.0.1"));
    REQUIRE(begun.ok());
    sa = *begun;
    REQUIRE(until([&] { return !site->children.empty() && !gateway->children.empty(); }));
  }
};

TEST_CASE("a client moves: its children go on, their counters too, and the gateway is told") {
  Roaming world;
  Site& site = *world.site;
  world.exchange(site);
  CHECK(world.gateway->host->info(world.gateway->ups[0].sa)->path.remote.address == ip("127.0.0.1"));
  int moves = 0;
  for (const char* const address : {"127.0.0.2", "127.0.0.3", "127.0.0.1"}) {
    CAPTURE(address);
    REQUIRE(site.host->move(world.sa, world.at(), ip(address)));
    ++moves;
    REQUIRE(world.until([&] { return site.migrated == moves && world.gateway->migrated == moves; }));
    CHECK(world.gateway->host->info(world.gateway->ups[0].sa)->path.remote.address == ip(address));
    CHECK(site.host->info(world.sa)->path.local.address == ip(address));
    world.exchange(site);
  }
  // A rekey afterwards, by the end that has not moved.
  CHECK(world.gateway->host->rekey_child(world.gateway->children[0].child));
  REQUIRE(world.until([&] { return site.outbound == 1 && world.gateway->outbound == 1; }));
  world.exchange(site);
  CHECK(site.ups.size() == 1);
  CHECK(site.children.size() == 1);
  for (const Site* const end : {&site, &*world.gateway}) {
    const auto counters = end->host->counters(end->children[0].child);
    REQUIRE(counters);
    CHECK(counters->packets_out == 5);
    CHECK(counters->packets_in == 5);
  }
}

TEST_CASE("a client moves: a child in transport mode is for the hosts' own traffic there too") {
  World world;
  const auto end = [](const char* id, const char* peer) {
    auto out = test::connection(id, peer);
    auto hosts = test::child("dynamic", "dynamic");
    hosts->mode = esp::Mode::kTransport;
    out->children.push_back(std::move(hosts));
    return out;
  };
  Site gateway(world.environment, {.connections = {end("gw.test", "a.test")}, .port = 0, .nat_port = 0});
  Site client(world.environment, {.address = ip("0.0.0.0"), .port = 0, .nat_port = 0});
  const Endpoint at = gateway.host->nat_local();
  const auto sa = client.host->connect(end("a.test", "gw.test"), at, ip("127.0.0.1"));
  REQUIRE(sa.ok());
  REQUIRE(world.until([&] { return client.children.size() == 1 && gateway.children.size() == 1; }));
  REQUIRE(client.children[0].how.mode == esp::Mode::kTransport);
  const auto talk = [&](const char* address) {
    CAPTURE(address);
    client.send(test::packet(address, "127.0.0.1", "there"));
    CHECK(world.until([&] { return !gateway.received.empty(); }));
    gateway.send(test::packet("127.0.0.1", address, "back"));
    CHECK(world.until([&] { return !client.received.empty(); }));
    gateway.received.clear();
    client.received.clear();
  };
  talk("127.0.0.1");
  REQUIRE(client.host->move(*sa, at, ip("127.0.0.2")));
  REQUIRE(world.until([&] { return client.migrated == 1 && gateway.migrated == 1; }));
  talk("127.0.0.2");
  CHECK(client.host->rekey_child(client.children[0].child));
  REQUIRE(world.until([&] { return client.outbound == 1 && gateway.outbound == 1; }));
  talk("127.0.0.2");
}

TEST_CASE("a client that moves without MOBIKE proves itself anew from there") {
  Roaming world(false);
  Site& site = *world.site;
  world.exchange(site);
  REQUIRE(site.host->move(world.sa, world.at(), ip("127.0.0.2")));
  REQUIRE(world.until([&] { return site.ups.size() == 2 && site.closed.size() == 1 && site.children.size() == 2; }));
  CHECK(site.ups[1].replaces == world.sa);
  CHECK(site.closed[0].reason.cause == ike::Cause::kReplaced);
  CHECK(site.migrated == 0);
  REQUIRE(world.until([&] { return !world.gateway->closed.empty(); }));
  CHECK(world.gateway->host->info(world.gateway->ups.back().sa)->path.remote.address == ip("127.0.0.2"));
  world.exchange(site);
}

TEST_CASE("who cannot move is told so, and nothing changes") {
  Roaming world;
  Site& site = *world.site;
  // Another IKE SA that is not there; one that is not up yet; the gateway's end of one.
  CHECK_FALSE(site.host->move(static_cast<ike::SaId>(77), world.at(), ip("127.0.0.2")));
  const ike::SaId theirs = world.gateway->ups[0].sa;
  CHECK_FALSE(world.gateway->host->move(theirs, site.host->nat_local(), ip("127.0.0.1")));
  auto nobody = Pair::client_connection("b.test");
  const auto begun = site.host->connect(nobody, {ip("127.0.0.9"), 9}, ip("127.0.0.1"));
  REQUIRE(begun.ok());
  CHECK_FALSE(site.host->move(*begun, world.at(), ip("127.0.0.2")));
  (void)world.until([] { return false; }, 50ms);
  CHECK(site.migrated + world.gateway->migrated == 0);
  world.exchange(site);
}

TEST_CASE("a network that has not changed moves nobody") {
  Roaming world;
  Site& site = *world.site;
  site.host->on_network_changed();
  world.gateway->host->on_network_changed();
  (void)world.until([] { return false; }, 100ms);
  CHECK(site.migrated + world.gateway->migrated == 0);
  world.exchange(site);
}

}  // namespace
}  // namespace winze::tunnel
