// What an inbound's options come to: sessions under the timers of its policy.
#include "node/inbounds.h"

#include <doctest/doctest.h>

#include <string>

#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/io/memory.h"

namespace winze::node {
namespace {

using namespace std::chrono_literals;

// A session of the only inbound of `options`, dialing by a fake.
struct Fixture {
  explicit Fixture(NodeOptions node_options) : options(std::move(node_options)) {
    auto contexts = TlsContexts::create(options);
    REQUIRE(contexts.ok());
    auto made_ledger = Ledger::create(options);
    REQUIRE(made_ledger.ok());
    ledger = std::move(*made_ledger);
    auto made = make_inbound(sim.environment(), options, 0, **contexts, *ledger, **SaltFiles::create(options, 0));
    REQUIRE(made.ok());
    inbound = std::move(*made);
    inbound->router = [this](const chain::Connection&) { return chain::Route{"out", dialer}; };
    inbound->on_end = [this](const chain::Connection& connection) { records.push_back(connection); };
    auto [near, far] = memory_pair(sim.environment());
    client = std::move(near);
    session = chain::serve(sim.environment(), inbound, std::move(far), [this] { ended = sim.now() - begun; });
    sim.run_ready();
  }

  void send(std::string_view text) {
    client->write(Buffer::copy_of(text), [](std::error_code) {});
    sim.run_ready();
  }
  // The server's end of what the session has dialed.
  StreamPtr connect() {
    REQUIRE(dialer->dials.size() == 1);
    auto [near, far] = memory_pair(sim.environment());
    test::answer(dialer->dials[0], {}, std::move(near));
    sim.run_ready();
    return std::move(far);
  }

  test::Simulator sim{1};
  TimePoint begun = sim.now();
  NodeOptions options;
  std::shared_ptr<test::FakeDialer> dialer = std::make_shared<test::FakeDialer>(sim.environment());
  std::shared_ptr<Ledger> ledger;
  std::shared_ptr<chain::Inbound> inbound;
  StreamPtr client;
  Pending session;
  std::vector<chain::Connection> records;
  std::optional<Duration> ended;
};

NodeOptions node_options(decltype(InboundOptions::settings) settings, PolicyLevel level0) {
  NodeOptions out;
  out.policy_levels = {{0, level0}};
  out.inbounds.emplace_back().settings = std::move(settings);
  return out;
}

constexpr std::string_view kGet = "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n";

TEST_CASE("policy: with uplinkOnly and downlinkOnly 0 the end of one direction is that of both, as in V2Ray") {
  for (const bool client_ends : {true, false}) {
    CAPTURE(client_ends);
    Fixture f(node_options(DokodemoInbound{.destination = Destination("a.test", 80)},
                           {.uplink_only = Duration(0), .downlink_only = Duration(0)}));
    const StreamPtr server = f.connect();
    f.sim.run_for(10s);
    CHECK_FALSE(f.ended);
    (client_ends ? f.client : server)->shutdown_write([](std::error_code) {});
    f.sim.run_for(1ms);
    REQUIRE(f.ended);
    CHECK_FALSE(f.records.at(0).error);
  }
}

TEST_CASE("policy: connIdle 0 and handshake 0 are no limits") {
  const PolicyLevel unlimited{.handshake = Duration(0), .idle = Duration(0)};
  SUBCASE("of a connection") {
    Fixture f(node_options(DokodemoInbound{.destination = Destination("a.test", 80)}, unlimited));
    const StreamPtr server = f.connect();
    f.sim.run_for(1000h);
    CHECK_FALSE(f.ended);
  }
  SUBCASE("of a request under way, to the proxy or to an origin") {
    Fixture f(node_options(HttpInbound{}, unlimited));
    f.sim.run_for(1000h);
    f.send(kGet);
    const StreamPtr server = f.connect();
    f.sim.run_for(1000h);
    CHECK_FALSE(f.ended);
  }
}

TEST_CASE("policy: a handshake that does not come ends the connection") {
  Fixture f(node_options(SocksInbound{}, {.handshake = 3s}));
  f.send("\x05");
  f.sim.run_for(2s);
  CHECK_FALSE(f.ended);
  f.sim.run_for(2s);
  CHECK(f.ended == 3s);
  CHECK(f.records.at(0).error == Errc::kTimedOut);
  CHECK(f.records.at(0).stage == "socks");
}

TEST_CASE("policy: that of the inbound's userLevel, or of the account's own level") {
  const auto accounts = [](std::optional<std::uint32_t> level) {
    std::vector<Account> out;
    out.push_back({.user = "u", .password = Secret(std::string_view("p")), .level = level});
    return out;
  };
  const std::string socks = std::string("\x05\x01\x00\x05\x01\x00\x03\x06", 8) + "a.test" + std::string("\0\x50", 2);
  const std::string socks_login = "\x05\x01\x02\x01\x01u\x01p" + socks.substr(3);
  const std::string connect = "CONNECT a.test:80 HTTP/1.1\r\n", get(kGet.substr(0, kGet.size() - 2)), end = "\r\n";
  const std::string login = "Proxy-Authorization: Basic dTpw\r\n";
  struct Case {
    decltype(InboundOptions::settings) settings;
    std::string request;
    Duration limit;
  };
  const auto mixed = [&](std::optional<std::uint32_t> level) {
    return MixedInbound{SocksInbound{.accounts = accounts(level), .level = 5}};
  };
  const Case cases[] = {
      {SocksInbound{.level = 5}, socks, 50s},
      {SocksInbound{.accounts = accounts(std::nullopt), .level = 5}, socks_login, 50s},
      {SocksInbound{.accounts = accounts(7), .level = 5}, socks_login, 70s},
      {HttpInbound{.level = 5}, connect + end, 50s},
      {HttpInbound{.accounts = accounts(7), .level = 5}, connect + login + end, 70s},
      {HttpInbound{.level = 5}, get + end, 50s},
      {HttpInbound{.accounts = accounts(7), .level = 5}, get + login + end, 70s},
      {MixedInbound{SocksInbound{.level = 5}}, socks, 50s},
      {MixedInbound{SocksInbound{.level = 5}}, get + end, 50s},
      {mixed(std::nullopt), get + login + end, 50s},
      {mixed(0), connect + login + end, 300s},
  };
  for (const Case& c : cases) {
    CAPTURE(c.request);
    CAPTURE(c.settings.index());
    NodeOptions options = node_options(c.settings, {});
    options.policy_levels.push_back({5, {.idle = 50s}});
    options.policy_levels.push_back({7, {.idle = 70s}});
    Fixture f(std::move(options));
    f.send(c.request);
    const StreamPtr server = f.connect();
    f.sim.run_for(c.limit - 1s);
    CHECK_FALSE(f.ended);
    f.sim.run_for(2s);
    CHECK(f.ended == c.limit);
  }
}

}  // namespace
}  // namespace winze::node
