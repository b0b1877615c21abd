// Why a packet of the IPsec data plane went no further. Counted per SA, never logged one by one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace winze::esp {

enum class Drop : std::uint8_t {
  kNone,               // not dropped
  kMalformed,          // too short, or sizes that do not fit each other
  kUnknownSpi,         // no such SA
  kTooOld,             // below the anti-replay window
  kReplayed,           // inside the window, and seen before
  kBadIcv,             // the integrity check failed: forged, damaged, or wrong keys
  kBadPadding,         // authentic, but the padding is not 1, 2, 3, ...
  kDummy,              // next header 59: traffic flow confidentiality, nothing inside
  kBadNextHeader,      // authentic, but its content is not what the SA's mode carries
  kBadInner,           // authentic, but the IP packet inside is malformed
  kSelectorMismatch,   // the inner packet is outside the SA's traffic selectors (RFC 4301 section 5.2)
  kWrongPeer,          // the outer addresses are not the SA's
  kSequenceExhausted,  // no sequence number is left
  kExpired,            // a hard lifetime is over
  kTooBig,             // does not fit the path MTU, and must not be fragmented
  kFragment,           // a fragment where only whole packets can be processed
  kCongestion,         // the path marked it as congested, and its transport could not be told (RFC 6040 section 4.2)
  kNoPolicy,           // no policy covers the packet
  kDiscarded,          // a policy says so
  kHeld,               // not dropped: a fragment that waits for the rest of its packet
  kCount,
};

std::string_view to_string(Drop drop) noexcept;

class DropCounters {
 public:
  std::uint64_t operator[](Drop drop) const noexcept { return counts_[static_cast<std::size_t>(drop)]; }
  void add(Drop drop) noexcept { ++counts_[static_cast<std::size_t>(drop)]; }
  // Of all reasons but kDummy and kHeld, which are no faults.
  std::uint64_t total() const noexcept;

 private:
  std::array<std::uint64_t, static_cast<std::size_t>(Drop::kCount)> counts_{};
};

}  // namespace winze::esp
