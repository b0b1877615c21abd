// The anti-replay window of ESP and AH, with the inference of extended sequence numbers.
//
// A ring of words, one bit a sequence number: checking is one load, moving on clears whole words, whatever the size.
// Base documents: RFC 4303 section 3.4.3 and appendix A2; RFC 6479 for the ring.
#pragma once

#include <cstdint>
#include <memory>

namespace winze::esp {

class ReplayWindow {
 public:
  static constexpr std::uint32_t kLargest = 16384;

  // `size`: how far below the highest number seen a packet may be, 0 (no protection) to kLargest. `top`: the highest
  // number that counts as seen; all up to it do.
  explicit ReplayWindow(std::uint32_t size, std::uint64_t top = 0);

  enum class Verdict : std::uint8_t { kNew, kReplayed, kTooOld };
  Verdict check(std::uint64_t sequence) const noexcept {
    if (sequence > top_ || size_ == 0) return Verdict::kNew;
    if (top_ - sequence >= size_) return Verdict::kTooOld;
    return (word(sequence) >> (sequence & 63) & 1) != 0 ? Verdict::kReplayed : Verdict::kNew;
  }
  // Marks a number, which check() called new, as seen: call it when the packet has proved authentic. True when it is
  // the highest so far.
  bool accept(std::uint64_t sequence) noexcept;

  // The 64-bit number that the low half `low` on the wire stands for (appendix A2.2). A half that would lie before the
  // first number gives 0, which no packet has.
  std::uint64_t infer(std::uint32_t low) const noexcept;

  std::uint64_t top() const noexcept { return top_; }
  std::uint32_t size() const noexcept { return size_; }

 private:
  std::uint64_t word(std::uint64_t sequence) const noexcept { return words_[sequence >> 6 & mask_]; }

  std::uint64_t top_;
  std::uint32_t size_;
  std::uint32_t mask_;  // words in the ring, less one
  std::unique_ptr<std::uint64_t[]> words_;
};

}  // namespace winze::esp
