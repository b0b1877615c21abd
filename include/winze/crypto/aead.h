// Authenticated encryption with associated data, in place: AES-GCM, AES-CCM, ChaCha20-Poly1305
// and, with nonces long enough to be drawn at random, XChaCha20-Poly1305.
//
// The key schedule is done once, in create(); seal() and open() allocate nothing. An Aead belongs to one executor.
// Base documents: NIST SP 800-38D (GCM), RFC 3610 (CCM), RFC 8439 (ChaCha20-Poly1305).
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace winze {

enum class AeadAlgorithm : std::uint8_t {
  kAesGcm,             // key 16, 24 or 32 bytes; nonce 12 (others are legal in GCM); tag 8 to 16
  kAesCcm,             // key 16, 24 or 32 bytes; nonce 7 to 13; tag 4 to 16, even
  kChaCha20Poly1305,   // key 32 bytes; nonce 12; tag 16
  kXChaCha20Poly1305,  // key 32 bytes; nonce 24; tag 16 (draft-irtf-cfrg-xchacha-03)
};

// Whether this processor makes AES-GCM faster than ChaCha20-Poly1305.
bool has_aes_hardware() noexcept;

class Aead {
 public:
  // Fails when a size is none of the algorithm's.
  static absl::StatusOr<Aead> create(AeadAlgorithm algorithm, std::span<const std::uint8_t> key,
                                     std::size_t tag_size = 16);
  Aead(Aead&&) noexcept;
  Aead& operator=(Aead&&) noexcept;
  ~Aead();

  std::size_t tag_size() const noexcept { return tag_size_; }

  // Goes on with another key, for protocols that have one for each packet; allocates nothing. False, and nothing done,
  // when its size is not that of the first.
  [[nodiscard]] bool rekey(std::span<const std::uint8_t> key);

  // Encrypts `data` in place and writes tag_size() bytes to `tag`, which must not overlap `data`. False only for
  // misuse: a nonce of a wrong size, or more data than the algorithm takes (2^(8*(15 - nonce)) in CCM, 2^36 elsewhere).
  [[nodiscard]] bool seal(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                          std::span<std::uint8_t> data, std::uint8_t* tag) const;
  // The same from `data` to `out`, which has room for as much, and is in the same place or does not overlap it.
  [[nodiscard]] bool seal(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                          std::span<const std::uint8_t> data, std::uint8_t* out, std::uint8_t* tag) const;
  // Decrypts `data` in place. False when the tag is not right; what `data` holds is then unspecified, but never
  // plaintext.
  [[nodiscard]] bool open(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                          std::span<std::uint8_t> data, const std::uint8_t* tag) const;
  // The same from `data` to `out`, which has room for as much, and is in the same place or does not overlap it.
  [[nodiscard]] bool open(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                          std::span<const std::uint8_t> data, std::uint8_t* out, const std::uint8_t* tag) const;

 private:
  struct State;
  explicit Aead(std::unique_ptr<State> state, std::size_t tag_size);

  std::unique_ptr<State> state_;
  std::size_t tag_size_;
};

}  // namespace winze
