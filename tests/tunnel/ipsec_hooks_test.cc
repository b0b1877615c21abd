// What a host is asked, and answers now, later, too late, or not at all.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "support/ipsec_world.h"

namespace winze::tunnel {
namespace {

using namespace std::chrono_literals;
using test::child;
using test::connection;
using test::ip;
using test::Site;
using test::World;

using Completions = std::vector<IpsecHost::Completion>;

std::shared_ptr<ike::Connection> gateway_connection() {
  auto made = connection("gw.test", "%any");
  made->children.push_back(child("10.2.0.0/24", "10.1.0.0/24"));
  return made;
}

std::shared_ptr<ike::Connection> client_connection() {
  auto made = connection("a.test", "gw.test");
  made->children.push_back(child("10.1.0.0/24", "10.2.0.0/24"));
  return made;
}

IpsecHostOptions serving(ike::ConnectionPtr served) {
  return {.connections = {std::move(served)}, .port = 0, .nat_port = 0};
}

TEST_CASE("the host chooses a peer's connection, later") {
  World world;
  Completions waiting;
  std::string asked, wanted;
  IpsecHost::Hooks hooks;
  hooks.connection = [&](const ike::AskConnection& question, IpsecHost::Completion done) {
    asked = question.remote.to_string();
    wanted = question.wanted ? question.wanted->to_string() : "";
    waiting.push_back(std::move(done));
  };
  IpsecHostOptions options = serving(gateway_connection());
  options.engine.ask_connection = true;
  Site gateway(world.environment, std::move(options), std::move(hooks));
  Site site(world.environment, {.port = 0, .nat_port = 0});
  REQUIRE(site.host->connect(client_connection(), gateway.host->nat_local()).ok());
  REQUIRE(world.until([&] { return waiting.size() == 1; }));
  CHECK(asked == "a.test");
  CHECK(wanted == "gw.test");
  auto chosen = gateway_connection();
  chosen->name = "chosen";
  waiting[0](ike::ConnectionPtr(chosen));
  REQUIRE(world.until([&] { return !site.children.empty() && !gateway.ups.empty(); }));
  CHECK(gateway.ups[0].connection->name == "chosen");
}

TEST_CASE("the host gives an address, and with none of its own a refusal leaves the IKE SA without a child") {
  for (const bool refuse : {false, true}) {
    CAPTURE(refuse);
    World world;
    Completions waiting;
    IpsecHost::Hooks hooks;
    hooks.addresses = [&](const ike::AskAddresses& question, IpsecHost::Completion done) {
      CHECK(question.wish.addresses.size() == 1);
      waiting.push_back(std::move(done));
    };
    auto served = gateway_connection();
    served->pool = true;
    served->children = {child("10.2.0.0/24", "dynamic")};
    Site gateway(world.environment, serving(served), std::move(hooks));
    Site site(world.environment, {.port = 0, .nat_port = 0});
    REQUIRE(site.host->connect(test::Pair::client_connection("a.test"), gateway.host->nat_local()).ok());
    REQUIRE(world.until([&] { return waiting.size() == 1; }));
    if (refuse) {
      waiting[0](ike::Refuse{"none left"});
      REQUIRE(world.until([&] { return !site.ups.empty() && !gateway.ups.empty(); }));
      CHECK(site.ups[0].configuration.addresses.empty());
      CHECK(site.children.empty());
      continue;
    }
    ike::Configuration given;
    given.addresses = {{ip("10.3.0.77"), 32}};
    waiting[0](given);
    REQUIRE(world.until([&] { return !site.children.empty(); }));
    REQUIRE(site.ups[0].configuration.addresses.size() == 1);
    CHECK(site.ups[0].configuration.addresses[0].address == ip("10.3.0.77"));
    CHECK(site.children[0].selectors.local[0].to_string() == "10.3.0.77");
  }
}

TEST_CASE("the host narrows, in IKE_AUTH and for a further child") {
  World world;
  Completions waiting;
  std::vector<ip::SelectorPair> offered;
  IpsecHost::Hooks hooks;
  hooks.narrow = [&](const ike::AskNarrow& question, IpsecHost::Completion done) {
    offered.push_back(question.selectors);
    waiting.push_back(std::move(done));
  };
  auto served = gateway_connection();
  served->ask_narrow = true;
  Site gateway(world.environment, serving(served), std::move(hooks));
  Site site(world.environment, {.port = 0, .nat_port = 0});
  REQUIRE(site.host->connect(client_connection(), gateway.host->nat_local()).ok());
  REQUIRE(world.until([&] { return waiting.size() == 1; }));
  CHECK(offered[0].local[0].to_string() == "10.2.0.0/24");
  ip::SelectorPair less = offered[0];
  less.local = {*ip::Selector::parse("10.2.0.7")};
  waiting[0](less);
  REQUIRE(world.until([&] { return site.children.size() == 1; }));
  CHECK(site.children[0].selectors.remote[0].to_string() == "10.2.0.7");
  // Another, of which nothing is left.
  REQUIRE(site.host->add_child(site.ups[0].sa, child("10.1.0.0/24", "10.2.0.0/24")));
  REQUIRE(world.until([&] { return waiting.size() == 2; }));
  waiting[1](ike::Refuse{"no more"});
  // The IKE SA goes on: the first child is rekeyed, which asks again.
  (void)world.until([] { return false; }, 100ms);
  CHECK(site.children.size() == 1);
  REQUIRE(site.host->rekey_child(site.children[0].child));
  REQUIRE(world.until([&] { return waiting.size() == 3; }));
  waiting[2](offered[2]);
  REQUIRE(world.until([&] { return site.outbound == 1; }));
  CHECK(site.closed.empty());
}

TEST_CASE("a question that nobody answers is refused") {
  struct Row {
    const char* what;
    void (*change)(ike::Connection&, IpsecHostOptions&);
    bool comes_up;
  };
  for (const Row& row : {
           Row{"connection", [](ike::Connection&, IpsecHostOptions& o) { o.engine.ask_connection = true; }, false},
           Row{"psk", [](ike::Connection& c, IpsecHostOptions&) { c.local.psk = c.remote.psk = Secret(); }, false},
           Row{"authorize", [](ike::Connection& c, IpsecHostOptions&) { c.ask_authorize = true; }, false},
           Row{"addresses",
               [](ike::Connection& c, IpsecHostOptions&) {
                 c.pool = true;
                 c.children = {child("10.2.0.0/24", "dynamic")};
               },
               true},
           Row{"narrow", [](ike::Connection& c, IpsecHostOptions&) { c.ask_narrow = true; }, true},
       }) {
    CAPTURE(row.what);
    World world;
    auto served = gateway_connection();
    IpsecHostOptions options{.port = 0, .nat_port = 0};
    row.change(*served, options);
    options.connections = {served};
    Site gateway(world.environment, std::move(options));
    Site site(world.environment, {.port = 0, .nat_port = 0});
    auto own = client_connection();
    own->request.addresses.push_back({ip("0.0.0.0"), 0});
    REQUIRE(site.host->connect(own, gateway.host->nat_local()).ok());
    REQUIRE(world.until([&] { return !site.closed.empty() || !site.ups.empty(); }));
    (void)world.until([] { return false; }, 50ms);
    CHECK(site.ups.size() == (row.comes_up ? 1 : 0));
    CHECK(site.children.empty());
    if (!row.comes_up) CHECK(gateway.closed.at(0).reason.cause == ike::Cause::kRefusedByHost);
  }
}

TEST_CASE("an answer that comes twice, after its question has ended, or after its host has gone does nothing") {
  World world;
  Completions waiting;
  const auto asking = [&] {
    IpsecHost::Hooks hooks;
    hooks.authorize = [&](const ike::AskAuthorize&, IpsecHost::Completion done) { waiting.push_back(std::move(done)); };
    return hooks;
  };
  auto served = gateway_connection();
  served->ask_authorize = true;
  Site site(world.environment, {.port = 0, .nat_port = 0});

  IpsecHostOptions impatient = serving(served);
  impatient.engine.half_open_timeout = 1s;
  Site hasty(world.environment, std::move(impatient), asking());
  REQUIRE(site.host->connect(client_connection(), hasty.host->nat_local()).ok());
  REQUIRE(world.until([&] { return waiting.size() == 1; }));
  REQUIRE(world.until([&] { return !hasty.closed.empty(); }));
  waiting[0](ike::Allow{});
  (void)world.until([] { return false; }, 50ms);
  CHECK(hasty.ups.empty());

  auto gateway = std::make_unique<Site>(world.environment, serving(served), asking());
  const Endpoint at = gateway->host->nat_local();
  REQUIRE(site.host->connect(client_connection(), at).ok());
  REQUIRE(world.until([&] { return waiting.size() >= 2; }));
  waiting.back()(ike::Allow{});
  REQUIRE(world.until([&] { return !gateway->ups.empty(); }));

  REQUIRE(site.host->connect(client_connection(), at).ok());
  const std::size_t before = waiting.size();
  REQUIRE(world.until([&] { return waiting.size() > before; }));
  gateway.reset();
  waiting.back()(ike::Allow{});
  waiting.back()(ike::Refuse{"twice"});
  (void)world.until([] { return false; }, 50ms);
}

TEST_CASE("an answer of a wrong kind lets nobody in") {
  World world;
  IpsecHost::Hooks hooks;
  hooks.authorize = [](const ike::AskAuthorize&, IpsecHost::Completion done) {
    done(Secret(std::string_view("not asked for")));
  };
  auto served = gateway_connection();
  served->ask_authorize = true;
  Site gateway(world.environment, serving(served), std::move(hooks));
  Site site(world.environment, {.port = 0, .nat_port = 0});
  REQUIRE(site.host->connect(client_connection(), gateway.host->nat_local()).ok());
  (void)world.until([] { return false; }, 300ms);
  CHECK(gateway.ups.empty());
  CHECK(site.ups.empty());
}

}  // namespace
}  // namespace winze::tunnel
