// Inboxes, layers and relays of datagrams, in memory and virtual time.
#include <doctest/doctest.h>

#include <string>

#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/io/conduit_layer.h"
#include "winze/io/inbox.h"
#include "winze/io/relay.h"

namespace winze {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;
using test::send;

bool push(DatagramInbox& inbox, std::string_view text) {
  Datagram datagram{.payload = Buffer::copy_of(text)};
  return inbox.push(datagram);
}

TEST_CASE("inbox: what came waits, in order, up to the limit; one receive at a time; close cancels") {
  test::Simulator sim(1);
  DatagramInbox inbox(sim.environment().executor, 10);
  CHECK(push(inbox, "12345"));
  CHECK(push(inbox, "67890"));
  CHECK_FALSE(push(inbox, "x"));
  Texts got;
  inbox.receive([&](std::error_code error, std::span<Datagram> datagrams) {
    CHECK_FALSE(error);
    for (Datagram& datagram : datagrams) got.emplace_back(datagram.payload.text());
  });
  CHECK(got.empty());
  sim.run_ready();
  CHECK(got == Texts{"12345", "67890"});
  CHECK(push(inbox, "again"));

  std::error_code first, second, third;
  DatagramInbox empty(sim.environment().executor);
  empty.receive([&](std::error_code error, std::span<Datagram>) { first = error; });
  empty.receive([&](std::error_code error, std::span<Datagram>) { second = error; });
  empty.close();
  empty.receive([&](std::error_code error, std::span<Datagram>) { third = error; });
  CHECK_FALSE(push(empty, "x"));
  sim.run_ready();
  CHECK(first == Errc::kAborted);
  CHECK(second == Errc::kBusy);
  CHECK(third == Errc::kClosed);
}

// Takes "t...", drops "d...", and puts a mark in front of the rest.
class MarkLayer final : public DatagramLayer {
 public:
  Overhead overhead() const override { return {.front = 1, .back = 0}; }
  Verdict outgoing(Datagram& datagram) override {
    const char first = datagram.payload.text().front();
    if (first == 't') return Verdict::kTake;
    if (first == 'd') return Verdict::kDrop;
    *datagram.payload.prepend(1) = '>';
    return Verdict::kPass;
  }
  bool incoming(Datagram& datagram) override {
    if (datagram.payload.text().front() != '>') return false;
    datagram.payload.trim_front(1);
    return true;
  }
  std::error_code ended() const override { return end; }
  std::error_code end;
};

TEST_CASE("layer: passes, takes and drops; what is not for us does not end a receive") {
  test::Simulator sim(1);
  auto [near, far] = test::conduit_pair(sim.environment());
  const ConduitPtr layered = layered_conduit(std::move(near), std::make_shared<MarkLayer>());
  CHECK(layered->mtu() == 65506);
  CHECK(layered->overhead().front == 1);
  std::vector<Datagram> batch;
  for (const char* text : {"a", "drop", "b", "take", "c"}) batch.push_back({.payload = Buffer::copy_of(text)});
  CHECK(layered->send(batch) == 4);
  CHECK(layered->dropped() == 1);
  test::Receiver there(*far), here(*layered);
  sim.run_ready();
  CHECK(there.texts() == Texts{">a", ">b", ">c"});
  send(*far, "noise");
  sim.run_ready();
  CHECK(here.state->calls == 0);
  send(*far, ">x");
  sim.run_ready();
  CHECK(here.texts() == Texts{"x"});
  CHECK(layered->dropped() == 2);
}

TEST_CASE("layer: who closes decides what a receive says; destruction cancels") {
  test::Simulator sim(1);
  for (const bool by_layer : {true, false}) {
    CAPTURE(by_layer);
    auto [near, far] = test::conduit_pair(sim.environment());
    PacketConduit* below = near.get();
    auto layer = std::make_shared<MarkLayer>();
    ConduitPtr layered = layered_conduit(std::move(near), layer);
    const test::Receiver here(*layered);
    if (by_layer) {
      layer->end = Errc::kEof;
      below->close();
    } else {
      layered.reset();
    }
    sim.run_ready();
    CHECK(here.error() == (by_layer ? Errc::kEof : Errc::kAborted));
    CHECK(here.state->calls == 1);
  }
}

struct Relayed {
  explicit Relayed(const RelayOptions& options = {}) {
    auto [client, near] = test::conduit_pair(sim.environment());
    auto [far, server] = test::conduit_pair(sim.environment());
    left = std::move(client);
    right = std::move(server);
    running = relay(sim.environment(), std::move(near), std::move(far), options, [this](const RelayResult& r) {
      ++done;
      result = r;
    });
  }
  test::Simulator sim{1};
  ConduitPtr left, right;
  Pending running;
  RelayResult result;
  int done = 0;
};

TEST_CASE("relay of datagrams: both ways, counted, until it is idle") {
  const auto traffic = std::make_shared<Traffic>();
  Meter meter;
  meter.add(traffic);
  Relayed r({.idle = 10s, .meter = meter});
  test::Receiver left(*r.left), right(*r.right);
  send(*r.left, "abc");
  send(*r.right, "defg");
  r.sim.run_for(9s);
  send(*r.left, "h");
  r.sim.run_for(9s);
  CHECK(r.done == 0);
  CHECK(right.texts() == Texts{"abc", "h"});
  CHECK(left.texts() == Texts{"defg"});
  r.sim.run_for(2s);
  CHECK(r.done == 1);
  CHECK_FALSE(r.result.error);
  CHECK(r.result.timed_out);
  CHECK(r.result.up == 4);
  CHECK(r.result.down == 4);
  CHECK(traffic->up == 4);
  CHECK(traffic->down == 4);
  CHECK_FALSE(send(*r.left, "gone"));
}

TEST_CASE("relay of datagrams: what the other side cannot take is counted as dropped, and does not stop it") {
  Relayed r;
  const std::string large(60000, 'x');
  for (int i = 0; i < 10; ++i) {
    send(*r.left, large);
    r.sim.run_ready();
  }
  r.running.cancel();
  r.sim.run_ready();
  CHECK(r.done == 1);
  CHECK(r.result.error == Errc::kAborted);
  CHECK(r.result.up == 10 * large.size());
  CHECK(r.result.dropped == 2);  // eight fill the inbox of `right`, which nobody empties
}

}  // namespace
}  // namespace winze
