#include "winze/tunnel/data_plane.h"

#include <doctest/doctest.h>

#include <asio/post.hpp>
#include <string>
#include <vector>

#include "support/simulator.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/ip/icmp.h"

namespace winze {
namespace {

using namespace std::chrono_literals;

// A conduit that the test is the other side of.
struct Script {
  std::vector<Datagram> sent;
  PacketConduit::ReceiveHandler handler;
  PacketConduit::TooBigHandler too_big;
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
    for (Datagram& datagram : datagrams) script_.sent.push_back(std::move(datagram));
    return datagrams.size();
  }
  void receive(ReceiveHandler handler) override { script_.handler = std::move(handler); }
  void close() override { script_.closed = true; }
  void on_too_big(TooBigHandler handler) override { script_.too_big = std::move(handler); }
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

const esp::ChildConfig kToPeer{.path = {.peer = kPeer}};

// One data plane with one child, and the SAs of its peer.
struct Fixture {
  explicit Fixture(const esp::ChildConfig& child_config, const tunnel::DataPlaneOptions& options = {})
      : far_out(*esp::OutboundSa::create(config(0x2000), sim.environment().random)),
        far_in(*esp::InboundSa::create(config(0x1000))),
        plane(sim.environment(), conduit(inner), options, [this](std::error_code e) { failed = e; }),
        child(plane.database().add(child_config)) {
    plane.add_carrier(tunnel::DataPlane::Carrier::kUdp, conduit(outer));
    child.set_outbound(*esp::OutboundSa::create(config(0x1000), sim.environment().random));
    REQUIRE(plane.database().add_inbound(child, *esp::InboundSa::create(config(0x2000))));
  }

  ConduitPtr conduit(Script& script) { return std::make_unique<ScriptedConduit>(sim.environment().executor, script); }
  static Buffer packet(char version, std::size_t size = 60, bool dont_fragment = true) {
    Buffer out = Buffer::copy_of(std::string(size - (version == 4 ? 20 : 40), 'p'), {.front = 40, .back = 0});
    const bool v4 = version == 4;
    REQUIRE(ip::prepend_header(out, {.source = *IpAddress::parse(v4 ? "10.0.0.1" : "fd00::1"),
                                     .destination = *IpAddress::parse(v4 ? "10.1.0.1" : "fd00:1::1"),
                                     .protocol = ip::kUdp,
                                     .dont_fragment = dont_fragment}));
    return out;
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
  tunnel::DataPlane plane;
  esp::Child& child;
};

TEST_CASE("data plane: packets of both versions go out sealed and come in opened") {
  Fixture f(kToPeer);
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
  const auto counters = f.plane.counters();
  CHECK(counters.packets_out == 2);
  CHECK(counters.bytes_out == 120);
  CHECK(counters.packets_in == 1);
}

TEST_CASE("data plane: what is no good is dropped and counted") {
  Fixture f(kToPeer);
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
  const auto counters = f.plane.counters();
  CHECK(counters.not_esp == 2);
  CHECK(counters.drops[esp::Drop::kUnknownSpi] == 1);
  const esp::DropCounters& drops = f.plane.database().inbound(0x2000)->drops();
  CHECK(drops[esp::Drop::kBadNextHeader] == 1);
  CHECK(drops[esp::Drop::kBadInner] == 1);
  CHECK(drops[esp::Drop::kBadIcv] == 1);
  CHECK(f.child.path.peer == kPeer);
}

TEST_CASE("data plane: the peer moves with its newest authentic packet only") {
  Fixture f({});
  f.inner.feed(f.from({}, Fixture::packet(4)));
  CHECK(f.plane.counters().no_peer == 1);
  Buffer first = f.sealed(Fixture::packet(4));
  Buffer replay = Buffer::copy_of(std::as_const(first).span());
  Buffer late = f.sealed(Fixture::packet(4));
  Buffer newest = f.sealed(Fixture::packet(4));
  f.outer.feed(f.from(kPeer, std::move(first)));
  CHECK(f.child.path.peer == kPeer);
  f.outer.feed(f.from(kMoved, std::move(replay)));
  CHECK(f.child.path.peer == kPeer);
  f.outer.feed(f.from(kMoved, std::move(newest)));
  CHECK(f.child.path.peer == kMoved);
  f.outer.feed(f.from(kPeer, std::move(late)));
  CHECK(f.child.path.peer == kMoved);
  CHECK(f.plane.counters().moves == 1);
  CHECK(f.plane.counters().packets_in == 3);

  Fixture fixed({.path = {.peer = kPeer, .follow_peer = false}});
  fixed.outer.feed(fixed.from(kMoved, fixed.sealed(Fixture::packet(4))));
  CHECK(fixed.child.path.peer == kPeer);
}

TEST_CASE("data plane: keepalives when idle, none after a packet") {
  Fixture f(kToPeer, {.keepalive = 20s});
  f.sim.run_for(19s);
  CHECK(f.outer.sent.empty());
  f.inner.feed(f.from({}, Fixture::packet(4)));
  f.sim.run_for(19s);
  CHECK(f.outer.sent.size() == 1);
  f.sim.run_for(41s);
  REQUIRE(f.outer.sent.size() == 4);
  CHECK(f.outer.sent[3].payload.text() == "\xff");
}

TEST_CASE("data plane: a conduit that fails ends it, once") {
  Fixture f(kToPeer);
  f.inner.fail(std::make_error_code(std::errc::io_error));
  CHECK(f.failed == std::errc::io_error);
  CHECK(f.inner.closed);
  CHECK(f.outer.closed);
}

TEST_CASE("data plane: what does not fit is cut, or its sender told") {
  Fixture f({.path = {.peer = kPeer, .mtu = 1300}}, {.too_big_per_second = 3});
  f.inner.feed(f.from({}, Fixture::packet(4, 1300)));
  CHECK(f.outer.sent.size() == 1);
  f.inner.feed(f.from({}, Fixture::packet(4, 2000, false)));
  REQUIRE(f.outer.sent.size() == 3);
  for (std::size_t i : {1, 2}) {
    REQUIRE(f.far_in.open(f.outer.sent[i].payload).drop == esp::Drop::kNone);
    CHECK(ip::parse(f.outer.sent[i].payload.span())->is_fragment());
    CHECK(f.outer.sent[i].payload.size() <= 1300);
  }
  for (const char version : {4, 6}) {
    f.inner.feed(f.from({}, Fixture::packet(version, 1301)));
    const auto told = ip::parse_packet_too_big(f.inner.sent.back().payload.span());
    REQUIRE(told);
    CHECK(told->mtu == 1300);
  }
  for (int i = 0; i < 5; ++i) f.inner.feed(f.from({}, Fixture::packet(6, 1301)));
  CHECK(f.inner.sent.size() == 3);  // the rate is limited
  f.sim.run_for(1s);
  f.inner.feed(f.from({}, Fixture::packet(6, 1301)));
  CHECK(f.inner.sent.size() == 4);
  CHECK(f.plane.counters().drops[esp::Drop::kTooBig] == 8);
}

TEST_CASE("data plane: a path that takes less is believed about our own SAs, down to what every path takes") {
  Fixture f({.how = {.remote_port = 4500}, .path = {.peer = kPeer, .mtu = 1438}});
  const auto report = [&](const Endpoint& peer, std::size_t mtu, std::string quoted, bool local = false) {
    f.outer.too_big({.peer = Destination(peer, Network::kUdp),
                     .mtu = mtu,
                     .local = local,
                     .quoted = {reinterpret_cast<const std::uint8_t*>(quoted.data()), quoted.size()}});
    return f.child.path.least_mtu();
  };
  const std::string ours("\0\0\x10\0", 4);
  CHECK(report(kPeer, 1000, std::string("\0\0\x10\1", 4)) == 1438);  // another SA
  CHECK(report(kPeer, 1000, "") == 1438);
  CHECK(report(kMoved, 1000, ours) == 1438);  // another peer
  CHECK(f.plane.counters().path_mtus_refused == 3);
  CHECK(report(kPeer, 1400, ours) == esp::inner_mtu(*f.child.outbound(), f.child.how(), 1400));
  CHECK(report(kPeer, 1450, ours) < 1400);  // never up
  CHECK(report(kPeer, 68, ours) == esp::inner_mtu(*f.child.outbound(), f.child.how(), 576));
  CHECK(f.plane.counters().path_mtus == 3);
  // The sender inside is told.
  f.inner.feed(f.from({}, Fixture::packet(4, 1000)));
  REQUIRE(f.inner.sent.size() == 1);
  CHECK(ip::parse_packet_too_big(f.inner.sent[0].payload.span())->mtu == f.child.path.least_mtu());
  // Later the path is tried again.
  f.sim.run_for(11min);
  CHECK(f.child.path.least_mtu() == 1438);
  CHECK(report(kPeer, 1300, "", true) == esp::inner_mtu(*f.child.outbound(), f.child.how(), 1300));
}

TEST_CASE("data plane: a flood of path MTU reports is cut short") {
  Fixture f(kToPeer);
  for (int i = 0; i < 1000; ++i) f.outer.too_big({.peer = Destination(kPeer, Network::kUdp), .mtu = 1000});
  CHECK(f.plane.counters().path_mtus_refused == 100);
}

TEST_CASE("data plane: answers leave from the address that packets came to") {
  Fixture f(kToPeer);
  auto datagrams = f.from(kPeer, f.sealed(Fixture::packet(4)));
  datagrams[0].local = *IpAddress::parse("192.0.2.77");
  f.outer.feed(std::move(datagrams));
  f.inner.feed(f.from({}, Fixture::packet(4)));
  REQUIRE(f.outer.sent.size() == 1);
  CHECK(f.outer.sent[0].local.to_string() == "192.0.2.77");
}

TEST_CASE("data plane: packets of another thread's SAs are passed on") {
  Fixture near(kToPeer), far(kToPeer);
  Buffer packet = far.sealed(Fixture::packet(4));
  REQUIRE(near.plane.database().remove_inbound(0x2000));
  std::uint32_t seen = 0;
  near.plane.on_stray([&](std::uint32_t spi, Datagram& datagram) {
    seen = spi;
    if (spi != 0x2000) return false;
    far.plane.take(0, std::span(&datagram, 1));
    return true;
  });
  near.outer.feed(near.from(kPeer, std::move(packet)));
  CHECK(seen == 0x2000);
  CHECK(far.plane.counters().packets_in == 1);
  CHECK(near.plane.counters().drops[esp::Drop::kUnknownSpi] == 0);
  near.outer.feed(near.from(kPeer, Buffer::copy_of(std::string("\0\0\x30\0", 4) + std::string(40, 'x'))));
  CHECK(near.plane.counters().drops[esp::Drop::kUnknownSpi] == 1);
}

TEST_CASE("data plane: a child knows when its peer was last heard, and forgers are not it") {
  Fixture f(kToPeer);
  f.sim.run_for(60s);
  Buffer forged = f.sealed(Fixture::packet(4));
  forged.data()[forged.size() - 1] ^= 1;
  f.outer.feed(f.from(kPeer, std::move(forged)));
  CHECK(f.child.path.last_heard == TimePoint{});
  f.outer.feed(f.from(kPeer, f.sealed(Fixture::packet(4))));
  CHECK(f.child.path.last_heard == f.sim.now());
}

TEST_CASE("data plane: SAs tell their age, by time and by use, and end at their hard limit") {
  Fixture f(kToPeer);
  const TimePoint begun = f.sim.now();
  struct Told {
    std::uint32_t spi;
    bool inbound;
    esp::SaAge age;
    Duration after;
  };
  std::vector<Told> told;
  f.plane.on_age([&](std::uint32_t spi, bool inbound, esp::SaAge age) {
    told.push_back({spi, inbound, age, f.sim.now() - begun});
  });
  esp::SaConfig timed = config(0x1001);
  timed.lifetime = {.soft_at = begun + 60s, .hard_at = begun + 90s};
  f.child.set_outbound(*esp::OutboundSa::create(timed, f.sim.environment().random));
  esp::SaConfig counted = config(0x2001);
  counted.lifetime = {.soft_packets = 2, .hard_packets = 3};
  REQUIRE(f.plane.database().add_inbound(f.child, *esp::InboundSa::create(counted)));
  auto far_out = *esp::OutboundSa::create(config(0x2001), f.sim.environment().random);
  for (int i = 0; i < 4; ++i) {
    Buffer packet = Fixture::packet(4);
    REQUIRE(far_out.seal(packet, esp::kNextHeaderV4) == esp::Drop::kNone);
    f.outer.feed(f.from(kPeer, std::move(packet)));
    f.sim.run_ready();
  }
  REQUIRE(told.size() == 2);
  CHECK((told[0].spi == 0x2001 && told[0].inbound && told[0].age == esp::SaAge::kSoft));
  CHECK(told[1].age == esp::SaAge::kHard);
  CHECK(f.plane.database().inbound(0x2001)->drops()[esp::Drop::kExpired] == 1);
  f.sim.run_for(120s);
  REQUIRE(told.size() == 4);
  CHECK((told[2].spi == 0x1001 && !told[2].inbound && told[2].age == esp::SaAge::kSoft));
  CHECK((told[2].after >= 60s && told[2].after <= 81s));
  CHECK((told[3].age == esp::SaAge::kHard && told[3].after >= 90s && told[3].after <= 91s));
  f.inner.feed(f.from({}, Fixture::packet(4)));
  CHECK(f.child.outbound()->drops()[esp::Drop::kExpired] == 1);
}

TEST_CASE("data plane: traffic classes pass both ways, and congestion on the way is told inside (RFC 6040)") {
  Fixture f(kToPeer);
  Buffer packet = Fixture::packet(4);
  ip::set_traffic_class(packet.span(), 0xb9);  // EF, ECT(1)
  f.inner.feed(f.from({}, std::move(packet)));
  REQUIRE(f.outer.sent.size() == 1);
  CHECK(f.outer.sent[0].traffic_class == 0xb9);
  Buffer back = Fixture::packet(4);
  ip::set_traffic_class(back.span(), 0xb8 | 2);  // ECT(0)
  auto datagrams = f.from(kPeer, f.sealed(std::move(back)));
  datagrams[0].traffic_class = 0xb8 | 3;  // a router has marked it
  f.outer.feed(std::move(datagrams));
  REQUIRE(f.inner.sent.size() == 1);
  CHECK(ip::parse(f.inner.sent[0].payload.span())->traffic_class == (0xb8 | 3));
  auto marked = f.from(kPeer, f.sealed(Fixture::packet(4)));  // whose transport does not know ECN
  marked[0].traffic_class = 3;
  f.outer.feed(std::move(marked));
  CHECK(f.inner.sent.size() == 1);
  CHECK(f.plane.database().inbound(0x2000)->drops()[esp::Drop::kCongestion] == 1);
}

TEST_CASE("data plane: IPv6 inside never gets less than 1280 bytes: what does not fit then is cut outside") {
  Fixture f({.path = {.peer = kPeer, .mtu = 1200}});
  f.inner.feed(f.from({}, Fixture::packet(6, 1280)));
  f.inner.feed(f.from({}, Fixture::packet(6, 1200)));
  REQUIRE(f.outer.sent.size() == 2);
  CHECK(f.outer.sent[0].may_be_cut);
  CHECK_FALSE(f.outer.sent[1].may_be_cut);
  f.inner.feed(f.from({}, Fixture::packet(6, 1281)));
  REQUIRE(f.inner.sent.size() == 1);
  CHECK(ip::parse_packet_too_big(f.inner.sent[0].payload.span())->mtu == 1280);
  f.inner.feed(f.from({}, Fixture::packet(4, 1201)));
  REQUIRE(f.inner.sent.size() == 2);
  CHECK(ip::parse_packet_too_big(f.inner.sent[1].payload.span())->mtu == 1200);
}

// A SYN that offers an MSS of 1460.
Buffer syn() {
  Buffer out(128, 40);
  const std::uint8_t tcp[] = {0x03, 0xe8, 0,    80,   0, 0, 0, 1, 0, 0, 0,    0,
                              0x60, 0x02, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 0x05, 0xb4};
  out.append(std::span<const std::uint8_t>(tcp));
  REQUIRE(ip::prepend_header(
      out,
      {.source = *IpAddress::parse("10.0.0.1"), .destination = *IpAddress::parse("10.1.0.1"), .protocol = ip::kTcp}));
  const IpAddress from = ip::source_of(out.span()), to = ip::destination_of(out.span());
  store_u16(out.data() + 36, ip::pseudo_checksum(from, to, ip::kTcp, out.span().subspan(20)));
  return out;
}

TEST_CASE("data plane: the MSS of TCP fits into the path, both ways, or is left alone") {
  for (const bool clamps : {true, false}) {
    Fixture f({.path = {.peer = kPeer, .mtu = 1300}}, {.clamp_mss = clamps});
    const auto mss = [](Buffer& packet) { return load_u16(packet.data() + 42); };
    f.inner.feed(f.from({}, syn()));
    REQUIRE(f.far_in.open(f.outer.sent[0].payload).drop == esp::Drop::kNone);
    CHECK(mss(f.outer.sent[0].payload) == (clamps ? 1260 : 1460));
    f.outer.feed(f.from(kPeer, f.sealed(syn())));
    CHECK(mss(f.inner.sent[0].payload) == (clamps ? 1260 : 1460));
  }
}

TEST_CASE("data plane: dummies and transport mode") {
  Fixture f({.how = {.mode = esp::Mode::kTransport}, .path = {.peer = kPeer}});
  Buffer dummy;
  REQUIRE(f.far_out.seal_dummy(dummy, 100, f.sim.environment().random) == esp::Drop::kNone);
  f.outer.feed(f.from(kPeer, std::move(dummy)));
  CHECK(f.inner.sent.empty());
  const esp::DropCounters& drops = f.plane.database().inbound(0x2000)->drops();
  CHECK(drops[esp::Drop::kDummy] == 1);
  CHECK(drops.total() == 0);
  // The packet that comes out has the addresses that the datagram had.
  auto datagrams = f.from(kPeer, f.sealed(Buffer::copy_of(std::string(12, '\0')), ip::kUdp));
  datagrams[0].local = *IpAddress::parse("192.0.2.1");
  f.outer.feed(std::move(datagrams));
  REQUIRE(f.inner.sent.size() == 1);
  CHECK(ip::source_of(f.inner.sent[0].payload.span()) == kPeer.address);
  CHECK(ip::destination_of(f.inner.sent[0].payload.span()).to_string() == "192.0.2.1");
}

TEST_CASE("data plane: policies, and what has none") {
  const ip::SelectorPair selectors{.local = {*ip::Selector::parse("10.0.0.0/24")},
                                   .remote = {*ip::Selector::parse("10.1.0.0/24")}};
  Fixture f({.selectors = selectors, .path = {.peer = kPeer}});
  f.inner.feed(f.from({}, Fixture::packet(4)));
  f.inner.feed(f.from({}, Fixture::packet(6)));
  f.inner.feed(f.from({}, Buffer::copy_of("no packet")));
  CHECK(f.outer.sent.size() == 1);
  CHECK(f.plane.counters().drops[esp::Drop::kNoPolicy] == 1);
  CHECK(f.plane.counters().drops[esp::Drop::kMalformed] == 1);
  f.outer.feed(f.from(kPeer, f.sealed(Fixture::packet(4))));  // its source is ours
  CHECK(f.inner.sent.empty());
  CHECK(f.plane.database().inbound(0x2000)->drops()[esp::Drop::kSelectorMismatch] == 1);
}

TEST_CASE("data plane: IKE goes to whom it concerns") {
  Fixture f(kToPeer);
  std::string seen;
  f.plane.on_other([&](std::uint32_t carrier, Datagram& datagram) {
    seen = datagram.payload.text();
    CHECK(carrier == 0);
    Datagram answer{.payload = Buffer::copy_of("answer"), .peer = datagram.peer};
    f.plane.send(carrier, std::move(answer));
  });
  f.outer.feed(f.from(kMoved, Buffer::copy_of(std::string(4, '\0') + "IKE")));
  CHECK(seen == std::string(4, '\0') + "IKE");
  REQUIRE(f.outer.sent.size() == 1);
  CHECK(f.outer.sent[0].payload.text() == "answer");
  CHECK(f.plane.counters().not_esp == 0);
}

TEST_CASE("data plane: a carrier of its own end") {
  Fixture f(kToPeer);
  Script connection;
  std::error_code ended;
  const std::uint32_t number = f.plane.add_carrier(tunnel::DataPlane::Carrier::kRaw, f.conduit(connection), {},
                                                   [&](std::error_code error) { ended = error; });
  CHECK(number == 1);
  // The child follows its peer there, and its packets do.
  connection.feed(f.from(kMoved, f.sealed(Fixture::packet(4))));
  CHECK(f.child.path.carrier == number);
  f.inner.feed(f.from({}, Fixture::packet(4)));
  CHECK(connection.sent.size() == 1);
  connection.fail(std::make_error_code(std::errc::connection_reset));
  CHECK(ended == std::errc::connection_reset);
  CHECK_FALSE(f.failed);
  f.inner.feed(f.from({}, Fixture::packet(4)));
  CHECK(f.plane.counters().no_peer == 1);
  f.outer.feed(f.from(kPeer, f.sealed(Fixture::packet(4))));
  CHECK(f.child.path.carrier == 0);

  // Another one in its place has another number, so that nothing meant for the first goes there.
  Script second;
  const std::uint32_t next = f.plane.add_carrier(tunnel::DataPlane::Carrier::kRaw, f.conduit(second));
  CHECK(next != number);
  f.child.path.carrier = number;
  f.inner.feed(f.from({}, Fixture::packet(4)));
  CHECK(second.sent.empty());
  CHECK_FALSE(f.plane.proved(next));
  second.feed(f.from(kMoved, f.sealed(Fixture::packet(4))));
  CHECK(f.plane.proved(next));
  CHECK(f.child.path.carrier == next);
}

}  // namespace
}  // namespace winze
