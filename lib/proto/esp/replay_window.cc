#include "winze/proto/esp/replay_window.h"

#include <algorithm>
#include <bit>

namespace winze::esp {

ReplayWindow::ReplayWindow(std::uint32_t size, std::uint64_t top) : top_(top), size_(std::min(size, kLargest)) {
  // One word more than the window covers, since its lower end lies within a word.
  const std::uint32_t count = std::bit_ceil((size_ + 63) / 64 + 1);
  mask_ = count - 1;
  words_ = std::make_unique<std::uint64_t[]>(count);
  // What lies below a restored top may have been seen. The bits above top in its own word are yet to come.
  if (top == 0) return;
  std::fill_n(words_.get(), count, ~std::uint64_t{0});
  if ((top & 63) != 63) words_[top >> 6 & mask_] = (std::uint64_t{1} << ((top & 63) + 1)) - 1;
}

bool ReplayWindow::accept(std::uint64_t sequence) noexcept {
  const bool newest = sequence > top_;
  if (newest) {
    // The words between the old top and the new one begin empty.
    const std::uint64_t from = top_ >> 6;
    const std::uint64_t steps = std::min<std::uint64_t>((sequence >> 6) - from, std::uint64_t{mask_} + 1);
    for (std::uint64_t i = 1; i <= steps; ++i) words_[(from + i) & mask_] = 0;
    // After a jump of a whole ring or more every word was cleared, those of `sequence` among them.
    top_ = sequence;
  }
  words_[sequence >> 6 & mask_] |= std::uint64_t{1} << (sequence & 63);
  return newest;
}

std::uint64_t ReplayWindow::infer(std::uint32_t low) const noexcept {
  const auto top_low = static_cast<std::uint32_t>(top_);
  const auto top_high = static_cast<std::uint32_t>(top_ >> 32);
  const std::uint32_t bottom = top_low - (size_ - 1);  // modulo 2^32
  std::uint32_t high = top_high;
  if (top_low >= size_ - 1) {
    // Case A: the window lies within one subspace.
    if (low < bottom) high = top_high + 1;
  } else if (low >= bottom) {
    // Case B: the window spans two, and the number is in the lower one.
    if (top_high == 0) return 0;
    high = top_high - 1;
  }
  return std::uint64_t{high} << 32 | low;
}

}  // namespace winze::esp
