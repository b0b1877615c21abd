#include "proto/shadowsocks/session_key.h"

#include <array>

#include "winze/base/secret.h"
#include "winze/crypto/blake3.h"
#include "winze/crypto/hkdf.h"

namespace winze::shadowsocks {

AeadAlgorithm algorithm_of(Method method) {
  switch (method) {
    case Method::kChaCha20Poly1305:
    case Method::k2022ChaCha20Poly1305:
      return AeadAlgorithm::kChaCha20Poly1305;
    case Method::kXChaCha20Poly1305:
      return AeadAlgorithm::kXChaCha20Poly1305;
    default:
      return AeadAlgorithm::kAesGcm;
  }
}

void derive_session_key(Method method, std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt,
                        std::span<std::uint8_t> out) {
  if (is_2022(method)) {
    blake3_derive_key("shadowsocks 2022 session subkey", {key, salt}, out);
  } else {
    hkdf_sha1(key, salt, "ss-subkey", out);
  }
}

// The key has one of the algorithm's sizes, so that creating cannot fail.
Aead session_aead(Method method, std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt) {
  std::array<std::uint8_t, kMaxKeySize> derived;
  const std::span<std::uint8_t> out(derived.data(), key_size(method));
  derive_session_key(method, key, salt, out);
  Aead aead = *Aead::create(algorithm_of(method), out);
  secure_wipe(derived);
  return aead;
}

AesBlock identity_cipher(Method method, std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt) {
  std::array<std::uint8_t, kMaxKeySize> derived;
  const std::span<std::uint8_t> out(derived.data(), key_size(method));
  blake3_derive_key("shadowsocks 2022 identity subkey", {key, salt}, out);
  AesBlock cipher = *AesBlock::create(out);
  secure_wipe(derived);
  return cipher;
}

}  // namespace winze::shadowsocks
