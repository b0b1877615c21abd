// Public keys and the signatures they verify: RSA (PKCS#1 v1.5 and PSS), ECDSA over P-256, P-384 and P-521, Ed25519.
//
// Base documents: RFC 8017 (RSA), RFC 5758 and SEC 1 (ECDSA), RFC 8032 (Ed25519); RFC 7427 and RFC 8420 for how IKEv2
// names them; RFC 5280 section 4.1.2.7 for keys as SubjectPublicKeyInfo.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "winze/crypto/mac.h"

namespace winze {

enum class SignatureScheme : std::uint8_t {
  kRsaPkcs1Sha1,  // legacy: SHA-1 is broken for signatures
  kRsaPkcs1Sha256,
  kRsaPkcs1Sha384,
  kRsaPkcs1Sha512,
  kRsaPssSha256,  // MGF1 with the same hash, and a salt of its size
  kRsaPssSha384,
  kRsaPssSha512,
  kEcdsaSha256,  // the curve is the key's
  kEcdsaSha384,
  kEcdsaSha512,
  kEd25519,
};

bool is_legacy(SignatureScheme scheme) noexcept;
// "RSA-PSS with SHA-256": for messages.
std::string_view to_string(SignatureScheme scheme) noexcept;
// What is signed is this hash of the message; nullopt: the message itself (Ed25519).
std::optional<HashAlgorithm> hash_of_scheme(SignatureScheme scheme) noexcept;

// The DER AlgorithmIdentifier of a scheme (RFC 7427 appendix A, RFC 8420), and the scheme it names. Of PSS, only the
// parameters described above are known; a NULL where an absent parameter means the same is taken.
std::span<const std::uint8_t> algorithm_identifier_of(SignatureScheme scheme) noexcept;
std::optional<SignatureScheme> parse_algorithm_identifier(std::span<const std::uint8_t> der);

enum class KeyType : std::uint8_t { kRsa, kEcdsaP256, kEcdsaP384, kEcdsaP521, kEd25519 };

// A copy is cheap, and shares the key.
class PublicKey {
 public:
  // A DER SubjectPublicKeyInfo, with nothing behind it.
  static absl::StatusOr<PublicKey> parse(std::span<const std::uint8_t> spki);
  // "-----BEGIN PUBLIC KEY-----"
  static absl::StatusOr<PublicKey> parse_pem(std::string_view pem);

  KeyType type() const noexcept;
  // Of the modulus or the curve.
  unsigned bits() const noexcept;
  // DER.
  std::span<const std::uint8_t> spki() const noexcept;
  // "RSA 2048", "ECDSA P-256": for messages.
  std::string to_string() const;

  // The schemes that keys of this type can sign with, the best first. Legacy ones are among them, last.
  std::span<const SignatureScheme> schemes() const noexcept;
  bool can(SignatureScheme scheme) const noexcept;

  // Whether `signature` is the key's over the message. ECDSA's is the DER sequence of r and s.
  [[nodiscard]] bool verify(SignatureScheme scheme, std::span<const std::uint8_t> message,
                            std::span<const std::uint8_t> signature) const;

  friend bool operator==(const PublicKey& a, const PublicKey& b);

  struct State;  // of the implementation
  explicit PublicKey(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  const State& state() const noexcept { return *state_; }

 private:
  std::shared_ptr<const State> state_;
};

// ECDSA signatures as IKEv2's own methods have them (RFC 4754): r | s, each as long as a coordinate of the curve (32,
// 48 or 66 bytes). Both are empty when the input is not of the form it should be.
std::vector<std::uint8_t> ecdsa_to_fixed(std::span<const std::uint8_t> der, std::size_t coordinate_size);
std::vector<std::uint8_t> ecdsa_from_fixed(std::span<const std::uint8_t> fixed);

}  // namespace winze
