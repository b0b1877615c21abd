#include "winze/proto/esp/drop.h"

#include <iterator>

namespace winze::esp {

std::string_view to_string(Drop drop) noexcept {
  constexpr std::string_view kTexts[] = {"none",
                                         "malformed",
                                         "unknown_spi",
                                         "too_old",
                                         "replayed",
                                         "bad_icv",
                                         "bad_padding",
                                         "dummy",
                                         "bad_next_header",
                                         "bad_inner",
                                         "selector_mismatch",
                                         "wrong_peer",
                                         "sequence_exhausted",
                                         "expired",
                                         "too_big",
                                         "fragment",
                                         "congestion",
                                         "no_policy",
                                         "discarded",
                                         "held"};
  static_assert(std::size(kTexts) == static_cast<std::size_t>(Drop::kCount));
  return drop < Drop::kCount ? kTexts[static_cast<std::size_t>(drop)] : "?";
}

std::uint64_t DropCounters::total() const noexcept {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : counts_) sum += count;
  return sum - (*this)[Drop::kDummy] - (*this)[Drop::kHeld] - (*this)[Drop::kNone];
}

}  // namespace winze::esp
