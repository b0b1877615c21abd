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

// Before RFC 7427 each kind of key had one method; Ed25519 has none.
std::optional<SignatureMethod> old_method(KeyType type) {
  switch (type) {
    case KeyType::kEcdsaP256:
      return SignatureMethod{kEcdsa256, SignatureScheme::kEcdsaSha256};
    case KeyType::kEcdsaP384:
      return SignatureMethod{kEcdsa384, SignatureScheme::kEcdsaSha384};
    case KeyType::kEcdsaP521:
      return SignatureMethod{kEcdsa521, SignatureScheme::kEcdsaSha512};
    case KeyType::kRsa:
      return SignatureMethod{kRsaSha1, SignatureScheme::kRsaPkcs1Sha1};
    case KeyType::kEd25519:
      break;
  }
  return std::nullopt;
}

constexpr std::string_view kWaysOut =
    "take an ECDSA certificate, or allow it: \"legacy = yes\" in the connection, or \"auth = rsa-sha1-sha256\"";

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

bool SignatureRule::allows(SignatureScheme scheme) const noexcept {
  if (schemes.empty()) return legacy || !is_legacy(scheme);
  return std::ranges::find(schemes, scheme) != schemes.end();
}

absl::StatusOr<SignatureMethod> choose_signature(const PrivateKey& key, const HashNumbers& peer,
                                                 const SignatureRule& rule) {
  if (peer.empty()) {
    const auto method = old_method(key.public_key().type());
    if (method && rule.allows(method->scheme)) return *method;
    if (method && method->method == kRsaSha1) {
      return absl::UnimplementedError("the peer, as Windows does, knows signatures of RSA keys with SHA-1 only; " +
                                      std::string(kWaysOut));
    }
    return absl::UnimplementedError("the peer does not speak RFC 7427, and takes no signature that the key may make");
  }
  const auto own = key.schemes();
  for (const SignatureScheme scheme : rule.schemes.empty() ? own : rule.schemes) {
    const bool can = std::ranges::find(own, scheme) != own.end() && rule.allows(scheme);
    if (can && std::ranges::find(peer, hash_number(scheme)) != peer.end()) return SignatureMethod{kDigital, scheme};
  }
  return absl::UnimplementedError("the peer takes no signature that the key may make");
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

namespace {

std::optional<std::pair<SignatureScheme, Bytes>> signature_of(const AuthView& auth, const PublicKey& key) {
  if (auth.method != kDigital) {
    const auto method = old_method(key.type());
    if (!method || method->method != auth.method) return std::nullopt;
    return std::pair(method->scheme, auth.data);
  }
  Reader in(auth.data);
  const std::size_t size = in.u8();
  const auto scheme = parse_algorithm_identifier(in.bytes(size));
  if (!in.ok() || !scheme) return std::nullopt;
  return std::pair(*scheme, in.rest());
}

}  // namespace

absl::Status verify_signature(const AuthView& auth, const PublicKey& key, Bytes octets, const SignatureRule& rule) {
  const auto wrong = [](const std::string& why) { return absl::UnauthenticatedError(why); };
  const auto made = signature_of(auth, key);
  if (!made || !key.can(made->first)) return wrong("its signature is of a kind that is not known, or not its key's");
  const auto [scheme, signature] = *made;
  if (!rule.allows(scheme)) {
    const std::string text = "it signs by " + std::string(to_string(scheme)) + ", which is not taken here";
    return wrong(is_legacy(scheme) ? text + "; " + std::string(kWaysOut) : text);
  }
  const bool fixed = auth.method == kEcdsa256 || auth.method == kEcdsa384 || auth.method == kEcdsa521;
  if (fixed && signature.size() != 2 * coordinate_size(key.type())) return wrong("its signature is not right");
  const bool right =
      fixed ? key.verify(scheme, octets, ecdsa_from_fixed(signature)) : key.verify(scheme, octets, signature);
  return right ? absl::OkStatus() : wrong("its signature is not right");
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

absl::Status verify_by_keys(const AuthView& auth, std::span<const CertificateView> shown,
                            std::span<const PublicKey> keys, Bytes octets, const SignatureRule& rule) {
  const auto bare = std::ranges::find(shown, kRawPublicKey, &CertificateView::encoding);
  absl::Status status = absl::UnauthenticatedError("it has shown a public key that is not known here");
  for (const PublicKey& key : keys) {
    if (bare != shown.end() && !std::ranges::equal(key.spki(), bare->data)) continue;
    status = verify_signature(auth, key, octets, rule);
    if (status.ok()) break;
  }
  return status;
}

namespace {

void write_certificate_request(PayloadWriter& out, const RemoteAuth& round) {
  if (!round.keys.empty()) write_certificate(out, PayloadType::kCertificateRequest, kRawPublicKey, {});
  if (!round.verifier) return;
  std::vector<std::uint8_t> keys;
  for (const Certificate& root : round.verifier->roots()) {
    const auto key = root.key_id();
    keys.insert(keys.end(), key.begin(), key.end());
  }
  if (!keys.empty()) write_certificate(out, PayloadType::kCertificateRequest, kX509Signature, keys);
}

}  // namespace

void write_certificate_requests(PayloadWriter& out, const Connection& connection) {
  write_certificate_request(out, connection.remote);
  for (const RemoteAuth& round : connection.further_remote) write_certificate_request(out, round);
}

}  // namespace winze::ike
