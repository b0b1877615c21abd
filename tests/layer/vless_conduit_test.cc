// Datagrams in VLESS streams: framing over any segments, bounds, and the flows of one conduit to many destinations.
#include "winze/layer/vless_conduit.h"

#include <doctest/doctest.h>

#include <string>

#include "layer/vless_flows.h"
#include "support/fake_dialer.h"
#include "support/segments.h"
#include "support/simulator.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/io/memory.h"

namespace winze::vless {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;
using test::send;

std::string framed(std::string_view text) {
  std::string out(2, '\0');
  store_u16(reinterpret_cast<std::uint8_t*>(out.data()), static_cast<std::uint16_t>(text.size()));
  return out.append(text);
}

void write(Stream& stream, std::string_view bytes) {
  stream.write(Buffer::copy_of(bytes), [](std::error_code) {});
}

TEST_CASE("vless conduit: datagrams of any size through segments of any size, both ways") {
  for (const std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    test::Simulator sim(1);
    auto [near, far] = memory_pair(sim.environment(), {.segment = segment});
    const ConduitPtr a = stream_conduit(sim.environment(), std::move(near));
    const ConduitPtr b = stream_conduit(sim.environment(), std::move(far));
    test::Receiver at_a(*a), at_b(*b);
    Texts texts;
    for (const std::size_t size : {1, 2, 3, 255, 256, 1400, 2046}) {
      texts.emplace_back(size, static_cast<char>('a' + size % 26));
      CHECK(send(*a, texts.back()));
      CHECK(send(*b, texts.back()));
    }
    sim.run_ready();
    CHECK(at_a.texts() == texts);
    CHECK(at_b.texts() == texts);
    CHECK(a->dropped() == 0);
  }
}

TEST_CASE("vless conduit: what does not fit, and what finds no room behind a write, is dropped") {
  test::Simulator sim(1);
  auto [near, far] = memory_pair(sim.environment(), {.window = 1});
  const ConduitPtr conduit = stream_conduit(sim.environment(), std::move(near));
  CHECK_FALSE(send(*conduit, ""));
  CHECK_FALSE(send(*conduit, std::string(2047, 'x')));
  CHECK(conduit->dropped() == 2);
  std::size_t taken = 0;
  for (int i = 0; i < 200; ++i) taken += send(*conduit, std::string(2000, 'x')) ? 1 : 0;
  CHECK(taken == 66);  // one under way, and 128 KiB behind it
  CHECK(conduit->dropped() == 2 + 134);
  std::string got;
  std::function<void()> read = [&, &stream = *far] {
    stream.read([&](std::error_code error, Buffer data) {
      if (error) return;
      got += data.text();
      read();
    });
  };
  read();
  sim.run_ready();
  CHECK(got.size() == 66 * 2002);
  CHECK(send(*conduit, "x"));
}

TEST_CASE("vless conduit: a read full of tiny datagrams comes in batches") {
  test::Simulator sim(1);
  auto [near, far] = memory_pair(sim.environment());
  const ConduitPtr conduit = stream_conduit(sim.environment(), std::move(near));
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += framed("x");
  write(*far, bytes + "\1");
  const test::Receiver here(*conduit);
  sim.run_ready();
  CHECK(here.texts().size() == 1000);
  CHECK(here.state->calls == 16);
}

TEST_CASE("vless conduit: the stream's end is the conduit's, in a datagram or between two; then nothing is sent") {
  for (const bool whole : {true, false}) {
    CAPTURE(whole);
    test::Simulator sim(1);
    auto [near, far] = memory_pair(sim.environment());
    const ConduitPtr conduit = stream_conduit(sim.environment(), std::move(near));
    test::Receiver here(*conduit);
    write(*far, framed("abc") + (whole ? "" : framed("abc").substr(0, 4)));
    far.reset();
    sim.run_ready();
    CHECK(here.texts() == Texts{"abc"});
    CHECK(here.error() == (whole ? Errc::kEof : Errc::kTruncated));
    send(*conduit, "x");
    sim.run_ready();
    CHECK_FALSE(send(*conduit, "y"));
  }
}

TEST_CASE("vless conduit: one receive at a time; close and destruction cancel it, with a write under way") {
  test::Simulator sim(1);
  auto [near, far] = memory_pair(sim.environment(), {.window = 1});
  ConduitPtr conduit = stream_conduit(sim.environment(), std::move(near));
  send(*conduit, "abc");
  send(*conduit, "def");
  std::error_code first, second;
  conduit->receive([&](std::error_code error, std::span<Datagram>) { first = error; });
  conduit->receive([&](std::error_code error, std::span<Datagram>) { second = error; });
  conduit.reset();
  sim.run_ready();
  CHECK(first == Errc::kAborted);
  CHECK(second == Errc::kBusy);
}

// --- flows ---

Destination udp(std::string_view host, std::uint16_t port) { return Destination(host, port, Network::kUdp); }

struct Flows {
  Flows() : conduit(flows_conduit(sim.environment(), dialer)) {}

  // The far end of the stream that answers call `index`.
  ConduitPtr answer(std::size_t index) {
    auto [near, far] = memory_pair(sim.environment());
    test::answer(dialer->dials[index], {}, std::move(near));
    return stream_conduit(sim.environment(), std::move(far));
  }

  test::Simulator sim{1};
  std::shared_ptr<test::FakeDialer> dialer = std::make_shared<test::FakeDialer>(sim.environment());
  ConduitPtr conduit;
};

TEST_CASE("vless flows: a stream for each destination, whose datagrams say where they come from") {
  Flows f;
  test::Receiver here(*f.conduit);
  CHECK(send(*f.conduit, "a1", udp("a.test", 1)));
  CHECK(send(*f.conduit, "b1", udp("192.0.2.1", 2)));
  CHECK(send(*f.conduit, "a2", udp("a.test", 1)));
  REQUIRE(f.dialer->dials.size() == 2);
  CHECK(f.dialer->dials[0]->destination == udp("a.test", 1));
  const ConduitPtr a = f.answer(0), b = f.answer(1);
  test::Receiver at_a(*a), at_b(*b);
  f.sim.run_ready();
  CHECK(at_a.texts() == Texts{"a1", "a2"});
  CHECK(at_b.texts() == Texts{"b1"});
  send(*b, "from b");
  f.sim.run_ready();
  send(*a, "from a");
  f.sim.run_ready();
  CHECK(here.texts() == Texts{"from b", "from a"});
  CHECK(here.peers() == std::vector{udp("192.0.2.1", 2), udp("a.test", 1)});
}

TEST_CASE("vless flows: while a stream is dialed a few datagrams wait; one that fails is let be for a second") {
  Flows f;
  for (int i = 0; i < 20; ++i) CHECK(send(*f.conduit, "x", udp("a.test", 1)) == (i < 16));
  CHECK(f.conduit->dropped() == 4);
  test::answer(f.dialer->dials[0], Errc::kTimedOut, StreamPtr());
  CHECK(f.conduit->dropped() == 20);
  CHECK_FALSE(send(*f.conduit, "x", udp("a.test", 1)));
  f.sim.run_for(1s);
  CHECK(send(*f.conduit, "x", udp("a.test", 1)));
  CHECK(f.dialer->dials.size() == 2);
}

TEST_CASE("vless flows: one whose stream ends is dialed anew by the next datagram") {
  Flows f;
  CHECK(send(*f.conduit, "x", udp("a.test", 1)));
  f.answer(0).reset();
  f.sim.run_ready();
  CHECK(send(*f.conduit, "x", udp("a.test", 1)));
  CHECK(f.dialer->dials.size() == 2);
}

TEST_CASE("vless flows: the idle ones are closed, the used ones stay") {
  Flows f;
  const auto use = [&] { return send(*f.conduit, "x", udp("used.test", 1)); };
  CHECK(send(*f.conduit, "x", udp("idle.test", 1)));
  CHECK(use());
  const ConduitPtr idle = f.answer(0), used = f.answer(1);
  const test::Receiver at_idle(*idle), at_used(*used);
  for (int i = 0; i < 13; ++i) {
    f.sim.run_for(10s);
    CHECK(use());
  }
  f.sim.run_ready();
  CHECK(at_idle.error() == Errc::kEof);
  CHECK_FALSE(at_used.error());
  CHECK(f.dialer->dials.size() == 2);
}

TEST_CASE("vless flows: their number is bounded, the one longest unused gives way") {
  Flows f;
  std::vector<ConduitPtr> far;
  for (std::uint16_t i = 1; i <= 64; ++i) {
    CHECK(send(*f.conduit, "x", udp("a.test", i)));
    far.push_back(f.answer(i - 1u));
  }
  const test::Receiver first(*far[0]), second(*far[1]);
  CHECK(send(*f.conduit, "x", udp("a.test", 1)));
  CHECK(send(*f.conduit, "x", udp("a.test", 65)));
  f.sim.run_ready();
  CHECK_FALSE(first.error());
  CHECK(second.error() == Errc::kEof);
}

TEST_CASE("vless flows: destruction cancels what is dialed, and ends the streams") {
  Flows f;
  const test::Receiver here(*f.conduit);
  CHECK(send(*f.conduit, "x", udp("a.test", 1)));
  CHECK(send(*f.conduit, "x", udp("b.test", 1)));
  const ConduitPtr a = f.answer(0);
  const test::Receiver at_a(*a);
  f.conduit.reset();
  CHECK_FALSE(f.dialer->dials[1]->handler);
  f.sim.run_ready();
  CHECK(here.error() == Errc::kAborted);
  CHECK(at_a.error() == Errc::kEof);
}

TEST_CASE("vless: a conduit to one destination is one stream, and fails as its dial does") {
  test::Simulator sim(1);
  const auto dialer = std::make_shared<test::FakeDialer>(sim.environment());
  std::error_code result;
  Pending opening = open_conduit(sim.environment(), dialer, Destination("a.test", 1),
                                 [&](std::error_code error, ConduitPtr) { result = error; });
  REQUIRE(dialer->dials.size() == 1);
  CHECK(dialer->dials[0]->destination == udp("a.test", 1));
  opening.cancel();
  sim.run_ready();
  CHECK(result == Errc::kAborted);
}

}  // namespace
}  // namespace winze::vless
