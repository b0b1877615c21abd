// Encryption without authentication, in place, for protocols that authenticate by other means: AES-CBC, AES-CTR,
// 3DES-CBC; and the AES block function alone.
//
// The key schedule is done once, in create(); nothing is allocated later. A Cipher belongs to one executor.
// Base documents: FIPS 197, NIST SP 800-38A, NIST SP 800-67.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace winze {

enum class CipherAlgorithm : std::uint8_t {
  kAesCbc,        // key 16, 24 or 32 bytes; IV 16; whole blocks of 16
  kAesCtr,        // key likewise; the IV is the first counter block; any size
  kTripleDesCbc,  // key 24 bytes; IV 8; whole blocks of 8
};

class Cipher {
 public:
  enum class Direction : std::uint8_t { kEncrypt, kDecrypt };

  // Fails when the key's size is none of the algorithm's.
  static absl::StatusOr<Cipher> create(CipherAlgorithm algorithm, std::span<const std::uint8_t> key,
                                       Direction direction);
  Cipher(Cipher&&) noexcept;
  Cipher& operator=(Cipher&&) noexcept;
  ~Cipher();

  std::size_t block_size() const noexcept;  // what `data` must be a multiple of: 16, 8 or 1
  std::size_t iv_size() const noexcept;     // 16 or 8

  // Encrypts or decrypts `data` in place, from the given IV (iv_size() bytes). False, and nothing done, when the IV or
  // the data has a wrong size.
  [[nodiscard]] bool apply(std::span<const std::uint8_t> iv, std::span<std::uint8_t> data);

 private:
  struct State;
  explicit Cipher(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

// AES on one block of 16 bytes: for protocols that build on it, and for making unpredictable IVs from a counter.
class AesBlock {
 public:
  static constexpr std::size_t kSize = 16;
  // Fails when the key has not 16, 24 or 32 bytes.
  static absl::StatusOr<AesBlock> create(std::span<const std::uint8_t> key);
  AesBlock(AesBlock&&) noexcept;
  AesBlock& operator=(AesBlock&&) noexcept;
  ~AesBlock();

  // `out` may be `in`.
  void encrypt(const std::uint8_t* in, std::uint8_t* out) const;
  void decrypt(const std::uint8_t* in, std::uint8_t* out) const;

 private:
  struct State;
  explicit AesBlock(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace winze
