// Carriers over streams in memory: sub-streams through any segments, turns, bounds, faults, and the ends of both.
#include "winze/layer/mux_carrier.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <string>

#include "support/fake_dialer.h"
#include "support/segments.h"
#include "support/simulator.h"
#include "support/stream_around.h"
#include "winze/base/error.h"
#include "winze/io/codec_stream.h"
#include "winze/io/memory.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/mux/error.h"
#include "winze/proto/mux/h2.h"
#include "winze/proto/mux/smux.h"
#include "winze/proto/mux/yamux.h"
#include "winze/proto/vless/codec.h"

namespace winze::mux {
namespace {

using namespace std::chrono_literals;
using test::Simulator;

struct Protocol {
  const char* name;
  std::function<std::unique_ptr<Session>(Role)> make;
  bool datagrams = false;
  bool resets = true;  // says what breaks off
};

std::vector<Protocol> protocols() {
  return {
      {.name = "mux.cool", .make = [](Role role) { return std::make_unique<CoolSession>(role); }, .datagrams = true},
      {.name = "smux", .make = [](Role role) { return std::make_unique<SmuxSession>(role); }, .resets = false},
      {.name = "yamux", .make = [](Role role) { return std::make_unique<YamuxSession>(role); }},
      {.name = "h2mux", .make = [](Role role) { return std::make_unique<H2Session>(role); }}};
}

// Reads all that comes.
struct Reading {
  void start(Stream& from) {
    from.read([this, &from](std::error_code failed, Buffer data) {
      text += data.text();
      error = failed;
      if (!failed) start(from);
    });
  }
  std::string text;
  std::error_code error;
};

// A client's carrier and a server's. What the server accepts is echoed, or kept.
struct Pair {
  Pair(Simulator& simulator, const Protocol& protocol, const MemoryPairOptions& link = {},
       const CarrierOptions& of_client = {}, const CarrierOptions& of_server = {})
      : sim(simulator) {
    auto [near, far] = memory_pair(sim.environment(), link);
    start(protocol, std::move(near), std::move(far), of_client, of_server);
  }
  Pair(Simulator& simulator, const Protocol& protocol, StreamPtr near, StreamPtr far) : sim(simulator) {
    start(protocol, std::move(near), std::move(far), {}, {});
  }

  void start(const Protocol& protocol, StreamPtr near, StreamPtr far, const CarrierOptions& client_options,
             const CarrierOptions& server_options) {
    client.emplace(sim.environment(), std::move(near), protocol.make(Role::kClient), client_options, nullptr,
                   [this](std::error_code error) { client_end = error; });
    server.emplace(
        sim.environment(), std::move(far), protocol.make(Role::kServer), server_options,
        [this](Carrier::Accepted accepted) { taken.push_back(std::move(accepted)); },
        [this](std::error_code error) { server_end = error; });
  }

  StreamPtr open(std::string_view host = "a.test") {
    return client->open_stream({.destination = Destination(host, 80)});
  }

  Simulator& sim;
  std::optional<Carrier> client, server;
  std::vector<Carrier::Accepted> taken;
  std::optional<std::error_code> client_end, server_end;
};

std::error_code write(Simulator& sim, Stream& to, std::string_view text) {
  std::optional<std::error_code> result;
  to.write(Buffer::copy_of(text), [&](std::error_code error) { result = error; });
  sim.run_ready();
  REQUIRE(result);
  return *result;
}

std::string pattern(std::size_t size, char first) {
  std::string text(size, 0);
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(first + i % 23);
  return text;
}

TEST_CASE("mux carrier: several sub-streams, both ways, through any segments") {
  for (const Protocol& protocol : protocols()) {
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(protocol.name);
      CAPTURE(segment);
      Simulator sim(1);
      Pair pair(sim, protocol, {.segment = segment});
      constexpr std::size_t kStreams = 3;
      const std::size_t size = segment < 8 ? 3000 : 700000;
      std::vector<StreamPtr> streams;
      std::vector<Reading> down(kStreams), up(kStreams);
      int written = 0;
      const auto count = [&](std::error_code error) { written += error ? 0 : 1; };
      for (std::size_t i = 0; i < kStreams; ++i) {
        streams.push_back(pair.open());
        CHECK(streams[i]->holds_opening());
        write(sim, *streams[i], "");
      }
      for (std::size_t i = 0; i < kStreams; ++i) {
        streams[i]->write(Buffer::copy_of(pattern(size, static_cast<char>('a' + i))), count);
        down[i].start(*streams[i]);
      }
      sim.run_ready();
      REQUIRE(pair.taken.size() == kStreams);
      for (std::size_t i = 0; i < kStreams; ++i) {
        up[i].start(*pair.taken[i].stream);
        pair.taken[i].stream->write(Buffer::copy_of(pattern(size, static_cast<char>('A' + i))), count);
      }
      sim.run_ready();
      CHECK(written == 2 * kStreams);
      for (std::size_t i = 0; i < kStreams; ++i) {
        CHECK((up[i].text == pattern(size, static_cast<char>('a' + i))));
        CHECK((down[i].text == pattern(size, static_cast<char>('A' + i))));
        pair.taken[i].stream->shutdown_write([](std::error_code) {});
      }
      sim.run_ready();
      for (std::size_t i = 0; i < kStreams; ++i) {
        CHECK(down[i].error == winze::Errc::kEof);
        streams[i].reset();
      }
      sim.run_ready();
      CHECK(up[0].error == winze::Errc::kEof);
      pair.taken.clear();
      CHECK(pair.client->streams() == 0);
      CHECK(pair.server->streams() == 0);
      CHECK(pair.server->held() + pair.client->held() == 0);
    }
  }
}

TEST_CASE("mux carrier: datagrams both ways, and the end of their sub-stream") {
  for (const Protocol& protocol : protocols()) {
    if (!protocol.datagrams) continue;
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(segment);
      Simulator sim(1);
      Pair pair(sim, protocol, {.segment = segment});
      const Destination to("192.0.2.1", 53, Network::kUdp), other("b.test", 54, Network::kUdp);
      ConduitPtr near = pair.client->open_conduit({.destination = to, .datagrams = true, .any_peer = true});
      const test::Receiver here(*near);
      CHECK(test::send(*near, "one", to));
      CHECK(test::send(*near, std::string(2048, 'x'), other));
      CHECK_FALSE(test::send(*near, std::string(2049, 'x'), to));
      CHECK_FALSE(test::send(*near, "", to));
      CHECK(near->dropped() == 2);
      sim.run_ready();
      REQUIRE(pair.taken.size() == 1);
      const ConduitPtr far = std::move(pair.taken[0].conduit);
      const test::Receiver there(*far);
      sim.run_ready();
      CHECK(there.texts() == std::vector<std::string>{"one", std::string(2048, 'x')});
      CHECK(there.peers() == std::vector<Destination>{to, other});
      CHECK(test::send(*far, "answer", other));
      sim.run_ready();
      CHECK(here.texts() == std::vector<std::string>{"answer"});
      CHECK(here.peers()[0] == other);
      near.reset();
      sim.run_ready();
      CHECK(there.error() == winze::Errc::kEof);
    }
  }
}

TEST_CASE("mux carrier: a reader that stops bounds what waits, and the others go on as far as the protocol lets them") {
  for (const Protocol& protocol : protocols()) {
    CAPTURE(protocol.name);
    Simulator sim(1);
    Pair pair(sim, protocol);
    StreamPtr slow = pair.open("slow.test"), fast = pair.open("fast.test");
    write(sim, *slow, "x");
    write(sim, *fast, "x");
    REQUIRE(pair.taken.size() == 2);
    Reading reading;
    reading.start(*pair.taken[1].stream);
    // Less than a sub-stream may hold does not concern the other.
    write(sim, *slow, std::string(200000, 's'));
    CHECK_FALSE(write(sim, *fast, std::string(1 << 20, 'f')));
    CHECK(reading.text.size() == 1 + (1 << 20));
    // More does where there are no windows; then it waits, in a bound.
    std::size_t done = 0;
    std::function<void(std::error_code)> more = [&](std::error_code error) {
      if (!error && ++done < 40) slow->write(Buffer::copy_of(std::string(200000, 's')), more);
    };
    slow->write(Buffer::copy_of(std::string(200000, 's')), more);
    sim.run_ready();
    CHECK(done < 40);
    CHECK(pair.server->held() <= kStreamLimit + (256 << 10));
    // Once it reads again everything comes.
    Reading late;
    late.start(*pair.taken[0].stream);
    sim.run_ready();
    CHECK(done == 40);
    CHECK(late.text.size() == 1 + 41 * 200000);
    CHECK_FALSE(write(sim, *fast, "f"));
    CHECK(pair.server->held() == 0);
  }
}

TEST_CASE("mux carrier: what waits for all readers together is bounded, and comes when they read") {
  for (const Protocol& protocol : protocols()) {
    CAPTURE(protocol.name);
    Simulator sim(1);
    Pair pair(sim, protocol);
    const bool windows = protocol.make(Role::kClient)->has_windows();
    const std::size_t limit = windows ? kWindowsLimit : kCarrierLimit;
    // None holds as much as one alone may.
    const std::size_t size = windows ? 250'000 : 400'000, count = 2 * limit / size;
    sim.run_ready();  // HTTP/2 says how many there may be
    std::vector<StreamPtr> streams;
    std::size_t written = 0;
    for (std::size_t i = 0; i < count; ++i) {
      streams.push_back(pair.open());
      REQUIRE(streams.back());
      streams.back()->write(Buffer::copy_of(std::string(size, 'x')),
                            [&](std::error_code error) { written += error ? 0 : 1; });
    }
    sim.run_ready();
    CHECK(written < count);
    CHECK(pair.server->held() >= limit);
    CHECK(pair.server->held() <= limit + (256 << 10));
    std::vector<Reading> readings(count);
    for (std::size_t i = 0; i < count; ++i) {
      REQUIRE(pair.taken.size() > i);
      readings[i].start(*pair.taken[i].stream);
      sim.run_ready();
    }
    CHECK(written == count);
    CHECK(pair.server->held() == 0);
    for (const Reading& reading : readings) CHECK(reading.text.size() == size);
  }
}

TEST_CASE("mux carrier: many small writes are one of the carrier's, and turns are fair") {
  for (const Protocol& protocol : protocols()) {
    Simulator sim(1);
    auto [near, far] = memory_pair(sim.environment());
    std::uint64_t operations = 0;
    Pair pair(sim, protocol, faulty_stream(std::move(near), UINT64_MAX, {}, &operations), std::move(far));
    std::vector<StreamPtr> streams;
    for (int i = 0; i < 100; ++i) streams.push_back(pair.open());
    sim.run_ready();  // what the protocol itself says at first
    const std::uint64_t before = operations;
    int done = 0;
    for (const StreamPtr& stream : streams) {
      stream->write(Buffer::copy_of("small"), [&](std::error_code error) { done += error ? 0 : 1; });
    }
    sim.run_ready();
    CHECK(done == 100);
    CHECK(operations - before <= (protocol.resets ? 3 : 2));
    CHECK(pair.taken.size() == 100);
  }
}

TEST_CASE("mux carrier: what waits unsent is limited at the bottom, through the layers between") {
  class Asked final : public test::StreamAround {
   public:
    Asked(StreamPtr below, std::size_t& limit) : StreamAround(std::move(below)), limit_(limit) {}
    void limit_unsent(std::size_t bytes) override { limit_ = bytes; }

   private:
    std::size_t& limit_;
  };
  Simulator sim(1);
  auto [near, far] = memory_pair(sim.environment());
  std::size_t limit = 0;
  StreamPtr layered;
  const Pending opening = open_codec(sim.environment(), std::make_unique<Asked>(std::move(near), limit),
                                     std::make_unique<vless::ClientCodec>(Uuid(), cool_destination()), 4s,
                                     [&](Opened opened) { layered = std::move(opened.stream); });
  sim.run_ready();
  REQUIRE(layered);
  const Carrier carrier(sim.environment(), std::move(layered), std::make_unique<CoolSession>(Role::kClient), {},
                        nullptr, nullptr);
  CHECK(limit == kUnsentLimit);
}

// A path of a million bytes a second: so long does a write take.
class SlowStream final : public test::StreamAround {
 public:
  SlowStream(Environment& environment, StreamPtr below)
      : StreamAround(std::move(below)), clock_(environment.clock), timer_(clock_.make_timer()) {}

  void write(Buffer data, WriteHandler handler) override {
    const TimePoint done = clock_.now() + std::chrono::microseconds(data.size());
    below_->write(std::move(data), [this, done, handler = std::move(handler)](std::error_code error) mutable {
      timer_->arm(done, [error, handler = std::move(handler)]() mutable { handler(error); });
    });
  }

 private:
  Clock& clock_;
  TimerPtr timer_;
};

TEST_CASE("mux carrier: on a slow path a small write waits for one turn, not for a bulk one") {
  for (const Protocol& protocol : protocols()) {
    CAPTURE(protocol.name);
    Simulator sim(1);
    auto [near, far] = memory_pair(sim.environment(), {.window = 4 << 20});
    Pair pair(sim, protocol, std::make_unique<SlowStream>(sim.environment(), std::move(near)), std::move(far));
    const StreamPtr bulk = pair.open(), small = pair.open();
    bool small_done = false;
    bulk->write(Buffer::copy_of("begin"), [](std::error_code) {});
    small->write(Buffer::copy_of("begin"), [](std::error_code) {});
    sim.run_for(1s);
    REQUIRE(pair.taken.size() == 2);
    Reading of_bulk, of_small;
    for (Carrier::Accepted& taken : pair.taken) (&taken == &pair.taken[0] ? of_bulk : of_small).start(*taken.stream);
    // Twice, so that the path is known by then.
    for (int i = 0; i < 2; ++i) {
      bulk->write(Buffer::copy_of(pattern(200'000, 'a')), [](std::error_code) {});
      sim.run_for(i == 0 ? 1s : 1ms);
    }
    small->write(Buffer::copy_of("small"), [&](std::error_code error) { small_done = !error; });
    sim.run_for(140ms);
    CHECK(small_done);
    CHECK(of_small.text == "beginsmall");
    sim.run_for(1s);
    CHECK(of_bulk.text.size() == 400'005);
  }
}

TEST_CASE("mux carrier: a fault at each operation ends everything with a clear error, once") {
  const std::error_code fault = std::make_error_code(std::errc::connection_reset);
  for (const Protocol& protocol : protocols()) {
    std::uint64_t operations = 8;
    for (std::uint64_t at = 0; at < operations; ++at) {
      CAPTURE(at);
      Simulator sim(1);
      auto [near, far] = memory_pair(sim.environment(), {.segment = 700});
      Pair pair(sim, protocol, faulty_stream(std::move(near), at, fault, &operations), std::move(far));
      const StreamPtr a = pair.open(), b = pair.open();
      int answers = 0;
      if (a) a->write(Buffer::copy_of(std::string(100000, 'x')), [&](std::error_code) { ++answers; });
      if (b) b->write(Buffer::copy_of("x"), [&](std::error_code) { ++answers; });
      Reading reading;
      reading.start(*a);
      sim.run_ready();
      for (auto& accepted : pair.taken) {
        accepted.stream->write(Buffer::copy_of(std::string(2000, 'y')), [](std::error_code) {});
      }
      sim.run_ready();
      if (!pair.client_end) break;  // behind the last operation
      CHECK(answers == 2);
      CHECK(*pair.client_end == fault);
      CHECK(reading.error == fault);
      CHECK(pair.client->streams() == 0);
      CHECK_FALSE(pair.client->may_open());
      CHECK_FALSE(pair.open());
    }
  }
}

TEST_CASE("mux carrier: a client that is gone leaves nothing behind") {
  for (const Protocol& protocol : protocols()) {
    Simulator sim(1);
    Pair pair(sim, protocol);
    std::vector<StreamPtr> streams;
    for (int i = 0; i < 10; ++i) {
      streams.push_back(pair.open());
      write(sim, *streams.back(), std::string(1000, 'x'));
    }
    CHECK(pair.server->held() == 10000);
    Reading reading;
    pair.client.reset();
    sim.run_ready();
    REQUIRE(pair.server_end);
    CHECK(*pair.server_end == winze::Errc::kEof);
    CHECK(pair.server->streams() == 0);
    reading.start(*pair.taken[0].stream);
    sim.run_ready();
    CHECK(reading.text.size() == 1000);  // what had come is still there
    CHECK(reading.error == Errc::kCarrierEnded);
    pair.taken.clear();
    CHECK(pair.server->held() == 0);
  }
}

TEST_CASE("mux carrier: idle without sub-streams it ends, with them it does not") {
  for (const Protocol& protocol : protocols()) {
    Simulator sim(1);
    Pair pair(sim, protocol, {}, {.idle = 16s});
    StreamPtr stream = pair.open();
    write(sim, *stream, "x");
    sim.run_for(60s);
    CHECK_FALSE(pair.client_end);
    stream.reset();
    sim.run_for(15s);
    CHECK_FALSE(pair.client_end);
    sim.run_for(2s);
    CHECK(pair.client_end);
    CHECK(pair.server_end);
  }
}

TEST_CASE("mux carrier: more sub-streams than are allowed are refused") {
  for (const Protocol& protocol : protocols()) {
    Simulator sim(1);
    Pair pair(sim, protocol, {}, {}, {.max_streams = 1});
    const StreamPtr first = pair.open(), second = pair.open();
    write(sim, *first, "x");
    write(sim, *second, "x");
    Reading reading;
    reading.start(*second);
    sim.run_ready();
    CHECK(pair.taken.size() == 1);
    CHECK(reading.error == (protocol.resets ? make_error_code(Errc::kReset) : make_error_code(winze::Errc::kEof)));
    CHECK_FALSE(write(sim, *first, "x"));
  }
}

TEST_CASE("mux carrier: writes that wait for a window and for each other are neither lost nor completed early") {
  for (const Protocol& protocol : protocols()) {
    CAPTURE(std::string(protocol.name));
    Simulator sim(3);
    Pair pair(sim, protocol, {.segment = 9000});
    constexpr std::size_t kStreams = 4, kWrites = 60;
    std::vector<StreamPtr> streams;
    std::vector<Reading> up(kStreams);
    std::vector<std::size_t> left(kStreams, kWrites);
    std::vector<std::string> sent(kStreams);
    for (std::size_t i = 0; i < kStreams; ++i) {
      streams.push_back(pair.open());
      write(sim, *streams[i], "");
    }
    REQUIRE(pair.taken.size() == kStreams);
    std::function<void(std::size_t)> more = [&](std::size_t i) {
      if (left[i] == 0) return streams[i]->shutdown_write([](std::error_code) {});
      --left[i];
      const std::string text = pattern(1000 + 40009 * ((left[i] * 7 + i) % 6), static_cast<char>('a' + left[i] % 3));
      sent[i] += text;
      streams[i]->write(Buffer::copy_of(text), [&, i](std::error_code error) {
        if (!error) more(i);
      });
    };
    for (std::size_t i = 0; i < kStreams; ++i) more(i);
    // They begin to read one after the other.
    for (std::size_t i = 0; i < kStreams; ++i) {
      sim.run_ready();
      up[i].start(*pair.taken[i].stream);
    }
    sim.run_for(10s);
    for (std::size_t i = 0; i < kStreams; ++i) {
      CHECK((up[i].text == sent[i]));
      CHECK(up[i].error == winze::Errc::kEof);
    }
  }
}

TEST_CASE("mux carrier: where an end closes both directions, it waits for the answer") {
  Simulator sim(1);
  const Protocol protocol = protocols()[0];
  Pair pair(sim, protocol);
  const StreamPtr stream = pair.open();
  write(sim, *stream, "request");
  stream->shutdown_write([](std::error_code) {});
  Reading request, answer;
  answer.start(*stream);
  request.start(*pair.taken[0].stream);
  sim.run_for(1s);
  CHECK_FALSE(request.error);
  write(sim, *pair.taken[0].stream, "an");
  sim.run_for(1500ms);
  CHECK_FALSE(request.error);  // each byte of the answer puts it off
  sim.run_for(1s);
  CHECK(request.error == winze::Errc::kEof);
  write(sim, *pair.taken[0].stream, "swer");
  pair.taken[0].stream->shutdown_write([](std::error_code) {});
  sim.run_ready();
  CHECK(answer.text == "answer");
  CHECK(answer.error == winze::Errc::kEof);
}

}  // namespace
}  // namespace winze::mux
