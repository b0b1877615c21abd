// BoringSSL's side of PublicKey.
#pragma once

#include <openssl/evp.h>

#include <vector>

#include "winze/crypto/signature.h"

namespace winze {

struct PublicKey::State {
  bssl::UniquePtr<EVP_PKEY> key;
  KeyType type = KeyType::kRsa;
  std::vector<std::uint8_t> spki;
};

// Fails for a type that is none of KeyType. A private key will do as well.
absl::StatusOr<PublicKey> wrap_public_key(bssl::UniquePtr<EVP_PKEY> key);

// Prepares a context for signing or verifying by the scheme, which must be one of the key's.
enum class SignatureUse : std::uint8_t { kSign, kVerify };
bool begin_signature(EVP_MD_CTX* context, SignatureUse use, SignatureScheme scheme, EVP_PKEY* key);

}  // namespace winze
