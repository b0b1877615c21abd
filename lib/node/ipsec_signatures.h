// The words of swanctl.conf's `auth` for how a peer may sign, and how strong the keys of its certificates have to be:
// "pubkey", "rsa-3072-sha256-sha384", "rsa/pss-sha256", "ecdsa-384-sha384", "rsa-2048-sha256-ecdsa-256-sha256",
// "ed25519"; behind "ike:" only for IKE's own signature.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>
#include <vector>

#include "winze/crypto/signature.h"

namespace winze::node {

struct SignatureLimits {
  std::vector<SignatureScheme> schemes;        // of IKE's signature, the best first; empty: any
  std::vector<SignatureScheme> chain_schemes;  // of the certificates; empty: any
  unsigned min_rsa_bits = 0, min_ecdsa_bits = 0;
};

// Fails with a sentence that names the word that is none.
absl::StatusOr<SignatureLimits> parse_signatures(std::string_view text);

}  // namespace winze::node
