// A discrete-event simulator: virtual time, seeded randomness, and links with bandwidth, delay, loss and reordering. An
// hour of protocol passes in milliseconds, and the same seed gives the same hour.
//
//   Simulator sim(seed);
//   auto [near, far] = sim_link(sim, {.delay = 20ms, .loss = 0.01});
//   ... use sim.environment() ...
//   sim.run_for(std::chrono::hours(1));
#pragma once

#include <asio/io_context.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "winze/io/conduit.h"
#include "winze/io/environment.h"

namespace winze::test {

class Simulator {
 public:
  explicit Simulator(std::uint64_t seed);
  ~Simulator();
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  Environment& environment() { return environment_; }
  std::uint64_t seed() const { return seed_; }
  TimePoint now() const;

  // What the resolver answers for a name, `delay` after it is asked; other names are Errc::kUnresolved.
  void add_host(std::string_view name, std::vector<IpAddress> addresses, Duration delay = {});

  // Runs what is ready without letting time pass.
  void run_ready();
  // Runs all that happens until `time` from now; the clock then stands there.
  void run_for(Duration time);
  // Runs until nothing is left to happen. Fails the test when that takes more than `limit` of virtual time.
  void run_to_end(Duration limit = std::chrono::hours(24));

 private:
  class SimClock;
  class SimResolver;

  std::uint64_t seed_;
  std::unique_ptr<SimClock> clock_;
  SeededRandom random_;
  BufferPool pool_;
  asio::io_context context_{1};  // what still waits in it goes before the clock that its timers are on
  std::unique_ptr<SimResolver> resolver_;
  Environment environment_;
};

struct LinkOptions {
  double bits_per_second = 0;  // 0: no limit
  Duration delay{0};           // one way
  double loss = 0;             // part of the datagrams, 0 to 1
  double reorder = 0;          // part of the datagrams that arrive `reorder_delay` later
  Duration reorder_delay{std::chrono::milliseconds(10)};
  std::size_t queue = 1 << 20;  // bytes that wait for the bandwidth; what comes beyond is dropped
  std::size_t mtu = 1500;       // longer datagrams are dropped
};

// Two conduits, each the other's peer; the same options both ways.
std::pair<ConduitPtr, ConduitPtr> sim_link(Simulator& simulator, const LinkOptions& options);

}  // namespace winze::test
