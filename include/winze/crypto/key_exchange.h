// Key exchange as IKE numbers it: Diffie-Hellman over primes and curves, and ML-KEM, behind one interface.
//
//   initiator: auto ours = KeyExchange::create(method, random);   send ours->public_value()
//   responder: auto answer = answer_key_exchange(method, received, random);   send answer->public_value
//   initiator: auto shared = ours->derive(received);   shared == answer->shared
//
// A KEM is not symmetric (the responder encapsulates to the initiator's key), so the responder has a function of its
// own; with Diffie-Hellman it makes a key pair and derives at once.
//
// What the initiator and any half of Diffie-Hellman draw comes from `random`; only the encapsulation of a KEM draws by
// itself, from the system.
//
// What a peer sends is checked as RFC 6989 asks before anything is computed from it: the exact size; for primes,
// 1 < value < p - 1; a point on the curve and not at infinity; for X25519 a result that is not all zeros (RFC 7748
// section 6.1); for ML-KEM the canonical form (FIPS 203 section 7.2). Secrets are wiped, and handled in constant time.
//
// Wire forms: RFC 7296 section 3.4 (primes, left-padded to the size of p), RFC 5903 section 7 (x | y, and x alone as
// the shared secret), RFC 8031 (X25519), draft-ietf-ipsecme-ikev2-mlkem (encapsulation key, ciphertext).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "winze/base/random.h"
#include "winze/base/secret.h"

namespace winze {

// IANA "Transform Type 4 - Key Exchange Method Transform IDs".
enum class KeyExchangeMethod : std::uint16_t {
  kModp1024 = 2,  // legacy
  kModp1536 = 5,  // legacy
  kModp2048 = 14,
  kModp3072 = 15,
  kModp4096 = 16,
  kModp6144 = 17,
  kModp8192 = 18,
  kEcp256 = 19,
  kEcp384 = 20,
  kEcp521 = 21,
  kX25519 = 31,
  kMlKem768 = 36,  // both need a BoringSSL that has them: openssl/mlkem.h, since late 2024
  kMlKem1024 = 37,
};

// Why the method cannot be used here: an unknown number, or one that the linked BoringSSL lacks. Ok otherwise. Legacy
// methods are ok: who asks decides about them.
absl::Status check_key_exchange(KeyExchangeMethod method);
// Too weak to be used unless asked for by name: kModp1024, kModp1536.
bool is_legacy(KeyExchangeMethod method) noexcept;
bool is_kem(KeyExchangeMethod method) noexcept;
// Bytes of the public value that the initiator and the responder send; they differ for a KEM. 0: unknown method.
std::size_t initiator_value_size(KeyExchangeMethod method) noexcept;
std::size_t responder_value_size(KeyExchangeMethod method) noexcept;

// The initiator's half, or either half of a Diffie-Hellman exchange.
class KeyExchange {
 public:
  static absl::StatusOr<std::unique_ptr<KeyExchange>> create(KeyExchangeMethod method, Random& random);
  virtual ~KeyExchange() = default;

  KeyExchangeMethod method() const noexcept { return method_; }
  // What to send; lives as long as this object.
  std::span<const std::uint8_t> public_value() const noexcept { return public_value_; }
  // The shared secret. kInvalidArgument when the peer's value is not a valid one of this method.
  virtual absl::StatusOr<Secret> derive(std::span<const std::uint8_t> peer_value) const = 0;

 protected:
  explicit KeyExchange(KeyExchangeMethod method) : method_(method) {}

  std::vector<std::uint8_t> public_value_;

 private:
  KeyExchangeMethod method_;
};

struct KeyExchangeAnswer {
  std::vector<std::uint8_t> public_value;
  Secret shared;
};
// The responder's whole part: kInvalidArgument as in derive().
absl::StatusOr<KeyExchangeAnswer> answer_key_exchange(KeyExchangeMethod method,
                                                      std::span<const std::uint8_t> peer_value, Random& random);

}  // namespace winze
