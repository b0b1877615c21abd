// Time is an argument: protocol code is given a TimePoint, it never asks for one.
#pragma once

#include <chrono>
#include <cstdint>

namespace winze {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// "No deadline".
inline constexpr TimePoint kNever = TimePoint::max();

// Seconds since 1970-01-01 UTC: the time of day, for protocols that put it on the wire.
using UnixTime = std::int64_t;

// Where it comes from, for codecs whose header may be written long after they were made. A Clock (winze/io/clock.h) is
// one.
class WallClock {
 public:
  virtual ~WallClock() = default;
  virtual UnixTime unix_now() const = 0;
};

}  // namespace winze
