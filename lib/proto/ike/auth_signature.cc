#include "auth_signature.h"

#include <absl/status/status.h>

#include <algorithm>

namespace winze::ike {
namespace {

constexpr std::uint8_t kRsaSha1 = 1, kEcdsa256 = 9, kEcdsa384 = 10, kEcdsa521 = 11, kDigital = 14;
// RFC 7427 section 7, RFC 8420.
constexpr std::uint16_t kSha1 = 1, kSha256 = 2, kSha384 = 3, kSha512 = 4, kIdentity = 5;

std::uint16_t hash_number(SignatureScheme scheme) {
  const auto hash = hash_of_scheme(scheme);
  if (!hash) return kIdentity;
  switch (*hash) {
    case HashAlgorithm::kSha256:
      return kSha256;
    case HashAlgorithm::kSha384:
      return kSha384;
    case HashAlgorithm::kSha512:
      return kSha512;
    default:
      return kSha1;
  }
}

std::optional<SignatureMethod> old_method(KeyType type, bool legacy) {
  switch (type) {
    case KeyType::kEcdsaP256:
      return SignatureMethod{kEcdsa256, SignatureScheme::kEcdsaSha256};
    case KeyType::kEcdsaP384:
      return SignatureMethod{kEcdsa384, SignatureScheme::kEcdsaSha384};
    case KeyType::kEcdsaP521:
      return SignatureMethod{kEcdsa521, SignatureScheme::kEcdsaSha512};
    case KeyType::kRsa:
      if (legacy) return SignatureMethod{kRsaSha1, SignatureScheme::kRsaPkcs1Sha1};
      break;
    case KeyType::kEd25519:
      break;
  }
  return std::nullopt;
}

std::size_t coordinate_size(KeyType type) {
  return type == KeyType::kEcdsaP256 ? 32 : type == KeyType::kEcdsaP384 ? 48 : 66;
}

}  // namespace

HashNumbers decode_hashes(const Contents& contents) {
  HashNumbers hashes;
  const NotifyView* const notify = contents.find(notify::kSignatureHashAlgorithms);
  if (notify == nullptr) return hashes;
  Reader in(notify->data);
  while (in.remaining() >= 2) hashes.push_back(in.u16());
  return hashes;
}

void write_hashes(PayloadWriter& out) {
  std::uint8_t numbers[8];
  std::size_t at = 0;
  for (const std::uint16_t hash : {kSha256, kSha384, kSha512, kIdentity}) {
    store_u16(numbers + at, hash);
    at += 2;
  }
  write_notify(out, notify::kSignatureHashAlgorithms, numbers);
}

std::optional<SignatureMethod> choose_signature(const PrivateKey& key, const HashNumbers& peer, bool legacy) {
  if (peer.empty()) return old_method(key.public_key().type(), legacy);
  for (const SignatureScheme scheme : key.schemes()) {
    if (is_legacy(scheme) && !legacy) continue;
    if (std::ranges::find(peer, hash_number(scheme)) != peer.end()) return SignatureMethod{kDigital, scheme};
  }
  return std::nullopt;
}

std::vector<std::uint8_t> encode_signature(const SignatureMethod& method, const PublicKey& key, Bytes signature) {
  if (method.method == kEcdsa256 || method.method == kEcdsa384 || method.method == kEcdsa521) {
    return ecdsa_to_fixed(signature, coordinate_size(key.type()));
  }
  std::vector<std::uint8_t> data;
  if (method.method == kDigital) {
    const auto identifier = algorithm_identifier_of(method.scheme);
    data.push_back(static_cast<std::uint8_t>(identifier.size()));
    data.insert(data.end(), identifier.begin(), identifier.end());
  }
  data.insert(data.end(), signature.begin(), signature.end());
  return data;
}

bool verify_signature(const AuthView& auth, const PublicKey& key, Bytes octets, bool legacy) {
  if (auth.method == kDigital) {
    Reader in(auth.data);
    const std::size_t size = in.u8();
    const auto scheme = parse_algorithm_identifier(in.bytes(size));
    if (!in.ok() || !scheme || (is_legacy(*scheme) && !legacy)) return false;
    return key.can(*scheme) && key.verify(*scheme, octets, in.rest());
  }
  const auto method = old_method(key.type(), legacy);
  if (!method || method->method != auth.method) return false;
  if (auth.method == kRsaSha1) return key.verify(method->scheme, octets, auth.data);
  if (auth.data.size() != 2 * coordinate_size(key.type())) return false;
  return key.verify(method->scheme, octets, ecdsa_from_fixed(auth.data));
}

absl::StatusOr<Certificate> verify_chain(std::span<const CertificateView> shown, const Identity& identity,
                                         const CertificateVerifier& verifier, const ChainPolicy& policy) {
  std::vector<Certificate> presented;
  for (const CertificateView& view : shown) {
    if (view.encoding != kX509Signature) continue;
    auto certificate = Certificate::parse(view.data);
    if (!certificate.ok()) return certificate.status();
    presented.push_back(*std::move(certificate));
  }
  if (presented.empty()) return absl::UnauthenticatedError("it has shown no certificate");
  const auto chain = verifier.verify(presented, policy);
  if (!chain.ok()) return chain.status();
  const auto kind = name_kind_of(identity.type);
  if (!kind || !chain->front().is_for(*kind, identity.bytes)) {
    return absl::UnauthenticatedError("its certificate is for " + chain->front().names_text());
  }
  return chain->front();
}

void write_certificate_request(PayloadWriter& out, const CertificateVerifier& verifier) {
  std::vector<std::uint8_t> keys;
  for (const Certificate& root : verifier.roots()) {
    const auto key = root.key_id();
    keys.insert(keys.end(), key.begin(), key.end());
  }
  if (!keys.empty()) write_certificate(out, PayloadType::kCertificateRequest, kX509Signature, keys);
}

}  // namespace winze::ike
