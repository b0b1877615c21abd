// A limit on silence.
#pragma once

#include <utility>

#include "winze/io/clock.h"

namespace winze {

// One timer, which is re-armed when it fires early rather than at every touch().
class IdleTimer {
 public:
  explicit IdleTimer(Clock& clock) : clock_(clock), timer_(clock.make_timer()), last_(clock.now()) {}

  // Calls `on_idle` once, when there was no touch() for `limit`; zero: never. Replaces what was started before. Like
  // that of a Timer, the callback must not own what owns this.
  void start(Duration limit, Timer::Callback on_idle) {
    limit_ = limit;
    on_idle_ = std::move(on_idle);
    limit_ == Duration::zero() ? timer_->disarm() : arm();
  }
  void touch() { last_ = clock_.now(); }
  void stop() { timer_->disarm(); }

 private:
  void arm() {
    timer_->arm(last_ + limit_, [this] {
      if (clock_.now() < last_ + limit_) return arm();
      std::exchange(on_idle_, nullptr)();
    });
  }

  Clock& clock_;
  TimerPtr timer_;
  TimePoint last_;
  Duration limit_{0};
  Timer::Callback on_idle_;
};

}  // namespace winze
