// How long an SA may live, by packets, bytes and time, and how much of that is used.
#pragma once

#include <cstdint>
#include <optional>

#include "winze/base/time.h"

namespace winze::esp {

// At the soft limit the host begins to rekey; at the hard one the SA stops. 0 and kNever: no limit.
struct Lifetime {
  std::uint64_t soft_packets = 0, hard_packets = 0;
  std::uint64_t soft_bytes = 0, hard_bytes = 0;  // of payload
  TimePoint soft_at = kNever, hard_at = kNever;
};

enum class SaAge : std::uint8_t { kFresh, kSoft, kHard };

// Says each age of an SA once.
class AgeNews {
 public:
  std::optional<SaAge> of(SaAge age) noexcept {
    if (age <= told_) return std::nullopt;
    told_ = age;
    return age;
  }

 private:
  SaAge told_ = SaAge::kFresh;
};

class Usage {
 public:
  Usage() = default;
  explicit Usage(const Lifetime& limits) : limits_(limits) {
    for (std::uint64_t* limit :
         {&limits_.soft_packets, &limits_.hard_packets, &limits_.soft_bytes, &limits_.hard_bytes}) {
      if (*limit == 0) *limit = UINT64_MAX;
    }
  }

  std::uint64_t packets() const noexcept { return packets_; }
  std::uint64_t bytes() const noexcept { return bytes_; }

  // Whether one more packet may pass. The time is not asked for here: who keeps it calls expire() at hard_at.
  bool allows_more() const noexcept {
    return packets_ < limits_.hard_packets && bytes_ < limits_.hard_bytes && !expired_;
  }
  void add(std::size_t size) noexcept {
    ++packets_;
    bytes_ += size;
  }
  void expire() noexcept { expired_ = true; }

  SaAge age(TimePoint now) const noexcept {
    if (!allows_more() || now >= limits_.hard_at) return SaAge::kHard;
    const bool soft = packets_ >= limits_.soft_packets || bytes_ >= limits_.soft_bytes || now >= limits_.soft_at;
    return soft ? SaAge::kSoft : SaAge::kFresh;
  }
  // When age() may change by time alone.
  TimePoint deadline(TimePoint now) const noexcept { return now < limits_.soft_at ? limits_.soft_at : limits_.hard_at; }

 private:
  Lifetime limits_{
      .soft_packets = UINT64_MAX, .hard_packets = UINT64_MAX, .soft_bytes = UINT64_MAX, .hard_bytes = UINT64_MAX};
  std::uint64_t packets_ = 0, bytes_ = 0;
  bool expired_ = false;
};

}  // namespace winze::esp
