// The algorithms of an ESP or AH security association, and their keys.
//
//   encryption           RFC          key material                    IV on the wire    ICV
//   kAesGcm              4106, 8750   AES key, then 4 bytes of salt   8, implicit: 0    16, 12, 8
//   kAesCcm              4309, 8750   AES key, then 3 bytes of salt   8, implicit: 0    16, 12, 8
//   kChaCha20Poly1305    7634, 8750   32 bytes, then 4 of salt        8, implicit: 0    16
//   kAesGmac             4543         AES key, then 4 bytes of salt   8                 16, encrypts nothing
//   kAesCbc              3602         AES key                         16                by `integrity`
//   kAesCtr              3686         AES key, then 4 bytes of nonce  8                 by `integrity`
//   kTripleDesCbc        2451         24 bytes                        8                 by `integrity`, legacy
//   kNull                2410         none                            none              by `integrity`
//
// An AES key has 16, 24 or 32 bytes. Key material is laid out as IKE derives it (RFC 4106 section 8.1).
#pragma once

#include <cstddef>
#include <cstdint>

#include "winze/base/secret.h"

namespace winze::esp {

enum class Encryption : std::uint8_t {
  kNull,
  kAesGcm,
  kAesCcm,
  kChaCha20Poly1305,
  kAesGmac,
  kAesCbc,
  kAesCtr,
  kTripleDesCbc,
};

// The number behind the name is the size of the ICV in bits.
enum class Integrity : std::uint8_t {
  kNone,              // the encryption authenticates
  kHmacSha1_96,       // RFC 2404; key 20 bytes
  kHmacSha2_256_128,  // RFC 4868; key 32 bytes
  kHmacSha2_384_192,  // RFC 4868; key 48 bytes
  kHmacSha2_512_256,  // RFC 4868; key 64 bytes
  kAesXcbc_96,        // RFC 3566; key 16 bytes
  kAesCmac_96,        // RFC 4494; key 16 bytes
  kHmacMd5_96,        // RFC 2403; key 16 bytes; legacy
  kHmacSha2_256_96,   // a draft's cut, which old Linux and Android kernels use; key 32 bytes; legacy
};

struct Algorithms {
  Encryption encryption = Encryption::kAesGcm;
  Integrity integrity = Integrity::kNone;
  std::size_t icv_size = 16;  // of an AEAD; the others' is fixed
  bool implicit_iv = false;   // RFC 8750: the sequence number is the IV, and does not travel
  // Allows what nobody should choose today: 3DES, MD5, the cut of 96 bits. With it an inbound SA
  // of kHmacSha2_256_128 also takes the cut of 96 bits, until a packet with a whole ICV has come.
  bool legacy = false;
  Secret encryption_key;
  Secret integrity_key;
};

// Key material of one direction, in bytes, for what IKE has to derive. `aes_key_size`: 16, 24 or 32.
std::size_t encryption_key_size(Encryption encryption, std::size_t aes_key_size) noexcept;
std::size_t integrity_key_size(Integrity integrity) noexcept;
// Whether the encryption also authenticates, and so goes with Integrity::kNone alone.
bool is_aead(Encryption encryption) noexcept;

}  // namespace winze::esp
