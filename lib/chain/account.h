// What every session owes to the counters of its tags and to its user: open connections, admission, and the meter of
// its relay.
#pragma once

#include <memory>
#include <utility>

#include "winze/chain/session.h"

namespace winze::chain {

// One open connection of a tag.
class Open {
 public:
  Open() = default;
  explicit Open(std::shared_ptr<TagTraffic> traffic) : traffic_(std::move(traffic)) {
    if (!traffic_) return;
    add(traffic_->connections, 1);
    add(traffic_->connections_total, 1);
  }
  Open(Open&& other) noexcept : traffic_(std::exchange(other.traffic_, nullptr)) {}
  Open& operator=(Open&& other) noexcept {
    std::swap(traffic_, other.traffic_);
    return *this;
  }
  ~Open() {
    if (traffic_) add(traffic_->connections, -1);
  }

  const std::shared_ptr<TagTraffic>& traffic() const { return traffic_; }

 private:
  static void add(std::atomic<std::uint64_t>& counter, int n) {
    counter.store(counter.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(n), std::memory_order_relaxed);
  }

  std::shared_ptr<TagTraffic> traffic_;
};

// Held by a session as long as it is open.
struct Account {
  Open inbound;
  Open outbound;
  std::shared_ptr<Traffic> through;  // of an inbound that counts the connection elsewhere
  std::unique_ptr<Admission> user;

  Meter meter() const {
    Meter out = user ? user->meter() : Meter();
    out.add(through ? through : inbound.traffic());
    out.add(outbound.traffic());
    return out;
  }
};

}  // namespace winze::chain
