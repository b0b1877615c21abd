// UDP associations of SOCKS5: the two sides against each other, who is heard, and asking a server for one.
#include "winze/layer/socks_association.h"

#include <doctest/doctest.h>

#include <string>

#include "layer/socks_associate.h"
#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/io/memory.h"
#include "winze/proto/socks/address.h"

namespace winze::socks {
namespace {

using Texts = std::vector<std::string>;
using test::send;

Destination udp(std::string_view host, std::uint16_t port) { return Destination(host, port, Network::kUdp); }
const Destination kRelay = udp("192.0.2.80", 1080);
const IpAddress kClient = *IpAddress::parse("192.0.2.1");

std::string sealed(std::string_view text, const Destination& peer) {
  Buffer buffer = Buffer::copy_of(text);
  REQUIRE(seal_datagram(buffer, peer));
  return std::string(buffer.text());
}

// One side, the conduit under it, and the other end of its control stream.
struct Side {
  StreamPtr control;
  ConduitPtr wire;
  ConduitPtr conduit;
};

struct Fixture {
  template <typename Make>
  Side make(Make side) {
    auto [mine, theirs] = memory_pair(sim.environment());
    auto [near, far] = test::conduit_pair(sim.environment());
    return {std::move(theirs), std::move(far), side(std::move(mine), std::move(near))};
  }
  Side client(const Destination& destination) {
    return make([&](StreamPtr control, ConduitPtr below) {
      return client_association(std::move(control), std::move(below), kRelay, destination);
    });
  }
  Side server() {
    return make([](StreamPtr control, ConduitPtr below) {
      return server_association(std::move(control), std::move(below), kClient);
    });
  }
  test::Simulator sim{1};
};

TEST_CASE("socks association, client: headers on and off, to and from everyone") {
  Fixture f;
  Side side = f.client(everyone());
  test::Receiver here(*side.conduit), there(*side.wire);
  CHECK(send(*side.conduit, "x", udp("a.test", 53)));
  CHECK_FALSE(send(*side.conduit, "x", udp(std::string(256, 'a'), 53)));
  send(*side.wire, sealed("y", udp("192.0.2.9", 9)));
  send(*side.wire, "\1");
  f.sim.run_ready();
  CHECK(there.texts() == Texts{sealed("x", udp("a.test", 53))});
  CHECK(there.peers()[0] == kRelay);
  CHECK(here.texts() == Texts{"y"});
  CHECK(here.peers()[0] == udp("192.0.2.9", 9));
  CHECK(side.conduit->dropped() == 2);
}

TEST_CASE("socks association, client: of one destination nobody else is heard; a name may answer by its address") {
  struct Case {
    Destination destination, from;
    bool heard;
  };
  const Case cases[] = {
      {udp("192.0.2.9", 9), udp("192.0.2.9", 9), true},  {udp("192.0.2.9", 9), udp("192.0.2.8", 9), false},
      {udp("192.0.2.9", 9), udp("192.0.2.9", 8), false}, {udp("a.test", 9), udp("192.0.2.9", 9), true},
      {udp("a.test", 9), udp("192.0.2.9", 8), false},    {udp("a.test", 9), udp("a.test", 9), true},
      {udp("a.test", 9), udp("b.test", 9), false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.destination.to_string());
    CAPTURE(c.from.to_string());
    Fixture f;
    Side side = f.client(c.destination);
    test::Receiver here(*side.conduit), there(*side.wire);
    send(*side.conduit, "x", udp("ignored.test", 1));
    send(*side.wire, sealed("y", c.from));
    f.sim.run_ready();
    CHECK(there.texts() == Texts{sealed("x", c.destination)});
    CHECK(here.texts().size() == (c.heard ? 1 : 0));
  }
}

TEST_CASE("socks association, server: the first datagram of the client fixes its port; others are not heard") {
  Fixture f;
  Side side = f.server();
  test::Receiver here(*side.conduit), there(*side.wire);
  CHECK_FALSE(send(*side.conduit, "nobody yet", udp("192.0.2.9", 9)));
  const std::string good = sealed("x", udp("a.test", 53));
  std::string fragment = good;
  fragment[2] = 1;
  // As they arrive at the socket, each with its source.
  const auto arrive = [&](std::string_view text, const Destination& from) { CHECK(send(*side.wire, text, from)); };
  arrive(good, udp("192.0.2.2", 5000));
  arrive("\0\0", udp("192.0.2.1", 5001));
  arrive(fragment, udp("192.0.2.1", 5002));
  arrive(sealed("x", udp("a.test", 0)), udp("192.0.2.1", 5003));
  f.sim.run_ready();
  CHECK(here.texts().empty());
  arrive(good, udp("192.0.2.1", 5004));
  arrive(good, udp("192.0.2.1", 5005));
  f.sim.run_ready();
  CHECK(here.texts() == Texts{"x"});
  CHECK(here.peers()[0] == udp("a.test", 53));
  CHECK(send(*side.conduit, "y", udp("192.0.2.9", 9)));
  f.sim.run_ready();
  CHECK(there.texts() == Texts{sealed("y", udp("192.0.2.9", 9))});
  CHECK(there.peers()[0] == udp("192.0.2.1", 5004));
  CHECK(side.conduit->dropped() == 6);
}

TEST_CASE("socks association: what comes on the control stream is noise, its end is the association's") {
  Fixture f;
  for (const bool client : {true, false}) {
    CAPTURE(client);
    Side side = client ? f.client(everyone()) : f.server();
    const test::Receiver here(*side.conduit);
    side.control->write(Buffer::copy_of("noise"), [](std::error_code) {});
    f.sim.run_ready();
    CHECK_FALSE(here.error());
    side.control.reset();
    f.sim.run_ready();
    CHECK(here.error() == winze::Errc::kEof);
    std::error_code later;
    side.conduit->receive([&](std::error_code error, std::span<Datagram>) { later = error; });
    f.sim.run_ready();
    CHECK(later == winze::Errc::kEof);
  }
}

TEST_CASE("socks association: destruction cancels, and ends the control stream") {
  Fixture f;
  Side side = f.client(everyone());
  const test::Receiver here(*side.conduit);
  std::error_code at_server;
  side.control->read([&](std::error_code error, Buffer) { at_server = error; });
  side.conduit.reset();
  f.sim.run_ready();
  CHECK(here.error() == winze::Errc::kAborted);
  CHECK(at_server == winze::Errc::kEof);
}

// --- asking for one ---

struct Asking {
  explicit Asking(const Destination& server = everyone()) {
    pending = associate(sim.environment(), below, std::make_shared<const ClientOptions>(), server, everyone(),
                        [this](std::error_code e, ConduitPtr c) {
                          ++done;
                          error = e;
                          conduit = std::move(c);
                        });
  }
  // Plays the server up to its reply, whose address is `bound`.
  void reply(std::string_view code_and_address) {
    auto [near, far] = memory_pair(sim.environment());
    control = std::move(far);
    test::answer(below->dials[0], {}, std::move(near));
    sim.run_ready();
    control->write(Buffer::copy_of(std::string_view("\5\0", 2)), [](std::error_code) {});
    sim.run_ready();
    control->write(Buffer::copy_of(std::string("\5").append(code_and_address)), [](std::error_code) {});
    sim.run_ready();
  }
  test::Simulator sim{1};
  std::shared_ptr<test::FakeDialer> below = std::make_shared<test::FakeDialer>(sim.environment());
  StreamPtr control;
  Pending pending;
  std::error_code error;
  ConduitPtr conduit;
  int done = 0;
};

constexpr std::string_view kGranted("\0\0\1\xc0\0\2\x50\x04\x38", 9);  // 192.0.2.80:1080
constexpr std::string_view kUnspecified("\0\0\1\0\0\0\0\x04\x38", 9);  // 0.0.0.0:1080
constexpr std::string_view kNoPort("\0\0\1\xc0\0\2\x50\0\0", 9);       // 192.0.2.80:0
constexpr std::string_view kRefused("\7\0\1\0\0\0\0\0\0", 9);

TEST_CASE("socks associate: a control stream, then a conduit to the relay that the server names") {
  Asking a;
  a.reply(kGranted);
  REQUIRE(a.below->opens.size() == 1);
  CHECK(a.below->opens[0]->destination == kRelay);
  auto [near, far] = test::conduit_pair(a.sim.environment());
  test::answer(a.below->opens[0], {}, std::move(near));
  CHECK_FALSE(a.error);
  REQUIRE(a.conduit);
  CHECK(send(*a.conduit, "x", udp("a.test", 53)));
  test::Receiver there(*far);
  a.sim.run_ready();
  CHECK(there.texts() == Texts{sealed("x", udp("a.test", 53))});
}

TEST_CASE("socks associate: for an unspecified relay address stands the server's") {
  Asking told(udp("proxy.test", 1));
  told.reply(kUnspecified);
  REQUIRE(told.below->opens.size() == 1);
  CHECK(told.below->opens[0]->destination == udp("proxy.test", 1080));
  Asking untold;
  untold.reply(kUnspecified);
  REQUIRE(untold.below->opens.size() == 1);
  CHECK(untold.below->opens[0]->destination == udp("0.0.0.0", 1080));  // the far end of a stream in memory
}

TEST_CASE("socks associate: refusals, a relay without a port, and a dialer below without conduits") {
  Asking refused;
  refused.reply(kRefused);
  CHECK(refused.error == Errc::kCommandNotSupported);
  Asking portless;
  portless.reply(kNoPort);
  CHECK(portless.error == Errc::kBadReply);
  Asking plain;
  plain.reply(kGranted);
  test::answer(plain.below->opens[0], winze::Errc::kUnsupported, ConduitPtr());
  CHECK(plain.error == winze::Errc::kUnsupported);
  Asking nobody;
  test::answer(nobody.below->dials[0], winze::Errc::kTimedOut, StreamPtr());
  CHECK(nobody.error == winze::Errc::kTimedOut);
}

TEST_CASE("socks associate: cancelled at each step") {
  for (const int step : {0, 1, 2}) {
    CAPTURE(step);
    Asking a;
    if (step == 1) {
      auto [near, far] = memory_pair(a.sim.environment());
      a.control = std::move(far);
      test::answer(a.below->dials[0], {}, std::move(near));
      a.sim.run_ready();
    }
    if (step == 2) a.reply(kGranted);
    a.pending.cancel();
    CHECK(a.done == 0);
    a.sim.run_ready();
    CHECK(a.done == 1);
    CHECK(a.error == winze::Errc::kAborted);
  }
}

}  // namespace
}  // namespace winze::socks
