// Where time comes from. The system's clock (winze/io/system.h), or a simulated one in tests.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>

#include "winze/base/time.h"

namespace winze {

// One deadline, re-armed at will. Its callback runs on the clock's executor, never inside arm(), and never after
// disarm() or destruction.
//
// What owns a timer must not be owned by its callback (capture it weakly): an event loop that is dropped with timers
// armed would leave the two holding each other.
class Timer {
 public:
  using Callback = absl::AnyInvocable<void()>;
  virtual ~Timer() = default;
  // Replaces what was armed before. A time in the past is due at once.
  virtual void arm(TimePoint at, Callback callback) = 0;
  virtual void disarm() = 0;
};
using TimerPtr = std::unique_ptr<Timer>;

class Clock : public WallClock {
 public:
  virtual TimePoint now() const = 0;
  virtual TimerPtr make_timer() = 0;
};

}  // namespace winze
