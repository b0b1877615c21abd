// Sessions of datagrams, from the request to the record: in a VLESS stream, by a SOCKS5 association, from a listener.
#include <doctest/doctest.h>

#include <asio/io_context.hpp>
#include <string>

#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/chain/server.h"
#include "winze/io/memory.h"
#include "winze/io/system.h"
#include "winze/io/tcp.h"
#include "winze/io/udp.h"
#include "winze/layer/client.h"
#include "winze/layer/vless_conduit.h"
#include "winze/proto/socks/server.h"
#include "winze/proto/vless/codec.h"

namespace winze::chain {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;
using test::send;

const Uuid kId = *Uuid::parse("6d1c6a3e-2f0b-4f0e-9a57-0d5b7c2f4a11");
ConduitPtr in_vless(Environment& environment, StreamPtr stream, const ProxyRequest&) {
  return vless::stream_conduit(environment, std::move(stream));
}
Destination udp(std::string_view host, std::uint16_t port) { return Destination(host, port, Network::kUdp); }

// Sessions that a fake dialer is asked by, and what they leave behind.
struct Fixture {
  Fixture() {
    inbound->tag = "in";
    inbound->policy.idle = 10s;
    inbound->router = [this](const Connection&) { return Route{"out", dialer}; };
    inbound->on_end = [this](const Connection& connection) { records.push_back(connection); };
  }

  // A VLESS client that has asked for `destination`.
  ConduitPtr vless(const Destination& destination) {
    auto users = std::make_shared<vless::UserTable>();
    users->add(kId, {.name = "peer", .level = 0});
    inbound->protocol = "vless";
    inbound->make_proxy = [users](const Connection&) { return std::make_unique<vless::ServerCodec>(users); };
    auto [near, far] = memory_pair(sim.environment());
    session = serve(sim.environment(), inbound, std::move(far), [this] { ++done; });
    ConduitPtr out;
    open_codec(sim.environment(), std::move(near), std::make_unique<vless::ClientCodec>(kId, destination), {},
               [&](Opened opened) { out = vless::stream_conduit(sim.environment(), std::move(opened.stream)); })
        .detach();
    sim.run_ready();
    REQUIRE(out);
    send(*out, "first");
    sim.run_ready();
    return out;
  }

  // The far end of the conduit that answers the session's call.
  ConduitPtr answer() {
    REQUIRE(dialer->opens.size() == 1);
    auto [near, far] = test::conduit_pair(sim.environment());
    test::answer(dialer->opens[0], {}, std::move(near));
    sim.run_ready();
    return std::move(far);
  }

  test::Simulator sim{1};
  std::shared_ptr<test::FakeDialer> dialer = std::make_shared<test::FakeDialer>(sim.environment());
  std::shared_ptr<Inbound> inbound = std::make_shared<Inbound>();
  Pending session;
  std::vector<Connection> records;
  int done = 0;
};

TEST_CASE("packets in a stream: relayed, counted, ended by silence, with one record") {
  Fixture f;
  f.inbound->packets_in_stream = in_vless;
  const ConduitPtr client = f.vless(udp("a.test", 53));
  const ConduitPtr server = f.answer();
  CHECK(f.dialer->opens[0]->destination == udp("a.test", 53));
  test::Receiver at_client(*client), at_server(*server);
  send(*server, "answer", udp("192.0.2.1", 53));
  send(*server, std::string(3000, 'x'), udp("192.0.2.1", 53));
  f.sim.run_for(9s);
  CHECK(at_server.texts() == Texts{"first"});
  CHECK(at_client.texts() == Texts{"answer"});
  CHECK(f.records.empty());
  f.sim.run_for(2s);
  CHECK(at_client.error() == Errc::kEof);
  CHECK(f.done == 1);
  REQUIRE(f.records.size() == 1);
  const Connection& record = f.records[0];
  CHECK(record.destination == udp("a.test", 53));
  CHECK(record.outbound == "out");
  CHECK(record.user == "peer");
  CHECK(record.up == 5);
  CHECK(record.down == 3006);
  CHECK(record.detail == "datagrams dropped: 1");
  CHECK_FALSE(record.error);
}

TEST_CASE("packets in a stream: the client's end is the session's, of the level's policy") {
  Fixture f;
  f.inbound->packets_in_stream = in_vless;
  f.inbound->policy_of = [](std::uint32_t) { return Policy{.idle = 100s}; };
  ConduitPtr client = f.vless(udp("a.test", 53));
  const ConduitPtr server = f.answer();
  f.sim.run_for(20s);
  CHECK(f.records.empty());
  client.reset();
  f.sim.run_ready();
  REQUIRE(f.records.size() == 1);
  CHECK_FALSE(f.records[0].error);
}

TEST_CASE("packets in a stream: refused without a way, without a route, without a port, or with the dial") {
  struct Case {
    bool in_stream;
    bool route;
    Destination destination;
    std::error_code error;
  };
  const Case cases[] = {
      {false, true, udp("a.test", 53), Errc::kUnsupported},
      {true, false, udp("a.test", 53), Errc::kRefusedPolicy},
      {true, true, udp("a.test", 0), vless::Errc::kBadAddress},
      {true, true, udp("a.test", 53), Errc::kTimedOut},
  };
  for (const Case& c : cases) {
    CAPTURE(c.error.message());
    Fixture f;
    if (c.in_stream) f.inbound->packets_in_stream = in_vless;
    if (!c.route) f.inbound->router = [](const Connection&) { return Route{}; };
    const ConduitPtr client = f.vless(c.destination);
    const test::Receiver at_client(*client);
    if (c.error == Errc::kTimedOut) test::answer(f.dialer->opens.at(0), c.error, ConduitPtr());
    f.sim.run_ready();
    CHECK(at_client.error());
    REQUIRE(f.records.size() == 1);
    CHECK(f.records[0].error == c.error);
    CHECK(f.records[0].stage == (c.error == vless::Errc::kBadAddress ? "vless" : "dial"));
  }
}

TEST_CASE("packets in a stream: dropping the session ends it at each step") {
  for (const bool relaying : {false, true}) {
    CAPTURE(relaying);
    Fixture f;
    f.inbound->packets_in_stream = in_vless;
    const ConduitPtr client = f.vless(udp("a.test", 53));
    const ConduitPtr server = relaying ? f.answer() : nullptr;
    const test::Receiver at_client(*client);
    f.session.cancel();
    f.sim.run_ready();
    CHECK(f.done == 1);
    REQUIRE(f.records.size() == 1);
    CHECK(f.records[0].error == Errc::kAborted);
    CHECK(at_client.error());
  }
}

TEST_CASE("packets from a listener: to the inbound's destination, until they are idle or the dial fails") {
  for (const bool fails : {false, true}) {
    CAPTURE(fails);
    Fixture f;
    f.inbound->destination = Destination("a.test", 53);
    auto [client, near] = test::conduit_pair(f.sim.environment());
    send(*client, "early", udp("192.0.2.1", 1));
    f.session =
        serve(f.sim.environment(), f.inbound, std::move(near), {*IpAddress::parse("192.0.2.1"), 1}, [&] { ++f.done; });
    CHECK(f.dialer->opens.at(0)->destination == udp("a.test", 53));
    ConduitPtr server;
    if (fails) {
      test::answer(f.dialer->opens[0], Errc::kUnsupported, ConduitPtr());
    } else {
      server = f.answer();
      const test::Receiver at_server(*server);
      f.sim.run_for(11s);
      CHECK(at_server.texts() == Texts{"early"});
    }
    CHECK(f.done == 1);
    REQUIRE(f.records.size() == 1);
    CHECK(f.records[0].source.to_string() == "192.0.2.1:1");
    CHECK(f.records[0].up == (fails ? 0 : 5));
    CHECK(f.records[0].error == (fails ? std::error_code(Errc::kUnsupported) : std::error_code()));
  }
}

TEST_CASE("packets from a listener: without a route, and dropped at each step") {
  for (const int step : {0, 1, 2}) {
    CAPTURE(step);
    Fixture f;
    if (step == 0) f.inbound->router = [](const Connection&) { return Route{}; };
    f.inbound->destination = Destination("a.test", 53);
    auto [client, near] = test::conduit_pair(f.sim.environment());
    f.session = serve(f.sim.environment(), f.inbound, std::move(near), {}, [&] { ++f.done; });
    const ConduitPtr server = step == 2 ? f.answer() : nullptr;
    if (step != 0) f.session.cancel();
    CHECK(f.done == 0);
    f.sim.run_ready();
    CHECK(f.done == 1);
    REQUIRE(f.records.size() == 1);
    CHECK(f.records[0].error == (step == 0 ? Errc::kRefusedPolicy : Errc::kAborted));
  }
}

// --- a SOCKS5 association over sockets ---

struct Loopback {
  Loopback() {
    auto inbound = std::make_shared<Inbound>();
    inbound->protocol = "socks";
    inbound->associates = true;
    inbound->make_proxy = [](const Connection&) {
      return std::make_unique<socks::ServerCodec>(socks::ServerOptions{.credentials = nullptr, .udp = true});
    };
    inbound->router = [this, direct = tcp_dialer(system)](const Connection&) { return Route{"direct", direct}; };
    inbound->on_end = [this](const Connection& connection) { records.push_back(connection); };
    ListenResult listening = tcp_listen(system, *Endpoint::parse("127.0.0.1:0"));
    REQUIRE_MESSAGE(!listening.error, listening.what);
    server = std::make_unique<Server>(system, std::move(listening.listener), inbound);
    dialer = socks::client({})(system, tcp_to(system, Destination(server->local())));
  }
  template <typename Done>
  void run_until(Done done) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!done() && std::chrono::steady_clock::now() < deadline) {
      context.restart();
      context.run_for(5ms);
    }
    CHECK(done());
  }
  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  std::vector<Connection> records;
  std::unique_ptr<Server> server;
  DialerPtr dialer;
};

TEST_CASE("socks association over sockets: asked for, used to two destinations, ended by its client") {
  Loopback l;
  ConduitPtr conduit;
  std::error_code error;
  l.dialer
      ->open_conduit(everyone(),
                     [&](std::error_code e, ConduitPtr c) {
                       error = e;
                       conduit = std::move(c);
                     })
      .detach();
  l.run_until([&] { return error || conduit; });
  REQUIRE(conduit);
  SocketResult a = open_udp(l.system, {.bind = *Endpoint::parse("127.0.0.1:0")});
  SocketResult b = open_udp(l.system, {.bind = *Endpoint::parse("[::1]:0")});
  test::Receiver at_a(*a.conduit), at_b(*b.conduit), here(*conduit);
  send(*conduit, "to a", Destination(a.local, Network::kUdp));
  send(*conduit, "to b", Destination(b.local, Network::kUdp));
  l.run_until([&] { return !at_a.texts().empty() && !at_b.texts().empty(); });
  CHECK(at_a.peers()[0].port == at_b.peers()[0].port);
  send(*b.conduit, "back", at_b.peers()[0]);
  l.run_until([&] { return !here.texts().empty(); });
  CHECK(here.peers()[0] == Destination(b.local, Network::kUdp));
  conduit.reset();
  l.run_until([&] { return !l.records.empty(); });
  CHECK(l.records[0].destination == everyone());
  CHECK(l.records[0].up == 8);
  CHECK(l.records[0].down == 4);
  CHECK_FALSE(l.records[0].error);
  CHECK(l.server->connections() == 0);
}

TEST_CASE("socks association over sockets: the server ends them when it is destroyed") {
  Loopback l;
  ConduitPtr conduit;
  l.dialer->open_conduit(everyone(), [&](std::error_code, ConduitPtr c) { conduit = std::move(c); }).detach();
  l.run_until([&] { return conduit != nullptr; });
  const test::Receiver here(*conduit);
  l.server.reset();
  l.run_until([&] { return bool(here.error()); });
  CHECK(l.records.at(0).error == Errc::kAborted);
}

TEST_CASE("packets from a listener: without a destination each goes where it says, for a user while there is one") {
  Fixture f;
  f.inbound->users = std::make_shared<Users>();
  f.inbound->users->add("ann", 1, {});
  const SessionSource source{.endpoint = {*IpAddress::parse("192.0.2.1"), 1}, .user = "ann", .level = 1};
  auto [client, near] = test::conduit_pair(f.sim.environment());
  const test::Receiver at_client(*client);
  f.session = serve(f.sim.environment(), f.inbound, std::move(near), source, [&] { ++f.done; });
  CHECK(is_everyone(f.dialer->opens.at(0)->destination));
  const ConduitPtr server = f.answer();
  const test::Receiver at_server(*server);
  send(*client, "one", udp("a.test", 53));
  f.sim.run_ready();
  CHECK(at_server.texts() == Texts{"one"});
  CHECK(at_server.peers() == std::vector{udp("a.test", 53)});
  CHECK(f.inbound->users->remove("ann"));
  f.sim.run_ready();
  CHECK(f.done == 1);
  // Nor is there another session of hers.
  auto [again, far] = test::conduit_pair(f.sim.environment());
  f.session = serve(f.sim.environment(), f.inbound, std::move(far), source, [&] { ++f.done; });
  f.sim.run_ready();
  CHECK(f.done == 2);
  REQUIRE(f.records.size() == 2);
  for (const Connection& record : f.records) {
    CHECK(record.user == "ann");
    CHECK(record.error == UserErrc::kRemoved);
    CHECK(record.stage == "user");
  }
}

}  // namespace
}  // namespace winze::chain
