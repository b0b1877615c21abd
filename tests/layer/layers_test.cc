// What every layer must keep of the Stream contract, over a memory pair: whole transfers in segments of any size,
// half-close, back-pressure, cancellation, destruction, and a fault at each operation.
#include <doctest/doctest.h>

#include <asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "support/layer_cases.h"
#include "support/segments.h"
#include "winze/base/error.h"
#include "winze/io/codec_stream.h"
#include "winze/io/memory.h"
#include "winze/io/system.h"
#include "winze/proto/proxy_codec.h"

namespace winze {
namespace {

// Sanitizers make the many thousand exchanges slow; there only some of the later operations fail.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kEveryFault = false;
#else
constexpr bool kEveryFault = true;
#endif

std::string pattern(std::size_t size, std::uint32_t seed) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return out;
}

// One side: opens, writes its text in pieces, ends, and reads until the end. Counts what it starts and what comes back.
struct End {
  Environment& environment;
  std::string text;   // to send
  bool shuts = true;  // ends its direction when all is written
  bool reads = true;  // else it leaves what comes
  StreamPtr stream;
  Pending opening;
  int started = 0;
  int finished = 0;
  bool opened = false;
  bool written = false;
  std::string received;
  std::error_code open_error;
  std::error_code write_error;
  std::error_code read_error;
  std::size_t sent = 0;

  void open(StreamPtr below, std::unique_ptr<StreamCodec> codec) {
    ++started;
    opening = open_codec(environment, std::move(below), std::move(codec), Duration::zero(), [this](Opened result) {
      ++finished;
      open_error = result.error;
      if (result.error) return;
      opened = true;
      stream = std::move(result.stream);
      if (reads) read();
      auto* proxy = dynamic_cast<ProxyServerCodec*>(result.codec);
      if (proxy == nullptr) return write();
      proxy->grant({});
      proxy->answers_at_once() ? answer() : write();
    });
  }

  // As a host does for a client that waits for it.
  void answer() {
    ++started;
    stream->write({}, [this](std::error_code error) {
      ++finished;
      write_error = error;
      error ? close() : write();
    });
  }

  void read() {
    if (!stream) return;
    ++started;
    stream->read([this](std::error_code error, Buffer data) {
      ++finished;
      if (!error && data.empty()) FAIL("a read without bytes and without an error");
      received += data.text();
      read_error = error;
      if (error && error != Errc::kEof) return close();
      if (!error) read();
    });
  }

  void write() {
    if (!stream) return;  // what had completed already when it was dropped
    ++started;
    if (sent == text.size()) {
      if (!shuts) {
        --started;
        written = true;
        return;
      }
      return stream->shutdown_write([this](std::error_code error) {
        ++finished;
        written = !error;
        if (error && !write_error) write_error = error;
        if (error) close();
      });
    }
    // 1, 10, 100, ... bytes.
    std::size_t n = 1;
    while (n <= sent) n *= 10;
    n = std::min(n, text.size() - sent);
    Buffer data = Buffer::copy_of(std::string_view(text).substr(sent, n), stream->overhead());
    sent += n;
    stream->write(std::move(data), [this](std::error_code error) {
      ++finished;
      if (!error) return write();
      write_error = error;
      close();
    });
  }

  void close() {
    if (stream) stream->close();
  }

  bool failed() const { return open_error || write_error || (read_error && read_error != Errc::kEof); }
};

struct Pair {
  explicit Pair(std::size_t bytes) : client{environment, pattern(bytes, 1)}, server{environment, pattern(bytes, 2)} {}

  void open(const test::LayerCase& layer, StreamPtr near, StreamPtr far) {
    client.open(std::move(near), layer.client(environment));
    server.open(std::move(far), layer.server(environment));
  }
  void run() {
    context.restart();
    context.poll();
  }
  // Drops what is left and lets the handlers come.
  void finish() {
    client.opening = {};
    server.opening = {};
    client.stream.reset();
    server.stream.reset();
    run();
    CHECK(client.started == client.finished);
    CHECK(server.started == server.finished);
  }

  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();
  End client;
  End server;
};

TEST_CASE("layers: whole transfers both ways, in segments of any size") {
  for (const test::LayerCase& layer : test::layer_cases()) {
    for (std::size_t segment : test::kSegmentSizes) {
      CAPTURE(layer.name);
      CAPTURE(segment);
      Pair p(20000);
      auto [near, far] = memory_pair(p.environment, {.segment = segment});
      p.open(layer, std::move(near), std::move(far));
      p.run();
      CHECK(p.client.written);
      CHECK(p.server.written);
      CHECK(p.server.received == p.client.text);
      CHECK(p.client.received == p.server.text);
      if (layer.half_close) {
        CHECK(p.client.read_error == Errc::kEof);
        CHECK(p.server.read_error == Errc::kEof);
      }
      CHECK_FALSE(p.client.failed());
      CHECK_FALSE(p.server.failed());
      p.finish();
    }
  }
}

TEST_CASE("layers: one direction ends, the other goes on") {
  for (const test::LayerCase& layer : test::layer_cases()) {
    if (!layer.half_close) continue;
    CAPTURE(layer.name);
    Pair p(5000);
    p.server.text.clear();
    p.server.shuts = false;
    auto [near, far] = memory_pair(p.environment, {});
    p.open(layer, std::move(near), std::move(far));
    p.run();
    CHECK(p.server.read_error == Errc::kEof);
    CHECK(p.client.read_error == std::error_code());
    p.server.text = "the answer";
    p.server.shuts = true;
    p.server.write();
    p.run();
    CHECK(p.client.received == "the answer");
    CHECK(p.client.read_error == Errc::kEof);
    p.finish();
  }
}

TEST_CASE("layers: a writer waits for a reader that does not read") {
  for (const test::LayerCase& layer : test::layer_cases()) {
    CAPTURE(layer.name);
    Pair p(300000);
    p.server.text.clear();
    p.server.shuts = false;
    p.server.reads = false;
    auto [near, far] = memory_pair(p.environment, {.segment = 1400, .window = 4096});
    p.open(layer, std::move(near), std::move(far));
    p.run();
    REQUIRE(p.server.opened);
    CHECK_FALSE(p.client.written);
    CHECK(p.server.received.empty());
    p.server.read();
    p.run();
    CHECK(p.client.written);
    CHECK(p.server.received == p.client.text);
    p.finish();
  }
}

TEST_CASE("layers: a close or a destruction gives each pending operation its end, once") {
  for (const test::LayerCase& layer : test::layer_cases()) {
    for (bool destroy : {false, true}) {
      CAPTURE(layer.name);
      CAPTURE(destroy);
      Pair p(300000);
      p.server.text.clear();
      p.server.shuts = false;
      p.server.reads = false;
      auto [near, far] = memory_pair(p.environment, {.segment = 1400, .window = 4096});
      p.open(layer, std::move(near), std::move(far));
      p.run();
      REQUIRE(p.client.opened);
      REQUIRE(p.client.started == p.client.finished + 2);  // a read and a write
      if (destroy) {
        p.client.stream.reset();
      } else {
        p.client.stream->close();
      }
      CHECK(p.client.started == p.client.finished + 2);  // never inside the call
      p.run();
      CHECK(p.client.started == p.client.finished);
      CHECK(p.client.read_error == Errc::kAborted);
      CHECK(p.client.write_error == Errc::kAborted);
      p.finish();
    }
  }
}

TEST_CASE("layers: what pending handlers hold is released with a loop that never calls them") {
  for (const test::LayerCase& layer : test::layer_cases()) {
    CAPTURE(layer.name);
    std::weak_ptr<Stream> held;
    {
      Pair p(10);
      auto [near, far] = memory_pair(p.environment, {.window = 4096});
      p.open(layer, std::move(near), std::move(far));
      p.client.shuts = p.server.shuts = p.client.reads = p.server.reads = false;
      p.run();
      REQUIRE(p.client.written);
      p.run();
      // As a relay does: each handler keeps the stream.
      const std::shared_ptr<Stream> stream = std::move(p.client.stream);
      held = stream;
      stream->read([stream](std::error_code, Buffer) { FAIL("the loop did not run"); });
      stream->write(Buffer::copy_of("x"), [stream](std::error_code) { FAIL("the loop did not run"); });
      stream->close();
    }
    CHECK(held.expired());
  }
}

TEST_CASE("layers: an opening can be cancelled at any moment") {
  for (const test::LayerCase& layer : test::layer_cases()) {
    CAPTURE(layer.name);
    for (int steps = 0;; ++steps) {
      CAPTURE(steps);
      REQUIRE(steps < 1000);
      Pair p(10);
      auto [near, far] = memory_pair(p.environment, {.segment = 700});
      p.open(layer, std::move(near), std::move(far));
      for (int i = 0; i < steps; ++i) p.context.poll_one();
      const bool before = p.client.finished > 0;
      p.client.opening.cancel();
      if (!before) {
        CHECK(p.client.finished == 0);
        p.run();
        CHECK(p.client.open_error == Errc::kAborted);
      }
      p.finish();
      if (before) break;
    }
  }
}

// Runs one exchange in which `side` fails at its operation `at`; returns how many operations it came to.
std::uint64_t run_with_fault(const test::LayerCase& layer, std::size_t segment, bool at_client, std::uint64_t at) {
  const std::error_code fault = std::make_error_code(std::errc::connection_reset);
  std::uint64_t operations = 0;
  Pair p(1500);
  auto [near, far] = memory_pair(p.environment, {.segment = segment});
  StreamPtr& hit = at_client ? near : far;
  hit = faulty_stream(std::move(hit), at, fault, &operations);
  p.open(layer, std::move(near), std::move(far));
  p.run();
  End& faulty = at_client ? p.client : p.server;
  End& other = at_client ? p.server : p.client;
  if (operations > at) {
    CHECK(faulty.failed());
    CHECK((faulty.open_error == fault || faulty.read_error == fault || faulty.write_error == fault));
  }
  // What arrives is a beginning of what was sent, on both sides, and an end with a mark is the true end.
  for (const auto& [from, to] : {std::pair(&faulty, &other), std::pair(&other, &faulty)}) {
    CHECK(from->text.starts_with(to->received));
    if (layer.marks_end && to->read_error == Errc::kEof) CHECK(to->received == from->text);
  }
  p.finish();
  return operations;
}

TEST_CASE("layers: a fault at each operation reaches the caller, and nothing is invented") {
  for (const test::LayerCase& layer : test::layer_cases()) {
    for (std::size_t segment : test::kSegmentSizes) {
      for (bool at_client : {true, false}) {
        CAPTURE(layer.name);
        CAPTURE(segment);
        CAPTURE(at_client);
        const std::uint64_t all = run_with_fault(layer, segment, at_client, UINT64_MAX);
        const bool each = kEveryFault && !layer.like_another;
        const std::uint64_t opening = kEveryFault ? 200 : 40;
        for (std::uint64_t at = 0; at < all; at += each || at < opening ? 1 : 1 + all / 60) {
          CAPTURE(at);
          run_with_fault(layer, segment, at_client, at);
        }
      }
    }
  }
}

}  // namespace
}  // namespace winze
