#include "winze/crypto/prf.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace winze {
namespace {

MacAlgorithm mac_of(PrfAlgorithm algorithm) {
  constexpr MacAlgorithm kMacs[] = {MacAlgorithm::kHmacMd5,    MacAlgorithm::kHmacSha1,   MacAlgorithm::kHmacSha256,
                                    MacAlgorithm::kHmacSha384, MacAlgorithm::kHmacSha512, MacAlgorithm::kAesXcbcMac,
                                    MacAlgorithm::kAesCmac};
  return kMacs[static_cast<std::size_t>(algorithm)];
}

constexpr std::size_t kAesKeySize = 16;

}  // namespace

std::size_t prf_size(PrfAlgorithm algorithm) noexcept { return mac_size(mac_of(algorithm)); }

bool is_fixed_key(PrfAlgorithm algorithm) noexcept {
  return algorithm == PrfAlgorithm::kAesXcbc || algorithm == PrfAlgorithm::kAesCmac;
}

absl::StatusOr<Prf> Prf::create(PrfAlgorithm algorithm, std::span<const std::uint8_t> key) {
  Secret fixed;
  if (is_fixed_key(algorithm) && key.size() != kAesKeySize) {
    fixed = Secret(kAesKeySize);
    // RFC 4615 hashes a short key as it does a long one; RFC 4434 fills it up with zeros.
    if (key.size() > kAesKeySize || algorithm == PrfAlgorithm::kAesCmac) {
      auto zero_keyed = Mac::create(mac_of(algorithm), fixed.span());
      if (!zero_keyed.ok()) return zero_keyed.status();
      zero_keyed->sum({key}, fixed.span());
    } else if (!key.empty()) {
      std::memcpy(fixed.span().data(), key.data(), key.size());
    }
    key = fixed.span();
  }
  auto mac = Mac::create(mac_of(algorithm), key);
  if (!mac.ok()) return mac.status();
  return Prf(*std::move(mac));
}

Secret Prf::sum(Mac::Parts parts) const {
  Secret out(size());
  mac_.sum(parts, out.span());
  return out;
}

bool Prf::expand(std::span<const std::uint8_t> seed, std::span<std::uint8_t> out) const {
  if (out.size() > 255 * size()) return false;
  std::uint8_t block[kMaxHashSize];
  std::span<const std::uint8_t> last;
  for (std::uint8_t counter = 1; !out.empty(); ++counter) {
    const std::uint8_t index[] = {counter};
    mac_.sum({last, seed, index}, {block, size()});
    last = {block, size()};
    const std::size_t n = std::min(out.size(), size());
    std::memcpy(out.data(), block, n);
    out = out.subspan(n);
  }
  secure_wipe(block);
  return true;
}

}  // namespace winze
