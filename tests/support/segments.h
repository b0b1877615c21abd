// Bytes cut into segments, as a transport may deliver them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <ostream>  // doctest prints std::error_code with it
#include <string_view>
#include <utility>

#include "winze/base/buffer.h"

namespace winze::test {

inline constexpr std::size_t kSegmentSizes[] = {1, 2, 3, 7, 1400, 65536};

// Calls `consume(Buffer)` with each segment in turn; stops early when it returns false.
template <typename Consume>
void feed(std::string_view bytes, std::size_t segment, Consume&& consume) {
  while (!bytes.empty()) {
    const std::size_t count = std::min(segment, bytes.size());
    if (!consume(Buffer::copy_of(bytes.substr(0, count)))) return;
    bytes.remove_prefix(count);
  }
}

}  // namespace winze::test
