// What a relay counts, and what limits it.
//
//   Traffic    bytes both ways; one executor writes it, anyone reads it
//   Allowance  rates and a quota that all relays of one user keep together, on any number of threads
//   Meter      where one relay counts (its user, its inbound, its outbound) and whose allowance it keeps
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "winze/base/time.h"

namespace winze {

enum class Way : std::uint8_t { kUp, kDown };  // from the client to the server, and back

// Bytes of payload. Several executors that count for the same user or tag have one each; who reads them adds up. That
// way counting takes no locked instruction, and is never behind what has been passed on.
struct Traffic {
  std::atomic<std::uint64_t> up{0};
  std::atomic<std::uint64_t> down{0};

  // By the one executor that writes.
  void add(Way way, std::uint64_t bytes) {
    auto& counter = way == Way::kUp ? up : down;
    counter.store(counter.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
  }
};

// Thread-safe, without locks.
//
// A rate is kept piece by piece: each piece is booked before it passes and is told when it may, in the order of
// booking. A piece is what the rate yields in 50 ms, less where several relays share it, so none waits long for
// another's. Who was idle, or woken late, may catch up 100 ms: that is the burst. A quota is kept to the byte: what is
// booked beyond it does not pass.
class Allowance {
 public:
  // `on_spent` is called when bytes did not pass because the quota is used up, once until it is set again; by any
  // thread that relays, from within book().
  explicit Allowance(std::function<void()> on_spent = nullptr) : on_spent_(std::move(on_spent)) {}
  Allowance(const Allowance&) = delete;
  Allowance& operator=(const Allowance&) = delete;

  // Bytes per second; 0: no limit. In force from the next piece on; pieces that wait are booked anew within a second.
  void set_rate(Way way, std::uint64_t bytes_per_second);
  // Bytes both ways together; 0: no limit. Where there was none yet, `used` of them are gone; pieces that are on their
  // way then are not among them.
  void set_quota(std::uint64_t bytes, std::uint64_t used);
  bool is_spent() const;

  bool limits(Way way) const {
    return rate(way).bytes_per_second.load(std::memory_order_relaxed) != 0 ||
           quota_.load(std::memory_order_relaxed) != 0;
  }
  // The largest piece that should be booked now.
  std::size_t largest(Way way) const;

  struct Piece {
    std::size_t bytes = 0;     // that may pass at `at`; 0: none is left of the quota
    std::size_t reserved = 0;  // of the quota, for them
    TimePoint at{};
    std::uint32_t epoch = 0;
  };
  // Books `bytes`, or what the quota leaves of them.
  Piece book(Way way, std::size_t bytes, TimePoint now);
  // What was reserved and has not passed.
  void give_back(std::size_t reserved);
  // Changes with the limits.
  std::uint32_t epoch() const { return epoch_.load(std::memory_order_relaxed); }

  // Relays that share the allowance.
  void join() { relays_.fetch_add(1, std::memory_order_relaxed); }
  void leave() { relays_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  struct Rate {
    std::atomic<std::uint64_t> bytes_per_second{0};
    std::atomic<std::int64_t> next{0};  // when what is booked next may pass, in the clock's nanoseconds
  };
  Rate& rate(Way way) { return rates_[static_cast<std::size_t>(way)]; }
  const Rate& rate(Way way) const { return rates_[static_cast<std::size_t>(way)]; }
  std::size_t reserve(std::size_t bytes);

  std::array<Rate, 2> rates_;
  std::atomic<std::uint64_t> quota_{0};
  std::atomic<std::int64_t> used_{0};  // with what is reserved
  std::atomic<std::uint32_t> epoch_{0};
  std::atomic<std::uint32_t> relays_{0};
  std::atomic<bool> announced_{false};
  std::function<void()> on_spent_;
};

class Meter {
 public:
  Meter() = default;
  explicit Meter(std::shared_ptr<Allowance> allowance) : allowance_(std::move(allowance)) {}

  // Four at most; null is none.
  void add(std::shared_ptr<Traffic> counter) {
    if (counter != nullptr) counters_[used_++] = std::move(counter);
  }
  void count(Way way, std::uint64_t bytes) const {
    for (std::size_t i = 0; i < used_; ++i) counters_[i]->add(way, bytes);
  }
  // Null: nothing limits.
  Allowance* allowance() const { return allowance_.get(); }

 private:
  std::shared_ptr<Allowance> allowance_;
  std::array<std::shared_ptr<Traffic>, 4> counters_;
  std::size_t used_ = 0;
};

}  // namespace winze
