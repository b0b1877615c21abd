#include "winze/crypto/shake128.h"

#include <bit>
#include <utility>

namespace winze {
namespace {

constexpr std::uint64_t kRoundConstants[] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

// Rho and pi along the one cycle that pi makes of all lanes but the first: where a lane goes, and how far it is turned.
constexpr std::uint8_t kTargets[] = {10, 7,  11, 17, 18, 3, 5,  16, 8,  21, 24, 4,
                                     15, 23, 19, 13, 12, 2, 20, 14, 22, 9,  6,  1};
constexpr std::uint8_t kTurns[] = {1,  3,  6,  10, 15, 21, 28, 36, 45, 55, 2,  14,
                                   27, 41, 56, 8,  25, 43, 62, 18, 39, 61, 20, 44};

// Keccak-f[1600] (section 3.3). Lane (x, y) is a[x + 5 y].
void permute(std::array<std::uint64_t, 25>& a) {
  for (const std::uint64_t constant : kRoundConstants) {
    std::uint64_t parity[5];
    for (int x = 0; x < 5; ++x) parity[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    for (int x = 0; x < 5; ++x) {
      const std::uint64_t theta = parity[(x + 4) % 5] ^ std::rotl(parity[(x + 1) % 5], 1);
      for (int y = 0; y < 25; y += 5) a[x + y] ^= theta;
    }
    std::uint64_t moving = a[1];
    for (int i = 0; i < 24; ++i) moving = std::exchange(a[kTargets[i]], std::rotl(moving, kTurns[i]));
    for (int y = 0; y < 25; y += 5) {
      const std::uint64_t row[] = {a[y], a[y + 1], a[y + 2], a[y + 3], a[y + 4]};
      for (int x = 0; x < 5; ++x) a[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
    }
    a[0] ^= constant;
  }
}

}  // namespace

Shake128::Shake128(std::span<const std::uint8_t> message) {
  for (const std::uint8_t byte : message) {
    add(used_++, byte);
    if (used_ < kRate) continue;
    permute(lanes_);
    used_ = 0;
  }
  // The suffix 1111 and the padding 10*1, bits from the lowest up (sections 6.2 and 5.1).
  add(used_, 0x1f);
  add(kRate - 1, 0x80);
  used_ = kRate;
}

void Shake128::read(std::span<std::uint8_t> out) {
  for (std::uint8_t& byte : out) {
    if (used_ == kRate) {
      permute(lanes_);
      used_ = 0;
    }
    byte = static_cast<std::uint8_t>(lanes_[used_ / 8] >> 8 * (used_ % 8));
    ++used_;
  }
}

}  // namespace winze
