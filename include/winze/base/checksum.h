// The Internet checksum (RFC 1071), in the byte order of memory: what store() writes is right on any processor.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

namespace winze {

class InternetChecksum {
 public:
  // Pieces other than the last have an even size.
  InternetChecksum& add(std::span<const std::uint8_t> bytes) noexcept;
  // A 16-bit field in network order.
  InternetChecksum& add_field(std::uint16_t value) noexcept {
    const std::uint8_t bytes[2] = {static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
    return add(bytes);
  }
  // The sum, folded: 0xffff when `bytes` held a right checksum.
  std::uint16_t folded() const noexcept {
    std::uint64_t sum = (sum_ >> 32) + (sum_ & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return static_cast<std::uint16_t>((sum >> 16) + (sum & 0xffff));
  }
  // Writes the complement: the checksum; or the sum itself: what a device completes.
  void store(std::uint8_t* to) const noexcept {
    const auto value = static_cast<std::uint16_t>(~folded());
    std::memcpy(to, &value, sizeof value);
  }
  void store_partial(std::uint8_t* to) const noexcept {
    const std::uint16_t value = folded();
    std::memcpy(to, &value, sizeof value);
  }

 private:
  std::uint64_t sum_ = 0;
};

}  // namespace winze
