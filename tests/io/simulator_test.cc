// The simulator itself: other tests' time and links stand on it.
#include "support/simulator.h"

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <string>

#include "winze/base/error.h"

namespace winze {
namespace {

using namespace std::chrono_literals;

struct Arrival {
  std::uint32_t number;
  Duration at;
};

// Sends `count` numbered datagrams of `size` bytes, one every `gap`, and returns those that arrive.
std::vector<Arrival> arrivals(test::Simulator& sim, const test::LinkOptions& options, std::uint32_t count,
                              std::size_t size, Duration gap, std::uint64_t* dropped = nullptr) {
  std::vector<Arrival> out;
  auto [near, far] = test::sim_link(sim, options);
  const TimePoint begun = sim.now();
  std::function<void()> receive = [&, &conduit = *far] {
    conduit.receive([&](std::error_code error, std::span<Datagram> batch) {
      if (error) return;
      for (Datagram& datagram : batch) {
        std::uint32_t number;
        std::memcpy(&number, datagram.payload.data(), sizeof number);
        out.push_back({number, sim.now() - begun});
      }
      receive();
    });
  };
  receive();
  for (std::uint32_t i = 0; i < count; ++i) {
    Datagram datagram{.payload = Buffer(size), .peer = {}};
    std::memcpy(datagram.payload.append(size), &i, sizeof i);
    near->send(std::span(&datagram, 1));
    sim.run_for(gap);
  }
  sim.run_to_end();
  if (dropped != nullptr) *dropped = near->dropped();
  return out;
}

TEST_CASE("simulator: delay and bandwidth") {
  test::Simulator sim(1);
  // 1000 bytes at 1 Mbit/s take 8 ms; four at once queue behind each other.
  const auto got = arrivals(sim, {.bits_per_second = 1e6, .delay = 50ms}, 4, 1000, 0ms);
  REQUIRE(got.size() == 4);
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK(got[i].number == i);
    CHECK(got[i].at == 50ms + (i + 1) * 8ms);
  }
}

TEST_CASE("simulator: a full queue and too long a datagram are dropped and counted") {
  test::Simulator sim(1);
  std::uint64_t dropped = 0;
  CHECK(arrivals(sim, {.bits_per_second = 1e6, .queue = 3000}, 10, 1000, 0ms, &dropped).size() == 3);
  CHECK(dropped == 7);
  CHECK(arrivals(sim, {.mtu = 999}, 1, 1000, 0ms, &dropped).empty());
  CHECK(dropped == 1);
}

TEST_CASE("simulator: loss and reordering by seed, and the same again by the same seed") {
  const test::LinkOptions options{.delay = 5ms, .loss = 0.1, .reorder = 0.1, .reorder_delay = 3ms};
  auto run = [&](std::uint64_t seed) {
    test::Simulator sim(seed);
    std::string order;
    for (const Arrival& a : arrivals(sim, options, 2000, 100, 1ms)) order += std::to_string(a.number) + " ";
    return order;
  };
  test::Simulator sim(7);
  const auto got = arrivals(sim, options, 2000, 100, 1ms);
  CHECK(got.size() > 1700);
  CHECK(got.size() < 1900);
  std::size_t late = 0;
  for (std::size_t i = 1; i < got.size(); ++i) late += got[i].number < got[i - 1].number ? 1 : 0;
  CHECK(late > 100);
  CHECK(late < 260);
  CHECK(run(7) == run(7));
  CHECK(run(7) != run(8));
}

TEST_CASE("simulator: timers fire in order, at their time, and not after disarm") {
  test::Simulator sim(1);
  std::string order;
  const TimePoint begun = sim.now();
  TimerPtr a = sim.environment().clock.make_timer();
  TimerPtr b = sim.environment().clock.make_timer();
  TimerPtr c = sim.environment().clock.make_timer();
  a->arm(begun + 2s, [&] { order += "a"; });
  b->arm(begun + 1s, [&] {
    order += "b";
    CHECK(sim.now() == begun + 1s);
    c->disarm();
    b->arm(begun + 3s, [&] { order += "B"; });
  });
  c->arm(begun + 2s, [&] { order += "c"; });
  sim.run_for(2500ms);
  CHECK(order == "ba");
  CHECK(sim.now() == begun + 2500ms);
  sim.run_to_end();
  CHECK(order == "baB");
}

TEST_CASE("simulator: names resolve after their delay, or not at all") {
  test::Simulator sim(1);
  sim.add_host("a.test", {*IpAddress::parse("192.0.2.1")}, 100ms);
  std::vector<std::string> answers;
  const auto note = [&](std::error_code error, const std::vector<IpAddress>& addresses) {
    answers.push_back(error ? error.message() : addresses.at(0).to_string());
  };
  Pending first = sim.environment().resolver.resolve("a.test", note);
  Pending second = sim.environment().resolver.resolve("b.test", note);
  Pending third = sim.environment().resolver.resolve("a.test", note);
  third.cancel();
  sim.run_for(99ms);
  CHECK(answers.size() == 2);
  sim.run_for(1ms);
  REQUIRE(answers.size() == 3);
  CHECK(answers[2] == "192.0.2.1");
}

TEST_CASE("simulator: the time of day goes on with the clock") {
  test::Simulator sim(1);
  const UnixTime begun = sim.environment().clock.unix_now();
  sim.run_for(61s);
  CHECK(sim.environment().clock.unix_now() == begun + 61);
}

}  // namespace
}  // namespace winze
