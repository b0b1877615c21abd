#include "winze/tunnel/esp_tunnel.h"

#include <doctest/doctest.h>

#include <asio/post.hpp>
#include <string>
#include <vector>

#include "support/simulator.h"
#include "winze/base/error.h"

namespace winze {
namespace {

using namespace std::chrono_literals;

// A conduit that the test is the other side of.
struct Script {
  std::vector<Datagram> sent;
  PacketConduit::ReceiveHandler handler;
  bool closed = false;

  void feed(std::vector<Datagram> datagrams) {
    REQUIRE(handler);
    std::exchange(handler, nullptr)({}, datagrams);
  }
  void fail(std::error_code error) { std::exchange(handler, nullptr)(error, {}); }
};

class ScriptedConduit final : public PacketConduit {
 public:
  ScriptedConduit(const Executor& executor, Script& script) : executor_(executor), script_(script) {}
  std::size_t send(std::span<Datagram> datagrams) override {
    for (Datagram& datagram : datagrams) {
      script_.sent.push_back({.payload = std::move(datagram.payload), .peer = datagram.peer});
    }
    return datagrams.size();
  }
  void receive(ReceiveHandler handler) override { script_.handler = std::move(handler); }
  void close() override { script_.closed = true; }
  std::size_t mtu() const override { return 1500; }
  Overhead overhead() const override { return {}; }
  std::uint64_t dropped() const override { return 0; }
  const Executor& executor() const override { return executor_; }

 private:
  Executor executor_;
  Script& script_;
};

esp::SaConfig config(std::uint32_t spi) {
  esp::SaConfig out{.spi = spi};
  out.algorithms.encryption_key = Secret(std::string_view("0123456789abcdefsalt"));
  return out;
}

const Endpoint kPeer = *Endpoint::parse("192.0.2.2:4500");
const Endpoint kMoved = *Endpoint::parse("198.51.100.7:31000");

// One tunnel, and the SAs of its peer.
struct Fixture {
  explicit Fixture(const tunnel::EspTunnelOptions& options)
      : far_out(*esp::OutboundSa::create(config(0x2000), sim.environment().random)),
        far_in(*esp::InboundSa::create(config(0x1000))),
        tunnel(sim.environment(), conduit(inner), conduit(outer),
               *esp::OutboundSa::create(config(0x1000), sim.environment().random),
               *esp::InboundSa::create(config(0x2000)), options, [this](std::error_code e) { failed = e; }) {}

  ConduitPtr conduit(Script& script) { return std::make_unique<ScriptedConduit>(sim.environment().executor, script); }
  static Buffer packet(char version) {
    std::string bytes(60, 'p');
    bytes[0] = version == 4 ? '\x45' : '\x60';
    return Buffer::copy_of(bytes);
  }
  std::vector<Datagram> from(const Endpoint& source, Buffer payload) {
    std::vector<Datagram> out;
    out.push_back({.payload = std::move(payload), .peer = Destination(source, Network::kUdp)});
    return out;
  }
  Buffer sealed(Buffer inner_packet, std::uint8_t next_header = esp::kNextHeaderFromVersion) {
    CHECK(far_out.seal(inner_packet, next_header) == esp::Drop::kNone);
    return inner_packet;
  }

  test::Simulator sim{1};
  Script inner;
  Script outer;
  esp::OutboundSa far_out;
  esp::InboundSa far_in;
  std::error_code failed;
  tunnel::EspTunnel tunnel;
};

TEST_CASE("esp tunnel: packets of both versions go out sealed and come in opened") {
  Fixture f({.peer = kPeer});
  std::vector<Datagram> batch;
  batch.push_back({.payload = Fixture::packet(4), .peer = {}});
  batch.push_back({.payload = Fixture::packet(6), .peer = {}});
  f.inner.feed(std::move(batch));
  REQUIRE(f.outer.sent.size() == 2);
  for (std::uint8_t wanted : {esp::kNextHeaderV4, esp::kNextHeaderV6}) {
    Datagram& datagram = f.outer.sent[wanted == esp::kNextHeaderV4 ? 0 : 1];
    CHECK(datagram.peer == Destination(kPeer, Network::kUdp));
    const esp::Opened opened = f.far_in.open(datagram.payload);
    CHECK(opened.drop == esp::Drop::kNone);
    CHECK(opened.next_header == wanted);
    CHECK(datagram.payload.size() == 60);
  }
  f.outer.feed(f.from(kPeer, f.sealed(Fixture::packet(4))));
  REQUIRE(f.inner.sent.size() == 1);
  CHECK(f.inner.sent[0].payload.text() == Fixture::packet(4).text());
  const auto counters = f.tunnel.counters();
  CHECK(counters.packets_out == 2);
  CHECK(counters.bytes_out == 120);
  CHECK(counters.packets_in == 1);
}

TEST_CASE("esp tunnel: what is no good is dropped and counted") {
  Fixture f({.peer = kPeer});
  const auto feed = [&](std::string bytes) { f.outer.feed(f.from(kMoved, Buffer::copy_of(bytes))); };
  feed("\xff");
  feed(std::string(4, '\0') + "an IKE message");
  feed("abc");
  feed(std::string("\0\0\x30\0", 4) + std::string(40, 'x'));
  feed(std::string("\0\0\x20\0\0\0\0\x01", 8) + std::string(40, 'x'));
  // Authentic, but not IP; and of another version than its trailer says.
  f.outer.feed(f.from(kPeer, f.sealed(Buffer::copy_of("hello"), 17)));
  f.outer.feed(f.from(kPeer, f.sealed(Fixture::packet(6), esp::kNextHeaderV4)));
  CHECK(f.inner.sent.empty());
  const auto counters = f.tunnel.counters();
  CHECK(counters.not_esp == 2);
  CHECK(counters.unknown_spi == 1);
  CHECK(counters.not_ip == 2);
  CHECK(f.tunnel.inbound().drops()[esp::Drop::kBadIcv] == 1);
  CHECK(f.tunnel.peer() == kPeer);
}

TEST_CASE("esp tunnel: the peer moves with its newest authentic packet only") {
  Fixture f({});
  f.inner.feed(f.from({}, Fixture::packet(4)));
  CHECK(f.tunnel.counters().no_peer == 1);
  Buffer first = f.sealed(Fixture::packet(4));
  Buffer replay = Buffer::copy_of(std::as_const(first).span());
  Buffer late = f.sealed(Fixture::packet(4));
  Buffer newest = f.sealed(Fixture::packet(4));
  f.outer.feed(f.from(kPeer, std::move(first)));
  CHECK(f.tunnel.peer() == kPeer);
  f.outer.feed(f.from(kMoved, std::move(replay)));
  CHECK(f.tunnel.peer() == kPeer);
  f.outer.feed(f.from(kMoved, std::move(newest)));
  CHECK(f.tunnel.peer() == kMoved);
  f.outer.feed(f.from(kPeer, std::move(late)));
  CHECK(f.tunnel.peer() == kMoved);
  CHECK(f.tunnel.counters().moves == 1);
  CHECK(f.tunnel.counters().packets_in == 3);

  Fixture fixed({.peer = kPeer, .follow_peer = false});
  fixed.outer.feed(fixed.from(kMoved, fixed.sealed(Fixture::packet(4))));
  CHECK(fixed.tunnel.peer() == kPeer);
}

TEST_CASE("esp tunnel: keepalives when idle, none after a packet") {
  Fixture f({.peer = kPeer, .keepalive = 20s});
  f.sim.run_for(19s);
  CHECK(f.outer.sent.empty());
  f.inner.feed(f.from({}, Fixture::packet(4)));
  f.sim.run_for(19s);
  CHECK(f.outer.sent.size() == 1);
  f.sim.run_for(41s);
  REQUIRE(f.outer.sent.size() == 4);
  CHECK(f.outer.sent[3].payload.text() == "\xff");
}

TEST_CASE("esp tunnel: a conduit that fails ends it, once") {
  Fixture f({.peer = kPeer});
  f.inner.fail(std::make_error_code(std::errc::io_error));
  CHECK(f.failed == std::errc::io_error);
  CHECK(f.inner.closed);
  CHECK(f.outer.closed);
}

TEST_CASE("esp tunnel: the inner MTU fills the path and no more") {
  test::Simulator sim(1);
  const auto sa = esp::OutboundSa::create(config(0x1000), sim.environment().random);
  REQUIRE(sa.ok());
  CHECK(tunnel::inner_mtu(*sa, 1500, false) == 1438);
  CHECK(tunnel::inner_mtu(*sa, 1500, true) == 1418);
  CHECK(sa->sealed_size(1438) + 28 <= 1500);
  CHECK(sa->sealed_size(1439) + 28 > 1500);
  CHECK(tunnel::inner_mtu(*sa, 20, false) == 0);
}

}  // namespace
}  // namespace winze
