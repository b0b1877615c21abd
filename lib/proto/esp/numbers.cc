#include <absl/status/status.h>

#include "transform.h"

namespace winze::esp {

absl::Status check_numbers(const SaConfig& config) {
  if (config.spi < kFirstSpi) return absl::InvalidArgumentError("spi: 0 to 255 are reserved");
  if (config.first_sequence == 0) return absl::InvalidArgumentError("first_sequence: numbers begin at 1");
  if (config.replay_window > ReplayWindow::kLargest) return absl::InvalidArgumentError("replay_window: at most 16384");
  if (config.esn && config.replay_window == 0) {
    // RFC 4303 section 3.3.3: the high half is inferred from the window.
    return absl::InvalidArgumentError("replay_window: extended sequence numbers need one");
  }
  return absl::OkStatus();
}

Drop judge(const ReplayWindow& window, bool esn, std::uint32_t low, std::uint64_t& sequence) noexcept {
  sequence = esn ? window.infer(low) : low;
  if (sequence == 0) return Drop::kTooOld;
  switch (window.check(sequence)) {
    case ReplayWindow::Verdict::kReplayed:
      return Drop::kReplayed;
    case ReplayWindow::Verdict::kTooOld:
      return Drop::kTooOld;
    case ReplayWindow::Verdict::kNew:
      break;
  }
  return Drop::kNone;
}

}  // namespace winze::esp
