// Shadowsocks' datagrams over conduits: the client's end, and sessions on a server's socket.
#include "winze/layer/shadowsocks_conduit.h"

#include <doctest/doctest.h>

#include <string>

#include "support/fake_dialer.h"
#include "support/shadowsocks.h"
#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/layer/client.h"

namespace winze::shadowsocks {
namespace {

using winze::test::Receiver;
using winze::test::send;
using Texts = std::vector<std::string>;

Destination udp(std::string_view host, std::uint16_t port) { return Destination(host, port, Network::kUdp); }
const Destination kServer = udp("192.0.2.9", 8388);

// A client's conduit, and the other end of what it sends over, which speaks as its server does.
struct Link {
  explicit Link(Method method, const Destination& to = everyone()) {
    auto [near, far] = winze::test::conduit_pair(sim.environment());
    wire = std::move(far);
    auto keys = test::keys_of(method, test::password_for(method));
    client = client_conduit(sim.environment(), keys, std::move(near), kServer, to);
    server = std::make_unique<DatagramServer>(test::server_of(method, test::password_for(method)),
                                              surroundings(sim.environment()));
  }
  void answer(std::string_view text, const Destination& from) {
    Buffer datagram = Buffer::copy_of(text);
    CHECK(server->seal(datagram, from, session));
    send(*wire, datagram.text());
  }
  // Opens what the client has sent.
  void receive() {
    wire->receive([this](std::error_code error, std::span<Datagram> datagrams) {
      if (error) return;
      for (Datagram& datagram : datagrams) {
        carriers.push_back(datagram.peer);
        CHECK(server->open(datagram.payload, datagram.peer, session) == Drop::kNone);
        texts.emplace_back(datagram.payload.text());
        peers.push_back(datagram.peer);
      }
      receive();
    });
  }

  winze::test::Simulator sim{1};
  ConduitPtr wire, client;
  std::unique_ptr<DatagramServer> server;
  std::uint64_t session = 0;
  Texts texts;
  std::vector<Destination> peers, carriers;
};

TEST_CASE("shadowsocks conduit: datagrams to anyone go to the server, and answers say whom they are from") {
  for (const Method method : test::kMethods) {
    CAPTURE(name_of(method));
    Link link(method);
    link.receive();
    const Receiver here(*link.client);
    CHECK(send(*link.client, "one", udp("a.test", 53)));
    CHECK(send(*link.client, "two", udp("192.0.2.1", 7)));
    CHECK_FALSE(send(*link.client, "bad", udp("", 7)));
    link.sim.run_ready();
    CHECK(link.texts == Texts{"one", "two"});
    CHECK(link.peers == std::vector{udp("a.test", 53), udp("192.0.2.1", 7)});
    CHECK(link.carriers == std::vector{kServer, kServer});
    link.answer("three", udp("192.0.2.7", 8));
    send(*link.wire, std::string(100, 'x'));
    link.sim.run_ready();
    CHECK(here.texts() == Texts{"three"});
    CHECK(here.peers() == std::vector{udp("192.0.2.7", 8)});
    CHECK(link.client->dropped() == 2);
  }
}

TEST_CASE("shadowsocks conduit: one destination, whose answers alone are taken") {
  Link link(Method::k2022Aes128Gcm, udp("a.test", 53));
  link.receive();
  const Receiver here(*link.client);
  CHECK(send(*link.client, "one"));
  link.sim.run_ready();
  CHECK(link.peers == std::vector{udp("a.test", 53)});
  link.answer("by address", udp("192.0.2.7", 53));
  link.answer("by name", udp("a.test", 53));
  link.answer("another name", udp("b.test", 53));
  link.answer("another port", udp("192.0.2.7", 54));
  link.sim.run_ready();
  CHECK(here.texts() == Texts{"by address", "by name"});
}

TEST_CASE("shadowsocks layer: a conduit is one of the dialer below to the server, or of another's") {
  winze::test::Simulator sim(1);
  const auto streams = std::make_shared<winze::test::FakeDialer>(sim.environment());
  const auto packets = std::make_shared<winze::test::FakeDialer>(sim.environment());
  const auto keys = test::keys_of(Method::kAes256Gcm, "x");
  std::error_code result;
  for (const DialerPtr& other : {DialerPtr(), DialerPtr(packets)}) {
    const DialerPtr dialer = client(keys, Destination("192.0.2.9", 8388), other)(sim.environment(), streams);
    Pending opening = dialer->open_conduit(everyone(), [&](std::error_code error, ConduitPtr) { result = error; });
    auto& opens = other ? packets->opens : streams->opens;
    REQUIRE(opens.size() == 1);
    CHECK(opens[0]->destination == kServer);
    winze::test::answer(opens[0], winze::Errc::kUnsupported, ConduitPtr());
    CHECK(result == winze::Errc::kUnsupported);
  }
}

// The sessions of a server, without a socket.
struct Sessions {
  explicit Sessions(Method with)
      : method(with),
        protocol(server_sessions(sim.environment(), test::server_of(method, test::password_for(method)))) {}

  // What a client sends from `source`: its session.
  std::optional<SessionKey> take(DatagramClient& from, std::string_view text, const Destination& source) {
    Datagram datagram{.payload = Buffer::copy_of(text), .peer = source};
    CHECK(from.seal(datagram.payload, udp("192.0.2.1", 7)));
    const auto key = protocol->open(datagram);
    if (key) CHECK(datagram.peer == udp("192.0.2.1", 7));
    return key;
  }

  Method method;
  winze::test::Simulator sim{1};
  std::unique_ptr<SessionProtocol> protocol;
};

TEST_CASE("shadowsocks sessions: 2017's are told by their source, 2022's by their number") {
  for (const Method method : test::kMethods) {
    CAPTURE(name_of(method));
    Sessions s(method);
    const auto keys = test::keys_of(method, test::password_for(method));
    DatagramClient one(keys, surroundings(s.sim.environment())), two(keys, surroundings(s.sim.environment()));
    const Destination here = udp("198.51.100.1", 1000), there = udp("198.51.100.2", 2000);
    const auto a = s.take(one, "a", here), b = s.take(one, "b", there), c = s.take(two, "c", here);
    REQUIRE((a && b && c));
    CHECK((*a == *b) == is_2022(method));
    CHECK((*a == *c) == !is_2022(method));
    SessionSource source;
    s.protocol->identify(*a, source);
    CHECK(source.user == "everybody");
    CHECK(source.level == 2);
    Datagram answer{.payload = Buffer::copy_of("answer"), .peer = udp("192.0.2.1", 7)};
    REQUIRE(s.protocol->seal(*a, answer));
    Destination from;
    CHECK(one.open(answer.payload, from) == Drop::kNone);
    CHECK(from == udp("192.0.2.1", 7));
    Datagram noise{.payload = Buffer::copy_of(std::string(200, 'x')), .peer = here};
    CHECK_FALSE(s.protocol->open(noise));
  }
}

}  // namespace
}  // namespace winze::shadowsocks
