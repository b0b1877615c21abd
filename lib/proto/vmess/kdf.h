// VMess's key derivation: HMAC-SHA256 around HMAC-SHA256, once for each element of a path. The secret is the innermost
// message, the elements are the keys:
//
//   H0(m) = HMAC-SHA256("VMess AEAD KDF", m);  Hi(m) = HMAC by the hash function H(i-1), with the key path[i]
//   KDF(secret, path[1..n]) = Hn(secret)
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "winze/base/bytes.h"
#include "winze/crypto/mac.h"

namespace winze::vmess {

class Kdf {
 public:
  using Element = std::span<const std::uint8_t>;

  Kdf();

  // Elements of at most 64 bytes, at most three; a secret of at most 32.
  std::array<std::uint8_t, 32> derive(std::span<const std::uint8_t> secret, std::initializer_list<Element> path) const;
  std::array<std::uint8_t, 16> derive_key(std::span<const std::uint8_t> secret,
                                          std::initializer_list<Element> path) const;
  std::array<std::uint8_t, 12> derive_nonce(std::span<const std::uint8_t> secret,
                                            std::initializer_list<Element> path) const;

 private:
  void hash(std::span<const Element> path, std::span<const std::uint8_t> message, std::uint8_t* out) const;

  Mac mac_;
};

}  // namespace winze::vmess
