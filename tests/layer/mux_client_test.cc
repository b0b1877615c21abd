// The client's side of multiplexing: which carrier a sub-stream goes to, and when there are more or fewer.
#include "winze/layer/mux_client.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "layer/mux_pool.h"
#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/io/memory.h"
#include "winze/layer/mux_carrier.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/mux/error.h"

namespace winze::mux {
namespace {

using namespace std::chrono_literals;

// A dialer whose carriers end at servers of ours.
struct Fixture {
  explicit Fixture(const CoolOptions& options = {}) : dialer(cool(options)(sim.environment(), below)) {}

  struct Line {
    std::unique_ptr<Carrier> server;
    std::vector<Carrier::Accepted> taken;
    bool ended = false;
  };

  // Answers the next carrier that was asked for.
  Line& connect() {
    auto [near, far] = memory_pair(sim.environment());
    Line& line = *lines.emplace_back(std::make_unique<Line>());
    line.server = std::make_unique<Carrier>(
        sim.environment(), std::move(far), std::make_unique<CoolSession>(Role::kServer), CarrierOptions{},
        [&line](Carrier::Accepted accepted) { line.taken.push_back(std::move(accepted)); },
        [&line](std::error_code) { line.ended = true; });
    REQUIRE(below->dials.size() >= lines.size());
    test::answer(below->dials[lines.size() - 1], {}, std::move(near));
    sim.run_ready();
    return line;
  }

  // The place where the stream will be.
  StreamPtr& dial(std::string_view host = "a.test") {
    auto& place = *streams.emplace_back(std::make_unique<StreamPtr>());
    pending.push_back(dialer->dial(Destination(host, 80), [this, &place](const DialError& error, StreamPtr stream) {
      place = std::move(stream);
      errors.push_back(error);
    }));
    sim.run_ready();
    return place;
  }

  ConduitPtr open(const Destination& to) {
    ConduitPtr result;
    Pending opening = dialer->open_conduit(to, [&](const DialError& error, ConduitPtr conduit) {
      errors.push_back(error);
      result = std::move(conduit);
    });
    sim.run_ready();
    if (lines.size() < below->dials.size()) connect();
    opening.detach();
    return result;
  }

  test::Simulator sim{1};
  std::shared_ptr<test::FakeDialer> below = std::make_shared<test::FakeDialer>(sim.environment());
  DialerPtr dialer;
  std::vector<std::unique_ptr<Line>> lines;
  std::vector<std::unique_ptr<StreamPtr>> streams;
  std::vector<Pending> pending;
  std::vector<std::error_code> errors;
};

TEST_CASE("mux client: streams share a carrier up to the limit, then there is another") {
  Fixture f({.concurrency = 3});
  for (int i = 0; i < 4; ++i) f.dial();
  REQUIRE(f.below->dials.size() == 2);
  CHECK(is_cool(f.below->dials[0]->destination));
  f.connect();
  CHECK(f.errors.size() == 3);
  f.connect();
  CHECK(f.errors.size() == 4);
  for (const auto& stream : f.streams) CHECK(*stream);
  // A place that is free again is taken.
  f.streams[1]->reset();
  f.dial();
  CHECK(f.below->dials.size() == 2);
  CHECK(f.errors.size() == 5);
}

TEST_CASE("mux client: a carrier that cannot be dialed, or a name that cannot be sent, is an error of who asked") {
  Fixture f;
  f.dial();
  f.dial();
  test::answer(f.below->dials[0], DialError(std::make_error_code(std::errc::connection_refused), "why"), nullptr);
  f.sim.run_ready();
  CHECK(f.errors == std::vector<std::error_code>(2, std::make_error_code(std::errc::connection_refused)));
  f.dial("not/a/name");
  CHECK(f.errors.back() == Errc::kBadName);
  f.dial();
  CHECK(f.below->dials.size() == 2);  // anew
}

TEST_CASE("mux client: one who gives up does not disturb the others") {
  Fixture f;
  f.dial();
  f.dial();
  f.pending[0].cancel();
  f.sim.run_ready();
  CHECK(f.errors == std::vector<std::error_code>{winze::Errc::kAborted});
  f.connect();
  CHECK(f.errors.size() == 2);
  CHECK(*f.streams[1]);
}

TEST_CASE("mux client: a dead carrier is forgotten, an idle one ended") {
  Fixture f;
  f.dial();
  f.connect();
  f.lines[0]->server.reset();
  f.sim.run_ready();
  f.dial();
  REQUIRE(f.below->dials.size() == 2);
  f.connect();
  f.streams[1]->reset();
  f.sim.run_for(17s);
  CHECK(f.lines[1]->ended);
  f.dial();
  CHECK(f.below->dials.size() == 3);
}

TEST_CASE("mux client: a carrier is used so many times") {
  Fixture f({.concurrency = 1000});
  f.dial();
  f.connect();
  for (std::uint32_t i = 1; i < CoolSession::kLifetime; ++i) f.dial().reset();
  CHECK(f.below->dials.size() == 1);
  f.dial();
  CHECK(f.below->dials.size() == 2);
}

TEST_CASE("mux client: 5,000 streams at once, one whose reader has stopped, and then nothing is left") {
  constexpr std::size_t kStreams = 5000, kSize = 2000;
  Fixture f({.concurrency = CoolSession::kLifetime});
  for (std::size_t i = 0; i < kStreams; ++i) f.dial();
  REQUIRE(f.below->dials.size() == (kStreams + CoolSession::kLifetime - 1) / CoolSession::kLifetime);
  while (f.lines.size() < f.below->dials.size()) f.connect();
  REQUIRE(f.errors == std::vector<std::error_code>(kStreams));
  std::size_t written = 0, echoed = 0;
  for (const auto& stream : f.streams) {
    (*stream)->write(Buffer::copy_of(std::string(kSize, 'x')),
                     [&](std::error_code error) { written += error ? 0 : 1; });
  }
  f.sim.run_ready();
  CHECK(written == kStreams);
  std::function<void(Stream&)> echo = [&](Stream& stream) {
    stream.read([&](std::error_code error, Buffer data) {
      if (error) return;
      stream.write(std::move(data), [&](std::error_code failed) {
        if (!failed) echo(stream);
      });
    });
  };
  for (const auto& line : f.lines) {
    for (Carrier::Accepted& accepted : line->taken) echo(*accepted.stream);
  }
  std::function<void(Stream&)> read = [&](Stream& stream) {
    stream.read([&](std::error_code error, const Buffer& data) {
      if (error) return;
      echoed += data.size();
      read(stream);
    });
  };
  for (std::size_t i = 1; i < kStreams; ++i) read(**f.streams[i]);  // the first does not
  f.sim.run_ready();
  CHECK(echoed == (kStreams - 1) * kSize);
  // Open, but idle: they hold no buffer, but for what waits for the one.
  CHECK(f.sim.environment().pool.lent_bytes() <= 64 << 10);
  f.streams.clear();
  f.sim.run_for(17s);
  for (const auto& line : f.lines) CHECK(line->ended);
  f.lines.clear();
  CHECK(f.sim.environment().pool.lent_bytes() == 0);
}

TEST_CASE("mux client: datagrams, as each policy has them") {
  const Destination a("192.0.2.1", 53, Network::kUdp), b("b.test", 443, Network::kUdp);
  using Packets = CoolOptions::Packets;
  for (const Packets packets : {Packets::kPlain, Packets::kXudp, Packets::kXudpOwn, Packets::kXudpLone}) {
    Fixture f({.packets = packets});
    const ConduitPtr conduit = f.open(everyone());
    REQUIRE(conduit);
    CHECK(test::send(*conduit, "to a", a));
    f.sim.run_ready();
    if (f.lines.empty()) f.connect();
    CHECK(test::send(*conduit, "to b", b));
    f.sim.run_ready();
    auto& taken = f.lines[0]->taken;
    const bool plain = packets == Packets::kPlain;
    REQUIRE(taken.size() == (plain ? 2 : 1));
    const test::Receiver first(*taken[0].conduit);
    f.sim.run_ready();
    CHECK(first.texts().size() == (plain ? 1 : 2));
    CHECK(taken[0].opening.destination == a);
    CHECK(taken[0].opening.any_peer == !plain);
    if (!plain) CHECK(first.peers()[1] == b);
    CHECK(test::send(*taken.back().conduit, "from b", b));
    const test::Receiver here(*conduit);
    f.sim.run_ready();
    REQUIRE(here.peers().size() == 1);
    CHECK(here.peers()[0] == b);
    // One more is the carrier's next, or has one of its own.
    const ConduitPtr another = f.open(a);
    CHECK(f.below->dials.size() == (packets == Packets::kXudpLone ? 2 : 1));
    CHECK(f.below->opens.empty());
  }
  Fixture f({.packets = Packets::kBelow});
  Pending opening = f.dialer->open_conduit(a, [](const DialError&, const ConduitPtr&) {});
  CHECK(f.below->opens.size() == 1);
}

TEST_CASE("mux client: what becomes of QUIC") {
  using Udp443 = CoolOptions::Udp443;
  const Destination quic("192.0.2.1", 443, Network::kUdp);
  Fixture rejecting({.packets = CoolOptions::Packets::kXudp, .udp443 = Udp443::kReject});
  CHECK_FALSE(rejecting.open(quic));
  CHECK(rejecting.errors == std::vector<std::error_code>{winze::Errc::kRefusedPolicy});
  const ConduitPtr conduit = rejecting.open(everyone());
  CHECK_FALSE(test::send(*conduit, "x", quic));
  CHECK(conduit->dropped() == 1);
  Fixture skipping({.packets = CoolOptions::Packets::kXudp, .udp443 = Udp443::kSkip});
  Pending opening = skipping.dialer->open_conduit(quic, [](const DialError&, const ConduitPtr&) {});
  CHECK(skipping.below->opens.size() == 1);
}

}  // namespace
}  // namespace winze::mux
