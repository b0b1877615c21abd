#include "winze/io/relay.h"

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "support/simulator.h"
#include "support/stream_around.h"
#include "winze/base/error.h"
#include "winze/io/memory.h"

namespace winze {
namespace {

using namespace std::chrono_literals;

// client <-> relay <-> server, in memory and virtual time.
struct Fixture {
  // `wrap`: what becomes of the relay's own two streams.
  explicit Fixture(const RelayOptions& options, const MemoryPairOptions& memory = {},
                   const std::function<void(StreamPtr&, StreamPtr&)>& wrap = nullptr) {
    auto [c, relay_client] = memory_pair(sim.environment(), memory);
    auto [relay_server, s] = memory_pair(sim.environment(), memory);
    client = std::move(c);
    server = std::move(s);
    if (wrap) wrap(relay_client, relay_server);
    relaying = relay(sim.environment(), std::move(relay_client), std::move(relay_server), options,
                     [this](const RelayResult& r) {
                       result = r;
                       ended = sim.now() - begun;
                     });
    sim.run_ready();
  }

  void send(Stream& stream, std::string_view text) {
    stream.write(Buffer::copy_of(text), [](std::error_code) {});
    sim.run_ready();
  }
  void end(Stream& stream) {
    stream.shutdown_write([](std::error_code) {});
    sim.run_ready();
  }
  std::string receive(Stream& stream) {
    std::string out = "nothing";
    stream.read([&](std::error_code error, Buffer data) { out = error ? error.message() : std::string(data.text()); });
    sim.run_ready();
    return out;
  }

  // Sends all of `text` and the end at `from`; what comes out at `to`, and how that ends.
  auto exchange(Stream& from, const std::string& text, Stream& to) {
    from.write(Buffer::copy_of(text), [&](std::error_code error) {
      if (!error) from.shutdown_write([](std::error_code) {});
    });
    auto received = std::make_shared<std::string>();
    auto end = std::make_shared<std::error_code>();
    auto read = std::make_shared<std::function<void()>>();
    *read = [&to, received, end, weak = std::weak_ptr(read)] {
      to.read([received, end, again = weak.lock()](std::error_code error, Buffer data) {
        *received += data.text();
        *end = error;
        if (!error) (*again)();
      });
    };
    (*read)();
    return std::pair(received, end);
  }

  test::Simulator sim{1};
  TimePoint begun = sim.now();
  StreamPtr client;
  StreamPtr server;
  Pending relaying;
  std::optional<RelayResult> result;
  Duration ended{};
};

const std::string kEnd = std::error_code(Errc::kEof).message();

// A congested stream, as one of a busy mux is: its first write, with which its opening goes, waits for release().
class Congested final : public test::StreamAround {
 public:
  using StreamAround::StreamAround;

  void release() {
    held_ = false;
    below_->write(std::move(data_), std::exchange(handler_, nullptr));
  }

  void write(Buffer data, WriteHandler handler) override {
    if (!held_) return below_->write(std::move(data), std::move(handler));
    REQUIRE_FALSE(handler_);
    data_ = std::move(data);
    handler_ = std::move(handler);
  }
  bool holds_opening() const override { return held_; }

 private:
  Buffer data_;
  WriteHandler handler_;
  bool held_ = true;
};

TEST_CASE("relay: an opening whose payload waits for its turn is not sent a second time, alone") {
  for (const bool speaks : {true, false}) {
    Congested* congested = nullptr;
    Fixture f({}, {}, [&](StreamPtr&, StreamPtr& server) {
      auto made = std::make_unique<Congested>(std::move(server));
      congested = made.get();
      server = std::move(made);
    });
    if (speaks) f.send(*f.client, "request");
    f.sim.run_for(1s);
    if (!speaks) f.send(*f.client, "request");
    CHECK_FALSE(f.result);
    congested->release();
    CHECK(f.receive(*f.server) == "request");
    f.send(*f.server, "answer");
    CHECK(f.receive(*f.client) == "answer");
    CHECK_FALSE(f.result);
  }
}

TEST_CASE("relay: what breaks off on one side does not look like the end on the other") {
  const std::string reset = std::make_error_code(std::errc::connection_reset).message();
  for (const bool client_breaks : {true, false}) {
    Fixture f({});
    Stream& broken = client_breaks ? *f.client : *f.server;
    Stream& other = client_breaks ? *f.server : *f.client;
    f.send(broken, "half of");
    CHECK(f.receive(other) == "half of");
    broken.abort();
    f.sim.run_ready();
    REQUIRE(f.result);
    CHECK(f.result->error == std::errc::connection_reset);
    CHECK(f.receive(other) == reset);
  }
  // What is still on its way arrives.
  Fixture f({});
  f.send(*f.client, "all of it");
  f.client->abort();
  f.sim.run_ready();
  CHECK(f.receive(*f.server) == "all of it");
}

TEST_CASE("relay: both directions, each ends by itself") {
  const auto traffic = std::make_shared<Traffic>();
  Meter meter;
  meter.add(traffic);
  Fixture f({.meter = meter});
  f.send(*f.client, "request");
  CHECK(f.receive(*f.server) == "request");
  f.end(*f.client);
  CHECK(f.receive(*f.server) == kEnd);
  f.send(*f.server, "answer");
  CHECK(f.receive(*f.client) == "answer");
  CHECK_FALSE(f.result);
  f.end(*f.server);
  CHECK(f.receive(*f.client) == kEnd);
  REQUIRE(f.result);
  CHECK_FALSE(f.result->error);
  CHECK_FALSE(f.result->timed_out);
  CHECK(f.result->up == 7);
  CHECK(f.result->down == 6);
  CHECK(traffic->up == 7);
  CHECK(traffic->down == 6);
}

TEST_CASE("relay: an idle connection ends, a busy one does not") {
  Fixture f({.idle = 300s});
  f.sim.run_for(299s);
  f.send(*f.server, "x");
  CHECK(f.receive(*f.client) == "x");
  f.sim.run_for(299s);
  CHECK_FALSE(f.result);
  f.sim.run_for(2s);
  REQUIRE(f.result);
  CHECK(f.result->timed_out);
  CHECK(f.ended == 599s);
}

TEST_CASE("relay: after one direction has ended the other has its own, shorter time") {
  for (bool client_ends : {true, false}) {
    CAPTURE(client_ends);
    Fixture f({.idle = 300s, .uplink_only = 2s, .downlink_only = 5s});
    f.end(client_ends ? *f.client : *f.server);
    const Duration limit = client_ends ? 5s : 2s;
    f.sim.run_for(limit - 1s);
    f.send(client_ends ? *f.server : *f.client, "still here");
    f.sim.run_for(limit - 1s);
    CHECK_FALSE(f.result);
    f.sim.run_for(2s);
    REQUIRE(f.result);
    CHECK(f.result->timed_out);
    CHECK_FALSE(f.result->error);
    CHECK(f.ended == 2 * limit - 1s);
  }
}

TEST_CASE("relay: zero means no limit") {
  Fixture f({.idle = 0s, .uplink_only = 0s, .downlink_only = 0s});
  f.sim.run_for(std::chrono::hours(1000));
  f.end(*f.client);
  f.sim.run_for(std::chrono::hours(1000));
  CHECK_FALSE(f.result);
}

TEST_CASE("relay: holds one buffer per direction when nobody reads") {
  Fixture f({}, {.segment = 65536, .window = 65536});
  std::size_t taken = 0;
  bool waiting = false;
  for (int i = 0; i < 100 && !waiting; ++i) {
    waiting = true;
    f.client->write(Buffer::copy_of(std::string(65536, 'x')), [&](std::error_code) { waiting = false; });
    f.sim.run_ready();
    taken += 65536;
  }
  CHECK(waiting);
  // Two windows, what the relay holds, and the write that waits.
  CHECK(taken <= 6 * 65536);
  CHECK(f.sim.environment().pool.lent_bytes() <= (256u << 10));
}

TEST_CASE("relay: a failure ends both, and says which; cancelling says kAborted") {
  Fixture f({});
  f.server.reset();
  f.sim.run_ready();
  f.send(*f.client, "into nothing");
  REQUIRE(f.result);
  CHECK(f.receive(*f.client) != "nothing");

  Fixture g({});
  g.relaying.cancel();
  CHECK_FALSE(g.result);
  g.sim.run_ready();
  REQUIRE(g.result);
  CHECK(g.result->error == Errc::kAborted);
}

// One exchange through a relay of which one stream fails at its operation `at`; returns how many it came to.
std::uint64_t relay_with_fault(bool client_fails, std::uint64_t at) {
  const std::error_code fault = std::make_error_code(std::errc::connection_reset);
  std::uint64_t operations = 0;
  Fixture f({.idle = 300s}, {.segment = 7}, [&](StreamPtr& near, StreamPtr& far) {
    StreamPtr& hit = client_fails ? near : far;
    hit = faulty_stream(std::move(hit), at, fault, &operations);
  });
  const std::string up(40, 'u'), down(50, 'd');
  const auto [at_server, server_end] = f.exchange(*f.client, up, *f.server);
  const auto [at_client, client_end] = f.exchange(*f.server, down, *f.client);
  f.sim.run_for(600s);  // a relay that hears nothing more ends too
  REQUIRE(f.result);
  const bool hit = operations > at;
  CHECK(f.result->error == (hit ? fault : std::error_code()));
  CHECK_FALSE(f.result->timed_out);
  // What comes out is a beginning of what went in, and where that is not all of it, the end says so.
  CHECK(up.starts_with(*at_server));
  CHECK(down.starts_with(*at_client));
  CHECK((*at_server == up || *server_end != Errc::kEof));
  CHECK((*at_client == down || *client_end != Errc::kEof));
  CHECK(f.result->up <= up.size());
  CHECK(f.result->down <= down.size());
  if (!hit) {
    CHECK(*at_server == up);
    CHECK(*at_client == down);
    CHECK(f.result->up == up.size());
    CHECK(f.result->down == down.size());
  }
  // Nothing is left behind.
  f.client.reset();
  f.server.reset();
  f.sim.run_ready();
  CHECK(f.sim.environment().pool.lent_bytes() == 0);
  return operations;
}

TEST_CASE("relay: a fault at each operation of either stream ends both, and nothing passes for whole") {
  for (const bool client_fails : {true, false}) {
    CAPTURE(client_fails);
    const std::uint64_t all = relay_with_fault(client_fails, UINT64_MAX);
    CHECK(all > 10);
    for (std::uint64_t at = 0; at < all; ++at) {
      CAPTURE(at);
      relay_with_fault(client_fails, at);
    }
  }
}

}  // namespace
}  // namespace winze
