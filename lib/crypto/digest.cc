#include "winze/crypto/digest.h"

#include <openssl/sha.h>

namespace winze {

std::array<std::uint8_t, 20> sha1(std::span<const std::uint8_t> bytes) {
  std::array<std::uint8_t, 20> out;
  SHA1(bytes.data(), bytes.size(), out.data());
  return out;
}

std::array<std::uint8_t, 28> sha224(std::span<const std::uint8_t> bytes) {
  std::array<std::uint8_t, 28> out;
  SHA224(bytes.data(), bytes.size(), out.data());
  return out;
}

}  // namespace winze
