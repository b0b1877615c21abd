// The keys of sessions, from those of the configuration and the salt on the wire.
#pragma once

#include <cstdint>
#include <span>

#include "winze/crypto/aead.h"
#include "winze/crypto/cipher.h"
#include "winze/proto/shadowsocks/method.h"

namespace winze::shadowsocks {

inline constexpr std::size_t kTagSize = 16;
inline constexpr std::size_t kIdentitySize = 16;

// Of a stream's cipher; datagrams of 2022-blake3-chacha20-poly1305 have another.
AeadAlgorithm algorithm_of(Method method);

// Writes key_size(method) bytes. 2017: HKDF-SHA1; 2022: BLAKE3. `salt` may also be a session id of datagrams.
void derive_session_key(Method method, std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt,
                        std::span<std::uint8_t> out);
Aead session_aead(Method method, std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt);

// What encrypts the identity headers of a stream.
AesBlock identity_cipher(Method method, std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt);

}  // namespace winze::shadowsocks
