#include "kdf.h"

#include <algorithm>
#include <cstring>

#include "winze/base/secret.h"

namespace winze::vmess {
namespace {

constexpr std::size_t kBlockSize = 64;
constexpr std::size_t kDigestSize = 32;
constexpr std::size_t kLongestPath = 3;

}  // namespace

Kdf::Kdf() : mac_(*Mac::create(MacAlgorithm::kHmacSha256, as_bytes("VMess AEAD KDF"))) {}

void Kdf::hash(std::span<const Element> path, std::span<const std::uint8_t> message, std::uint8_t* out) const {
  if (path.empty()) return mac_.sum({message}, {out, kDigestSize});
  // The key in front of the message, and then in front of its hash.
  std::array<std::uint8_t, kLongestPath * kBlockSize + kDigestSize> padded{};
  const Element key = path.back();
  const auto below = path.first(path.size() - 1);
  std::copy(key.begin(), key.end(), padded.begin());
  for (std::size_t i = 0; i < kBlockSize; ++i) padded[i] ^= 0x36;
  std::memcpy(padded.data() + kBlockSize, message.data(), message.size());
  std::uint8_t inner[kDigestSize];
  hash(below, std::span(padded).first(kBlockSize + message.size()), inner);
  for (std::size_t i = 0; i < kBlockSize; ++i) padded[i] ^= 0x36 ^ 0x5c;
  std::memcpy(padded.data() + kBlockSize, inner, sizeof inner);
  hash(below, std::span(padded).first(kBlockSize + sizeof inner), out);
  secure_wipe(padded);
  secure_wipe(inner);
}

std::array<std::uint8_t, 32> Kdf::derive(std::span<const std::uint8_t> secret,
                                         std::initializer_list<Element> path) const {
  std::array<std::uint8_t, 32> out;
  hash({path.begin(), path.size()}, secret, out.data());
  return out;
}

std::array<std::uint8_t, 16> Kdf::derive_key(std::span<const std::uint8_t> secret,
                                             std::initializer_list<Element> path) const {
  const auto all = derive(secret, path);
  std::array<std::uint8_t, 16> out;
  std::copy_n(all.begin(), out.size(), out.begin());
  return out;
}

std::array<std::uint8_t, 12> Kdf::derive_nonce(std::span<const std::uint8_t> secret,
                                               std::initializer_list<Element> path) const {
  const auto all = derive(secret, path);
  std::array<std::uint8_t, 12> out;
  std::copy_n(all.begin(), out.size(), out.begin());
  return out;
}

}  // namespace winze::vmess
