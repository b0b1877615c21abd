// Private keys, wherever they are: in memory, in a PKCS#11 token, in a phone's key store.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "winze/base/secret.h"
#include "winze/crypto/signature.h"

namespace winze {

// What a host implements for a key that does not leave its store.
class PrivateKey {
 public:
  using SignHandler = absl::AnyInvocable<void(absl::StatusOr<std::vector<std::uint8_t>> signature)>;

  virtual ~PrivateKey() = default;
  virtual const PublicKey& public_key() const = 0;
  // What it can sign with, the best first: those of its type, unless the store can do less.
  virtual std::span<const SignatureScheme> schemes() const { return public_key().schemes(); }
  // Signs, and calls `done` once: before this function returns, or later, on the executor of whoever called it. The
  // message is valid until this function returns. ECDSA signatures are DER. Several may be under way at a time.
  virtual void sign(SignatureScheme scheme, std::span<const std::uint8_t> message, SignHandler done) = 0;
};
using PrivateKeyPtr = std::shared_ptr<PrivateKey>;

// A key in memory, from PEM (PKCS#8, PKCS#1, SEC 1; the first two also encrypted) or DER of the same kinds. It signs
// before sign() returns, and may be used from any thread.
absl::StatusOr<PrivateKeyPtr> parse_private_key(std::span<const std::uint8_t> pem_or_der,
                                                std::string_view passphrase = {});
inline absl::StatusOr<PrivateKeyPtr> parse_private_key(const Secret& pem_or_der, std::string_view passphrase = {}) {
  return parse_private_key(pem_or_der.span(), passphrase);
}

}  // namespace winze
