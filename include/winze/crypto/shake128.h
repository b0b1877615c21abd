// SHAKE128 (FIPS 202 section 6.2), a hash function whose output has no end. BoringSSL has it, but does not export it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace winze {

class Shake128 {
 public:
  explicit Shake128(std::span<const std::uint8_t> message);

  // The next bytes of the output.
  void read(std::span<std::uint8_t> out);

 private:
  static constexpr std::size_t kRate = 168;

  void add(std::size_t at, std::uint8_t byte) { lanes_[at / 8] ^= std::uint64_t{byte} << 8 * (at % 8); }

  std::array<std::uint64_t, 25> lanes_{};
  std::size_t used_ = 0;  // bytes of this block
};

}  // namespace winze
