#include "winze/base/random.h"

#include <cstring>

namespace winze {

std::uint64_t Random::u64() {
  std::array<std::uint8_t, 8> bytes;
  fill(bytes);
  std::uint64_t value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

std::uint64_t Random::below(std::uint64_t bound) {
  if (bound == 0) return 0;
  // Rejects the values of the last, incomplete run of `bound`, so that none is likelier than another.
  const std::uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  std::uint64_t value = u64();
  while (value >= limit) value = u64();
  return value % bound;
}

void SeededRandom::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    state_ += 0x9e3779b97f4a7c15;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    const std::size_t n = out.size() < sizeof z ? out.size() : sizeof z;
    std::memcpy(out.data(), &z, n);
    out = out.subspan(n);
  }
}

}  // namespace winze
