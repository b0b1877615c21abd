// Counting, rates and quotas: alone, and in relays of streams and of datagrams, in virtual time.
#include "winze/io/meter.h"

#include <doctest/doctest.h>

#include <asio/post.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/io/memory.h"
#include "winze/io/relay.h"

namespace winze {
namespace {

using namespace std::chrono_literals;

struct Metered {
  std::shared_ptr<Allowance> allowance = std::make_shared<Allowance>();
  std::shared_ptr<Traffic> traffic = std::make_shared<Traffic>();

  Meter meter() const {
    Meter out(allowance);
    out.add(traffic);
    return out;
  }
};

// A relay between memory pairs, with a sender that always has more and a reader that takes all.
struct Bulk {
  Bulk(test::Simulator& simulator, const Meter& meter, Way direction) : sim(simulator), way(direction) {
    auto [near, relay_client] = memory_pair(sim.environment());
    auto [relay_server, far] = memory_pair(sim.environment());
    client = std::move(near);
    server = std::move(far);
    running = relay(sim.environment(), std::move(relay_client), std::move(relay_server), {.idle = 30s, .meter = meter},
                    [this](const RelayResult& r) { result = r; });
    send();
    receive();
  }
  ~Bulk() {
    client.reset();
    server.reset();
    running.cancel();
    sim.run_ready();
  }
  void send() {
    Stream& from = way == Way::kUp ? *client : *server;
    from.write(Buffer::copy_of(std::string(100'000, 'x')), [this](std::error_code error) {
      if (!error) send();
    });
  }
  void receive() {
    Stream& to = way == Way::kUp ? *server : *client;
    to.read([this](std::error_code error, Buffer data) {
      received += data.size();
      ++reads;
      largest = std::max(largest, data.size());
      if (!error) receive();
    });
  }

  test::Simulator& sim;
  Way way;
  StreamPtr client, server;
  Pending running;
  std::uint64_t received = 0, reads = 0;
  std::size_t largest = 0;
  std::optional<RelayResult> result;
};

void check_near(std::uint64_t found, double wanted, double within) {
  CHECK(static_cast<double>(found) > wanted * (1 - within));
  CHECK(static_cast<double>(found) < wanted * (1 + within));
}

TEST_CASE("meter: a rate is kept within 5 % over seconds, each way by itself, however many relays share it") {
  for (const std::uint64_t rate : {2'000u, 50'000u, 1u << 20, 100u << 20}) {
    for (const int relays : {1, 7}) {
      CAPTURE(rate);
      CAPTURE(relays);
      test::Simulator sim(1);
      Metered m;
      m.allowance->set_rate(Way::kDown, rate);
      std::vector<std::unique_ptr<Bulk>> flows;
      for (int i = 0; i < relays; ++i) flows.push_back(std::make_unique<Bulk>(sim, m.meter(), Way::kDown));
      const auto received = [&] {
        std::uint64_t sum = 0;
        for (const auto& flow : flows) sum += flow->received;
        return sum;
      };
      sim.run_for(4s);
      check_near(received(), 4.0 * static_cast<double>(rate), 0.05);
      const std::uint64_t before = received();
      sim.run_for(10s);
      check_near(received() - before, 10.0 * static_cast<double>(rate), 0.02);
      CHECK(m.traffic->down == received());
      // Nobody is starved.
      for (const auto& flow : flows) CHECK(flow->received * static_cast<unsigned>(relays) > received() / 2);
    }
  }
}

TEST_CASE("meter: pieces are few and bursts are short") {
  test::Simulator sim(1);
  Metered m;
  m.allowance->set_rate(Way::kUp, 1 << 20);
  Bulk flow(sim, m.meter(), Way::kUp);
  sim.run_ready();
  // 100 ms to catch up, and the piece that is due.
  CHECK(flow.received <= (1 << 20) / 10 + (1 << 20) / 20 + 1);
  const std::uint64_t reads = flow.reads;
  sim.run_for(10s);
  // What is read is not a multiple of a piece.
  CHECK(flow.reads - reads <= 2 * 200);
  CHECK(flow.largest <= (1 << 20) / 20);
}

TEST_CASE("meter: a rate that is set, changed or taken away while bytes wait for it is in force within a second") {
  test::Simulator sim(1);
  Metered m;
  m.allowance->set_rate(Way::kDown, 1000);
  Bulk flow(sim, m.meter(), Way::kDown);
  sim.run_for(5s);
  check_near(flow.received, 5000, 0.25);
  m.allowance->set_rate(Way::kDown, 1'000'000);
  sim.run_for(1s);
  std::uint64_t before = flow.received;
  sim.run_for(5s);
  check_near(flow.received - before, 5e6, 0.02);
  m.allowance->set_rate(Way::kDown, 10'000);
  sim.run_for(1s);
  before = flow.received;
  sim.run_for(5s);
  check_near(flow.received - before, 5e4, 0.05);
}

TEST_CASE("meter: a quota is kept to the byte, and told once when somebody wants more") {
  for (const std::uint64_t quota : {1u, 99'999u, 100'000u, 1'234'567u}) {
    CAPTURE(quota);
    test::Simulator sim(1);
    int spent = 0;
    auto allowance = std::make_shared<Allowance>([&] { ++spent; });
    allowance->set_quota(quota, 0);
    Bulk down(sim, Meter(allowance), Way::kDown);
    Bulk up(sim, Meter(allowance), Way::kUp);
    sim.run_for(5s);
    CHECK(down.received + up.received == quota);
    CHECK(allowance->is_spent());
    CHECK(spent == 1);
    // More of it, and both go on.
    allowance->set_quota(quota + 1000, 0);
    CHECK_FALSE(allowance->is_spent());
    sim.run_for(5s);
    CHECK(down.received + up.received == quota + 1000);
    CHECK(spent == 2);
  }
}

TEST_CASE("meter: what was booked and did not pass is given back") {
  test::Simulator sim(1);
  Metered m;
  m.allowance->set_quota(10'000, 0);
  m.allowance->set_rate(Way::kDown, 100);
  {
    Bulk flow(sim, m.meter(), Way::kDown);
    sim.run_for(3s);
    CHECK(m.traffic->down == flow.received);
  }
  m.allowance->set_rate(Way::kDown, 0);
  const std::uint64_t gone = m.traffic->down;
  Bulk rest(sim, m.meter(), Way::kDown);
  sim.run_for(3s);
  CHECK(gone + rest.received == 10'000);
}

TEST_CASE("meter: what has passed when a relay is cancelled is gone, at whatever step") {
  for (int steps = 0; steps < 60; ++steps) {
    CAPTURE(steps);
    test::Simulator sim(1);
    Metered m;
    m.allowance->set_quota(150'000, 0);
    {
      Bulk flow(sim, m.meter(), Way::kUp);
      std::function<void(int)> cancel_after = [&](int left) {
        if (left == 0) return flow.running.cancel();
        asio::post(sim.environment().executor, [&, left] { cancel_after(left - 1); });
      };
      cancel_after(steps);
      sim.run_ready();
    }
    Bulk rest(sim, m.meter(), Way::kUp);
    sim.run_for(3s);
    CHECK(m.traffic->up == 150'000);
  }
}

TEST_CASE("meter: datagrams keep a rate whole, and a quota as far as whole ones go") {
  test::Simulator sim(1);
  Metered m;
  auto [client, near] = test::conduit_pair(sim.environment());
  auto [far, server] = test::conduit_pair(sim.environment());
  std::optional<RelayResult> result;
  m.allowance->set_rate(Way::kUp, 10'000);
  const Pending running = relay(sim.environment(), std::move(near), std::move(far), {.idle = 60s, .meter = m.meter()},
                                [&](const RelayResult& r) { result = r; });
  test::Receiver received(*server);
  for (int i = 0; i < 60; ++i) CHECK(test::send(*client, std::string(1000, 'x')));
  CHECK(test::send(*client, ""));
  sim.run_for(4s);
  check_near(received.texts().size(), 40, 0.06);
  sim.run_for(3s);
  CHECK(received.texts().size() == 61);
  CHECK(m.traffic->up == 60'000);

  m.allowance->set_rate(Way::kUp, 0);
  m.allowance->set_quota(62'500, m.traffic->up);
  for (int i = 0; i < 5; ++i) CHECK(test::send(*client, std::string(1000, 'y')));
  sim.run_for(3s);
  CHECK(received.texts().size() == 63);
  CHECK(m.allowance->is_spent());
  CHECK(m.traffic->up == 62'000);
}

}  // namespace
}  // namespace winze
