// Hosts that talk to each other over loopback, in one process, without privileges.
#include "winze/tunnel/ipsec_host.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/ipsec_world.h"
#include "winze/tunnel/ipsec_client.h"

namespace winze::tunnel {
namespace {

using namespace std::chrono_literals;

using test::child;
using test::connection;
using test::ip;
using test::Pair;
using test::Site;
using test::World;

TEST_CASE("many clients, each with an address of its own, through one gateway") {
  Pair world;
  for (int i = 0; i < 5; ++i) {
    Site& site = world.add_client();
    const std::string id = "client" + std::to_string(i) + ".test";
    REQUIRE(site.host->connect(Pair::client_connection(id), world.at()).ok());
    REQUIRE(world.until([&] { return !site.children.empty(); }));
    CHECK(site.ups.at(0).configuration.dns.at(0) == ip("10.2.0.53"));
    CHECK(site.ups[0].remote.to_string() == "gw.test");
  }
  REQUIRE(world.until([&] { return world.gateway->children.size() == 5; }));
  std::vector<IpAddress> given;
  for (Site& site : world.clients) {
    world.exchange(site);
    given.push_back(site.ups[0].configuration.addresses.at(0).address);
  }
  std::ranges::sort(given);
  CHECK(std::ranges::adjacent_find(given) == given.end());
  CHECK(world.gateway->host->sas().size() == 5);

  // Addresses come back to the pool, and to who had them.
  Site& first = world.clients.front();
  const IpAddress address = first.ups[0].configuration.addresses[0].address;
  CHECK(first.host->close(first.ups[0].sa));
  REQUIRE(world.until([&] { return !first.closed.empty() && !world.gateway->closed.empty(); }));
  CHECK(world.gateway->closed[0].reason.cause == ike::Cause::kClosedByPeer);
  REQUIRE(first.host->connect(Pair::client_connection("client0.test"), world.at()).ok());
  REQUIRE(world.until([&] { return first.ups.size() == 2; }));
  CHECK(first.ups[1].configuration.addresses.at(0).address == address);
}

TEST_CASE("addresses of both versions, and what is given when one or both are exhausted") {
  Pair world;
  auto road = std::make_shared<ike::Connection>(*world.served);
  road->name = "two";
  ike::ChildConfig both = *road->children[0];
  both.local.selectors.push_back(*ip::Selector::parse("fd02::/64"));
  road->children = {std::make_shared<ike::ChildConfig>(both)};
  IpsecHostOptions options{.connections = {road}, .port = 0, .nat_port = 0};
  options.pools["two"] = {std::make_shared<AddressPool>(*AddressPool::parse("10.3.0.1-10.3.0.1")),
                          std::make_shared<AddressPool>(*AddressPool::parse("fd03::1-fd03::2"))};
  Site gateway(world.environment, std::move(options));
  std::vector<std::string> given;
  for (const std::string id : {"a", "b", "c"}) {
    Site& site = world.add_client();
    auto own = Pair::client_connection(id + ".test");
    own->request.addresses.push_back({ip("::"), 0});
    ike::ChildConfig child_of = *own->children[0];
    child_of.remote.selectors.push_back(*ip::Selector::parse("fd02::/64"));
    own->children = {std::make_shared<ike::ChildConfig>(child_of)};
    REQUIRE(site.host->connect(own, gateway.host->nat_local()).ok());
    REQUIRE(world.until([&] { return !site.ups.empty(); }));
    std::string all;
    for (const Prefix& one : site.ups[0].configuration.addresses) all += one.address.to_string() + " ";
    given.push_back(all);
  }
  CHECK(given[0] == "10.3.0.1 fd03::1 ");
  CHECK(given[1] == "fd03::2 ");
  CHECK(given[2] == "");
  // Authenticated anew, the first keeps both.
  Site& first = world.clients.front();
  REQUIRE(first.host->reauthenticate(first.ups[0].sa));
  REQUIRE(world.until([&] { return first.ups.size() == 2 && first.closed.size() == 1; }));
  REQUIRE(first.ups[1].configuration.addresses.size() == 2);
  CHECK(first.ups[1].configuration.addresses[0].address == ip("10.3.0.1"));
  CHECK(first.ups[1].configuration.addresses[1].address == ip("fd03::1"));
  REQUIRE(world.until([&] { return first.children.size() == 2; }));
}

TEST_CASE("counters go on across rekeys, and nothing is lost") {
  Pair world;
  Site& site = world.add_client();
  REQUIRE(site.host->connect(Pair::client_connection("a.test"), world.at()).ok());
  REQUIRE(world.until([&] { return !site.children.empty() && !world.gateway->children.empty(); }));
  world.exchange(site);
  for (int i = 0; i < 3; ++i) {
    const int before = site.outbound, gateways = world.gateway->outbound, gone = site.gone;
    CHECK(
        (i % 2 == 0 ? site : *world.gateway).host->rekey_child((i % 2 == 0 ? site : *world.gateway).children[0].child));
    world.exchange(site);
    REQUIRE(
        world.until([&] { return site.outbound > before && world.gateway->outbound > gateways && site.gone > gone; }));
    world.exchange(site);
  }
  CHECK(site.host->rekey(site.ups[0].sa));
  REQUIRE(world.until([&] { return site.rekeyed == 1 && world.gateway->rekeyed == 1; }));
  world.exchange(site);
  const auto counters = site.host->counters(site.children[0].child);
  REQUIRE(counters);
  CHECK(counters->packets_out == 8);
  CHECK(counters->packets_in == 8);
  CHECK(world.gateway->host->counters(world.gateway->children[0].child)->packets_in == 8);
}

TEST_CASE("a wrong secret is said to both, and the client tries again as often as it was told") {
  Pair world;
  Site& site = world.add_client();
  auto wrong = Pair::client_connection("a.test");
  wrong->local.psk = Secret(std::string_view("wrong"));
  int downs = 0;
  bool more = true;
  site.client.emplace(world.environment, *site.host,
                      IpsecClientOptions{.connection = wrong,
                                         .gateways = {Destination(world.at().address, world.at().port, Network::kUdp)},
                                         .tries = 2,
                                         .first_pause = 10ms},
                      IpsecClient::Handlers{.on_up = nullptr, .on_down = [&](const ike::Reason& reason, bool again) {
                                              CHECK(reason.stage == ike::Stage::kAuth);
                                              ++downs;
                                              more = again;
                                            }});
  REQUIRE(world.until([&] { return !more; }));
  CHECK(downs == 2);
  REQUIRE(world.until([&] { return !world.gateway->closed.empty(); }));
  CHECK(world.gateway->closed[0].reason.cause == ike::Cause::kAuthentication);
  CHECK(site.ups.empty());
}

TEST_CASE("hooks answer later") {
  World world;
  auto open = connection("gw.test", "%any");
  open->local.psk = {};
  open->remote.psk = {};
  open->ask_authorize = true;
  open->children.push_back(child("10.2.0.0/24", "10.1.0.0/24"));
  std::vector<IpsecHost::Completion> waiting;
  std::string asked;
  IpsecHost::Hooks hooks;
  hooks.psk = [&](const ike::AskPsk& question, IpsecHost::Completion done) {
    asked = question.remote.to_string();
    done(Secret(std::string_view("a secret of both")));
  };
  hooks.authorize = [&](const ike::AskAuthorize&, IpsecHost::Completion done) { waiting.push_back(std::move(done)); };
  Site gateway(world.environment, {.connections = {open}, .port = 0, .nat_port = 0}, std::move(hooks));
  Site site(world.environment, {.port = 0, .nat_port = 0});
  auto config = connection("a.test", "gw.test");
  config->children.push_back(child("10.1.0.0/24", "10.2.0.0/24"));
  REQUIRE(site.host->connect(config, gateway.host->nat_local()).ok());
  REQUIRE(world.until([&] { return !waiting.empty(); }));
  CHECK(asked == "a.test");
  (void)world.until([] { return false; }, 100ms);
  CHECK(site.ups.empty());
  waiting[0](ike::Allow{});
  REQUIRE(world.until([&] { return !site.children.empty(); }));

  Site other(world.environment, {.port = 0, .nat_port = 0});
  waiting.clear();
  REQUIRE(other.host->connect(config, gateway.host->nat_local()).ok());
  REQUIRE(world.until([&] { return !waiting.empty(); }));
  waiting[0](ike::Refuse{"not today"});
  REQUIRE(world.until([&] { return !other.closed.empty(); }));
  CHECK(other.closed[0].reason.cause == ike::Cause::kRefusedByPeer);
}

TEST_CASE("a client goes where its gateway sends it, and comes back by its ticket") {
  Pair world;
  auto road = std::make_shared<ike::Connection>(*world.served);
  road->resumption = true;
  world.gateway->host->set_connections({road});
  Site& site = world.add_client();
  auto own = Pair::client_connection("a.test");
  own->resumption = own->follow_redirects = true;
  site.client.emplace(world.environment, *site.host,
                      IpsecClientOptions{.connection = own,
                                         .gateways = {Destination(world.at().address, world.at().port, Network::kUdp)},
                                         .first_pause = 10ms},
                      IpsecClient::Handlers{});
  REQUIRE(world.until([&] { return site.children.size() == 1; }));
  world.exchange(site);
  // To itself, for want of another: a second IKE SA, then the first one ends.
  REQUIRE(world.gateway->host->redirect(world.gateway->ups.back().sa, {.address = world.at().address}));
  REQUIRE(world.until([&] { return site.children.size() == 2 && site.closed.size() == 1; }));
  CHECK(site.ups[1].replaces == site.ups[0].sa);
  CHECK(site.closed[0].reason.cause == ike::Cause::kReplaced);
  CHECK(world.gateway->host->ike_counters().resumed == 0);
  // The gateway ends it, and the client begins anew: with the ticket that it had.
  REQUIRE(world.gateway->host->close(world.gateway->ups.back().sa));
  REQUIRE(world.until([&] { return site.children.size() == 3; }));
  CHECK(world.gateway->host->ike_counters().resumed == 1);
  world.exchange(site);
}

TEST_CASE("stop tells the peers") {
  Pair world;
  Site& site = world.add_client();
  REQUIRE(site.host->connect(Pair::client_connection("a.test"), world.at()).ok());
  REQUIRE(world.until([&] { return !site.children.empty(); }));
  bool stopped = false;
  world.gateway->host->stop(5s, [&] { stopped = true; });
  REQUIRE(world.until([&] { return stopped && !site.closed.empty(); }));
  CHECK(world.gateway->host->sas().empty());
}

}  // namespace
}  // namespace winze::tunnel
