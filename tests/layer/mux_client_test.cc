// The client's side of multiplexing: which carrier a sub-stream goes to, and when there are more or fewer.
#include "winze/layer/mux_client.h"

#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <string>

#include "layer/mux_pool.h"
#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/io/codec_stream.h"
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
  explicit Fixture(const sing::ClientOptions& options)
      : dialer(sing::client(options)(sim.environment(), below)), protocol(options.protocol) {}

  struct Line {
    Pending opening;
    std::unique_ptr<Carrier> server;
    std::vector<Carrier::Accepted> taken;
    bool ended = false;
  };

  // Answers the next carrier that was asked for.
  Line& connect() {
    auto [near, far] = memory_pair(sim.environment());
    Line& line = *lines.emplace_back(std::make_unique<Line>());
    if (protocol) {
      line.opening = open_codec(sim.environment(), std::move(far),
                                std::make_unique<sing::CarrierServerCodec>(false, sim.environment().random), 0s,
                                [this, &line](Opened opened) {
                                  line.opening.detach();
                                  if (!opened.error) serve(line, std::move(opened.stream));
                                });
    } else {
      serve(line, std::move(far));
    }
    REQUIRE(below->dials.size() >= lines.size());
    test::answer(below->dials[lines.size() - 1], {}, std::move(near));
    sim.run_ready();
    return line;
  }

  void serve(Line& line, StreamPtr stream) {
    line.server = std::make_unique<Carrier>(
        sim.environment(), std::move(stream),
        protocol ? sing::make_session(*protocol, Role::kServer) : std::make_unique<CoolSession>(Role::kServer),
        CarrierOptions{}, [&line](Carrier::Accepted accepted) { line.taken.push_back(std::move(accepted)); },
        [&line](std::error_code) { line.ended = true; });
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
  std::optional<sing::Protocol> protocol;  // none: mux.cool
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
  for (const std::uint16_t lifetime : {CoolSession::kLifetime, std::uint16_t{1000}}) {
    Fixture f(CoolOptions{.concurrency = 1000, .lifetime = lifetime});
    f.dial();
    f.connect();
    for (std::uint16_t i = 1; i < lifetime; ++i) f.dial().reset();
    CHECK(f.below->dials.size() == 1);
    f.dial();
    CHECK(f.below->dials.size() == 2);
  }
}

TEST_CASE("mux client: 5,000 streams at once, one whose reader has stopped, and then nothing is left") {
  constexpr std::size_t kStreams = 5000, kSize = 2000;
  struct Case {
    std::uint16_t in_each;
    std::size_t carriers;
  };
  for (const Case& c : {Case{CoolSession::kLifetime, 40}, Case{kStreams / 8, 8}}) {
    CAPTURE(c.carriers);
    Fixture f(CoolOptions{.concurrency = c.in_each, .lifetime = c.in_each});
    for (std::size_t i = 0; i < kStreams; ++i) f.dial();
    REQUIRE(f.below->dials.size() == c.carriers);
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
}

const sing::Protocol kSingProtocols[] = {sing::Protocol::kSmux, sing::Protocol::kYamux, sing::Protocol::kHttp2};

TEST_CASE("sing-mux client: 5,000 streams through 8 carriers, one reader stopped, a client gone, and nothing is left") {
  constexpr std::size_t kStreams = 5000, kCarriers = 8, kSize = 2000;
  for (const sing::Protocol protocol : kSingProtocols) {
    CAPTURE(static_cast<int>(protocol));
    Fixture f(sing::ClientOptions{.protocol = protocol, .max_connections = kCarriers});
    for (std::size_t i = 0; i < kStreams; ++i) f.dial();
    REQUIRE(f.below->dials.size() == kCarriers);
    while (f.lines.size() < kCarriers) f.connect();
    REQUIRE(f.errors == std::vector<std::error_code>(kStreams));
    std::size_t written = 0, echoed = 0;
    for (const auto& stream : f.streams) {
      (*stream)->write(Buffer::copy_of(std::string(kSize, 'x')),
                       [&](std::error_code error) { written += error ? 0 : 1; });
    }
    f.sim.run_ready();
    CHECK(written == kStreams);
    std::size_t taken = 0;
    for (const auto& line : f.lines) {
      taken += line->taken.size();
      // Of HTTP/2 a server may allow so few that those who wait for more go elsewhere until it has said how many.
      if (protocol != sing::Protocol::kHttp2) CHECK(line->taken.size() == kStreams / kCarriers);
      for (Carrier::Accepted& accepted : line->taken) {
        accepted.stream->read([&stream = *accepted.stream](std::error_code error, Buffer) {
          // The answer of sing-mux is a byte before.
          if (!error)
            stream.write(Buffer::copy_of(std::string(1, '\0') + std::string(kSize, 'y')), [](std::error_code) {});
        });
      }
    }
    CHECK(taken == kStreams);
    std::vector<std::size_t> left(kStreams, kSize);
    std::size_t lost = 0;
    std::function<void(std::size_t)> read = [&](std::size_t i) {
      (*f.streams[i])->read([&, i](std::error_code error, const Buffer& data) {
        if (error) {
          ++lost;
          return;
        }
        left[i] -= data.size();
        echoed += left[i] == 0 ? 1 : 0;
        read(i);
      });
    };
    for (std::size_t i = 1; i < kStreams; ++i) read(i);  // the first does not read
    f.sim.run_ready();
    CHECK(echoed == kStreams - 1);
    // Open, but idle: they hold no buffer, but for what waits for the one.
    CHECK(f.sim.environment().pool.lent_bytes() <= 64 << 10);
    // One server of the eight is killed: its streams fail, the others stay.
    const std::size_t killed = f.lines[3]->taken.size();
    f.lines[3]->taken.clear();
    f.lines[3]->server.reset();
    f.sim.run_ready();
    CHECK(lost == killed);
    CHECK(f.below->dials.size() == kCarriers);
    f.streams.clear();
    f.sim.run_for(17s);
    for (const auto& line : f.lines) CHECK((line->ended || !line->server));
    f.lines.clear();
    f.sim.run_ready();
    CHECK(f.sim.environment().pool.lent_bytes() == 0);
  }
}

TEST_CASE("sing-mux client: when there is another carrier") {
  struct Case {
    const char* what;
    sing::ClientOptions options;
    std::size_t streams;
    std::size_t carriers;
  };
  const Case cases[] = {
      {"8 streams in each where nothing is said", {}, 17, 3},
      {"so many carriers, each with one before the second", {.max_connections = 4}, 10, 4},
      {"... filled first", {.max_connections = 4, .min_streams = 3}, 7, 3},
      {"... and then shared", {.max_connections = 2, .min_streams = 3}, 20, 2},
      {"so many streams in each", {.max_streams = 5}, 11, 3},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    Fixture f(c.options);
    for (std::size_t i = 0; i < c.streams; ++i) f.dial();
    CHECK(f.below->dials.size() == c.carriers);
    CHECK(sing::is_carrier(f.below->dials[0]->destination));
    while (f.lines.size() < f.below->dials.size()) f.connect();
    CHECK(f.errors == std::vector<std::error_code>(c.streams));
  }
}

TEST_CASE("sing-mux clients that share a limit keep to it together, and each has a carrier") {
  const auto shared = std::make_shared<sing::SharedLimit>();
  const sing::ClientOptions options{.max_connections = 4, .shared = shared};
  Fixture a(options);
  {
    Fixture b(options);
    for (int i = 0; i < 10; ++i) a.dial();
    CHECK(a.below->dials.size() == 3);  // the first of the other's is left to it
    for (int i = 0; i < 10; ++i) b.dial();
    CHECK(b.below->dials.size() == 1);
    while (a.lines.size() < 3) a.connect();
    b.connect();
    CHECK(b.errors == std::vector<std::error_code>(10));
    // What ends makes room for either.
    (*a.streams[0])->write(Buffer::copy_of("x"), [](std::error_code) {});
    a.sim.run_ready();
    REQUIRE(a.lines[0]->server);
    a.lines[0]->server.reset();
    a.sim.run_ready();
    b.dial();
    CHECK(b.below->dials.size() == 2);
    a.dial();
    CHECK(a.below->dials.size() == 3);
  }
  a.dial();
  a.dial();
  CHECK(a.below->dials.size() == 5);
  a.dial();
  CHECK(a.below->dials.size() == 5);
}

TEST_CASE("sing-mux client: each stream says whom it is for, padded or not") {
  for (const sing::Protocol protocol : kSingProtocols) {
    for (const bool padding : {false, true}) {
      Fixture f(sing::ClientOptions{.protocol = protocol, .padding = padding});
      f.dial("b.test");
      Fixture::Line& line = f.connect();
      (*f.streams[0])->write(Buffer::copy_of("hello"), [](std::error_code) {});
      f.sim.run_ready();
      REQUIRE(line.taken.size() == 1);
      std::string request;
      line.taken[0].stream->read([&](std::error_code, const Buffer& data) { request = data.text(); });
      f.sim.run_ready();
      CHECK(request == std::string("\0\0\3\6b.test\0\x50hello", 17));
      f.lines.clear();  // what reads still is called back
      f.sim.run_ready();
    }
  }
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
    CHECK(test::send(*another, "x", a));
    f.sim.run_ready();
    CHECK(f.below->dials.size() == (packets == Packets::kXudpLone ? 2 : 1));
    CHECK(f.below->opens.empty());
  }
  Fixture f({.packets = Packets::kBelow});
  Pending opening = f.dialer->open_conduit(a, [](const DialError&, const ConduitPtr&) {});
  CHECK(f.below->opens.size() == 1);
}

TEST_CASE("mux client: by XUDP a conduit outlasts its carrier, and is known by its id on the next") {
  const Destination a("192.0.2.1", 53, Network::kUdp);
  using Packets = CoolOptions::Packets;
  for (const Packets packets : {Packets::kXudp, Packets::kXudpOwn, Packets::kXudpLone}) {
    for (const bool global_ids : {true, false}) {
      Fixture f({.packets = packets, .global_ids = global_ids});
      const ConduitPtr conduit = f.open(everyone()), other = f.open(everyone());
      const test::Receiver here(*conduit);
      std::vector<GlobalId> ids;
      for (const char* text : {"one", "two"}) {
        CHECK(test::send(*conduit, text, a));
        f.sim.run_ready();
        Fixture::Line& line = f.connect();
        REQUIRE(line.taken.size() == 1);
        ids.push_back(line.taken[0].opening.global_id);
        const test::Receiver there(*line.taken[0].conduit);
        f.sim.run_ready();
        CHECK(there.texts() == std::vector<std::string>{text});
        CHECK(test::send(*line.taken[0].conduit, text, a));
        f.sim.run_ready();
        line.server.reset();
        f.sim.run_ready();
      }
      CHECK(here.texts() == std::vector<std::string>{"one", "two"});
      CHECK_FALSE(here.error());
      CHECK(test::send(*other, "x", a));
      f.sim.run_ready();
      ids.push_back(f.connect().taken.at(0).opening.global_id);
      CHECK(ids[0] == ids[1]);
      CHECK((ids[0] != GlobalId()) == global_ids);
      CHECK((ids[0] != ids[2]) == global_ids);
    }
  }
}

TEST_CASE("mux client: what a dial that fails would have carried is lost, and the next datagram tries again") {
  const Destination a("192.0.2.1", 53, Network::kUdp);
  Fixture f({.packets = CoolOptions::Packets::kXudpOwn});
  const ConduitPtr conduit = f.open(everyone());
  CHECK(test::send(*conduit, "lost", a));
  f.sim.run_ready();
  test::answer(f.below->dials[0], std::make_error_code(std::errc::connection_refused), StreamPtr());
  f.sim.run_ready();
  CHECK(conduit->dropped() == 1);
  f.sim.run_for(2s);
  CHECK(test::send(*conduit, "kept", a));
  f.sim.run_ready();
  REQUIRE(f.below->dials.size() == 2);
}

TEST_CASE("mux client: by XUDP too a conduit for one destination is for that alone") {
  const Destination a("192.0.2.1", 53, Network::kUdp), b("192.0.2.2", 53, Network::kUdp);
  for (const bool named : {false, true}) {
    Fixture f({.packets = CoolOptions::Packets::kXudp});
    const Destination to = named ? Destination("b.test", 53, Network::kUdp) : a;
    const ConduitPtr conduit = f.open(to);
    REQUIRE(conduit);
    CHECK(test::send(*conduit, "x", Destination("192.0.2.9", 9, Network::kUdp)));
    f.sim.run_ready();
    Fixture::Line& line = f.connect();
    REQUIRE(line.taken.size() == 1);
    CHECK(line.taken[0].opening.destination == to);
    CHECK(line.taken[0].opening.global_id != GlobalId());
    const test::Receiver here(*conduit);
    test::send(*line.taken[0].conduit, "from a", a);
    test::send(*line.taken[0].conduit, "from b", b);
    test::send(*line.taken[0].conduit, "from another port", Destination("192.0.2.1", 54, Network::kUdp));
    f.sim.run_ready();
    CHECK(here.texts() == (named ? std::vector<std::string>{"from a", "from b"} : std::vector<std::string>{"from a"}));
    CHECK(here.peers()[0] == to);
  }
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
