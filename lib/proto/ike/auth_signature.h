// Signatures in AUTH payloads: RFC 7427 with peers that know it, else the methods of RFC 7296 and RFC 4754.
//
//   method 14:       length(1) | AlgorithmIdentifier | signature
//   method 1:        RSA PKCS#1 v1.5 with SHA-1 (legacy)
//   methods 9 to 11: ECDSA on P-256, P-384, P-521; r | s
#pragma once

#include <absl/status/statusor.h>

#include <span>
#include <string>
#include <vector>

#include "payloads.h"
#include "winze/crypto/certificate.h"
#include "winze/crypto/private_key.h"

namespace winze::ike {

// The hashes of SIGNATURE_HASH_ALGORITHMS that a peer named; empty: it does not speak RFC 7427.
using HashNumbers = std::vector<std::uint16_t>;
HashNumbers decode_hashes(const Contents& contents);
void write_hashes(PayloadWriter& out);

struct SignatureMethod {
  std::uint8_t method = 0;
  SignatureScheme scheme{};
};
// Which schemes a connection lets an end sign with.
struct SignatureRule {
  std::span<const SignatureScheme> schemes;  // the best first; empty: any that is strong
  bool legacy = false;                       // SHA-1 too

  bool allows(SignatureScheme scheme) const noexcept;
};

// How `key` signs for this peer; an error says what is the matter.
absl::StatusOr<SignatureMethod> choose_signature(const PrivateKey& key, const HashNumbers& peer,
                                                 const SignatureRule& rule);
std::vector<std::uint8_t> encode_signature(const SignatureMethod& method, const PublicKey& key, Bytes signature);
absl::Status verify_signature(const AuthView& auth, const PublicKey& key, Bytes octets, const SignatureRule& rule);

// The chain that a peer showed, up to a root of ours, and for the identity that it claims; else why not.
absl::StatusOr<Certificate> verify_chain(std::span<const CertificateView> shown, const Identity& identity,
                                         const CertificateVerifier& verifier, const ChainPolicy& policy);
// The peer has one of these bare keys: the one that it shows, if it shows any (RFC 7670).
absl::Status verify_by_keys(const AuthView& auth, std::span<const CertificateView> shown,
                            std::span<const PublicKey> keys, Bytes octets, const SignatureRule& rule);
// CERTREQ: the hashes of the keys of the roots, for each round of the peer's authentication; nothing where bare keys
// are known.
void write_certificate_requests(PayloadWriter& out, const Connection& connection);

inline constexpr std::uint8_t kX509Signature = 4, kRawPublicKey = 15;  // certificate encodings

}  // namespace winze::ike
