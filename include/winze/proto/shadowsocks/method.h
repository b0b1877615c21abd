// Shadowsocks' methods, and the keys that their passwords stand for.
//
//   name (and aliases)                                    key = salt   cipher
//   aes-128-gcm (aead_aes_128_gcm)                        16           AES-GCM
//   aes-256-gcm (aead_aes_256_gcm)                        32           AES-GCM
//   chacha20-ietf-poly1305 (chacha20-poly1305)            32           ChaCha20-Poly1305
//   xchacha20-ietf-poly1305 (xchacha20-poly1305)          32           XChaCha20-Poly1305
//   2022-blake3-aes-128-gcm, 2022-blake3-aes-256-gcm      16, 32       AES-GCM
//   2022-blake3-chacha20-poly1305                         32           ChaCha20-Poly1305; for datagrams
//   XChaCha20-Poly1305
//
// The first four are the AEAD protocol of 2017, the others SIP022. What came before (stream ciphers, "none") can be
// read or forged by others, and is not served.
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "winze/base/secret.h"

namespace winze::shadowsocks {

enum class Method : std::uint8_t {
  kAes128Gcm,
  kAes256Gcm,
  kChaCha20Poly1305,
  kXChaCha20Poly1305,
  k2022Aes128Gcm,
  k2022Aes256Gcm,
  k2022ChaCha20Poly1305,
};

// By its name or an alias, in any case.
std::optional<Method> parse_method(std::string_view name);
std::string_view name_of(Method method);
// The names, for messages: "aes-128-gcm, aes-256-gcm, ...".
std::string_view method_names();

constexpr bool is_2022(Method method) { return method >= Method::k2022Aes128Gcm; }
// Whether users can be told apart by identity headers (SIP023): with the AES methods of 2022.
constexpr bool has_identities(Method method) { return is_2022(method) && method != Method::k2022ChaCha20Poly1305; }
// Bytes of its keys, and of its salts.
constexpr std::size_t key_size(Method method) {
  return method == Method::kAes128Gcm || method == Method::k2022Aes128Gcm ? 16 : 32;
}
inline constexpr std::size_t kMaxKeySize = 32;

// What a client has.
struct Keys {
  Method method = Method::kAes128Gcm;
  std::vector<Secret> identity;  // of the servers on the way, the first one's first (SIP023's iPSKs); mostly none
  Secret user;                   // what encrypts the session
};

// The key of a password. 2017: any text but an empty one. 2022: Base64 of exactly as many bytes as the key has; several
// with ':' between them are identity keys, and the user's last. Errors do not show the password.
absl::StatusOr<Keys> parse_keys(Method method, std::string_view password);

// By what a user's key is named in identity headers: the first half of its BLAKE3 hash.
using KeyName = std::array<std::uint8_t, 16>;
KeyName name_of_key(std::span<const std::uint8_t> key);

}  // namespace winze::shadowsocks
