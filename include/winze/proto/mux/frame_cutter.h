// Frames whose heads have one size, out of bytes that come in any segments.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <system_error>

namespace winze::mux {

template <std::size_t kHeadSize>
class FrameCutter {
 public:
  // `on_head(head, length)` looks at a head and sets how many bytes of data follow it (at first 0); its error ends all.
  // `on_data(bytes, last)` gets them in pieces, where they are.
  template <typename OnHead, typename OnData>
  std::error_code cut(std::span<const std::uint8_t> bytes, OnHead on_head, OnData on_data) {
    while (!bytes.empty()) {
      if (left_ != 0) {
        const std::size_t n = std::min(left_, bytes.size());
        left_ -= n;
        on_data(bytes.first(n), left_ == 0);
        bytes = bytes.subspan(n);
        continue;
      }
      const std::uint8_t* head = bytes.data();
      if (have_ == 0 && bytes.size() >= kHeadSize) {
        bytes = bytes.subspan(kHeadSize);
      } else {
        const std::size_t n = std::min(kHeadSize - have_, bytes.size());
        std::memcpy(partial_.data() + have_, bytes.data(), n);
        have_ += n;
        bytes = bytes.subspan(n);
        if (have_ < kHeadSize) return {};
        have_ = 0;
        head = partial_.data();
      }
      if (const std::error_code error = on_head(head, left_)) return error;
    }
    return {};
  }

 private:
  std::array<std::uint8_t, kHeadSize> partial_;  // the beginning of a head
  std::size_t have_ = 0;
  std::size_t left_ = 0;  // bytes of data still to come
};

}  // namespace winze::mux
