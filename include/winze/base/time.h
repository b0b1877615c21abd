// Time is an argument: protocol code is given a TimePoint, it never asks for one.
#pragma once

#include <chrono>

namespace winze {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// "No deadline".
inline constexpr TimePoint kNever = TimePoint::max();

}  // namespace winze
