#include "winze/crypto/signature.h"

#include <absl/status/status.h>
#include <openssl/bytestring.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <string>
#include <utility>

#include "key_state.h"
#include "pem.h"

namespace winze {
namespace {

const EVP_MD* digest_of(SignatureScheme scheme) {
  switch (scheme) {
    case SignatureScheme::kRsaPkcs1Sha1:
      return EVP_sha1();
    case SignatureScheme::kRsaPkcs1Sha256:
    case SignatureScheme::kRsaPssSha256:
    case SignatureScheme::kEcdsaSha256:
      return EVP_sha256();
    case SignatureScheme::kRsaPkcs1Sha384:
    case SignatureScheme::kRsaPssSha384:
    case SignatureScheme::kEcdsaSha384:
      return EVP_sha384();
    case SignatureScheme::kRsaPkcs1Sha512:
    case SignatureScheme::kRsaPssSha512:
    case SignatureScheme::kEcdsaSha512:
      return EVP_sha512();
    case SignatureScheme::kEd25519:
      return nullptr;
  }
  return nullptr;
}

bool is_pss(SignatureScheme scheme) {
  return scheme == SignatureScheme::kRsaPssSha256 || scheme == SignatureScheme::kRsaPssSha384 ||
         scheme == SignatureScheme::kRsaPssSha512;
}

std::optional<KeyType> type_of(const EVP_PKEY* key) {
  switch (EVP_PKEY_id(key)) {
    case EVP_PKEY_RSA:
      return KeyType::kRsa;
    case EVP_PKEY_ED25519:
      return KeyType::kEd25519;
    case EVP_PKEY_EC:
      switch (EC_GROUP_get_curve_name(EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key)))) {
        case NID_X9_62_prime256v1:
          return KeyType::kEcdsaP256;
        case NID_secp384r1:
          return KeyType::kEcdsaP384;
        case NID_secp521r1:
          return KeyType::kEcdsaP521;
      }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<PublicKey> wrap_public_key(bssl::UniquePtr<EVP_PKEY> key) {
  auto state = std::make_shared<PublicKey::State>();
  const auto type = type_of(key.get());
  if (!type) {
    return absl::InvalidArgumentError(
        "key: of a kind that is not known here (RSA, ECDSA P-256, P-384, P-521, Ed25519 are)");
  }
  state->type = *type;
  CBB out;
  std::uint8_t* der = nullptr;
  std::size_t size = 0;
  if (CBB_init(&out, 128) != 1 || EVP_marshal_public_key(&out, key.get()) != 1 || CBB_finish(&out, &der, &size) != 1) {
    CBB_cleanup(&out);
    ERR_clear_error();
    return absl::InvalidArgumentError("key: not a valid public key");
  }
  state->spki.assign(der, der + size);
  OPENSSL_free(der);
  state->key = std::move(key);
  return PublicKey(std::move(state));
}

bool begin_signature(EVP_MD_CTX* context, SignatureUse use, SignatureScheme scheme, EVP_PKEY* key) {
  EVP_PKEY_CTX* of_key = nullptr;
  const bool signs = use == SignatureUse::kSign;
  const auto begin = signs ? EVP_DigestSignInit : EVP_DigestVerifyInit;
  if (begin(context, &of_key, digest_of(scheme), nullptr, key) != 1) return false;
  // -1: a salt as long as the hash, and no other.
  return !is_pss(scheme) || (EVP_PKEY_CTX_set_rsa_padding(of_key, RSA_PKCS1_PSS_PADDING) == 1 &&
                             EVP_PKEY_CTX_set_rsa_pss_saltlen(of_key, -1) == 1);
}

bool is_legacy(SignatureScheme scheme) noexcept { return scheme == SignatureScheme::kRsaPkcs1Sha1; }

std::string_view to_string(SignatureScheme scheme) noexcept {
  constexpr std::string_view kNames[] = {"RSA PKCS#1 v1.5 with SHA-1",
                                         "RSA PKCS#1 v1.5 with SHA-256",
                                         "RSA PKCS#1 v1.5 with SHA-384",
                                         "RSA PKCS#1 v1.5 with SHA-512",
                                         "RSA-PSS with SHA-256",
                                         "RSA-PSS with SHA-384",
                                         "RSA-PSS with SHA-512",
                                         "ECDSA with SHA-256",
                                         "ECDSA with SHA-384",
                                         "ECDSA with SHA-512",
                                         "Ed25519"};
  return kNames[static_cast<std::size_t>(scheme)];
}

std::optional<HashAlgorithm> hash_of_scheme(SignatureScheme scheme) noexcept {
  const EVP_MD* digest = digest_of(scheme);
  if (digest == nullptr) return std::nullopt;
  switch (EVP_MD_type(digest)) {
    case NID_sha1:
      return HashAlgorithm::kSha1;
    case NID_sha256:
      return HashAlgorithm::kSha256;
    case NID_sha384:
      return HashAlgorithm::kSha384;
    default:
      return HashAlgorithm::kSha512;
  }
}

absl::StatusOr<PublicKey> PublicKey::parse(std::span<const std::uint8_t> spki) {
  CBS in;
  CBS_init(&in, spki.data(), spki.size());
  bssl::UniquePtr<EVP_PKEY> key(EVP_parse_public_key(&in));
  ERR_clear_error();
  if (!key || CBS_len(&in) != 0) return absl::InvalidArgumentError("key: not a SubjectPublicKeyInfo");
  return wrap_public_key(std::move(key));
}

absl::StatusOr<PublicKey> PublicKey::parse_pem(std::string_view pem) {
  auto bio = memory_bio(as_bytes(pem));
  bssl::UniquePtr<EVP_PKEY> key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (!key) return absl::InvalidArgumentError("key: no PEM public key found");
  return wrap_public_key(std::move(key));
}

KeyType PublicKey::type() const noexcept { return state_->type; }
unsigned PublicKey::bits() const noexcept { return static_cast<unsigned>(EVP_PKEY_bits(state_->key.get())); }
std::span<const std::uint8_t> PublicKey::spki() const noexcept { return state_->spki; }

std::string PublicKey::to_string() const {
  if (type() == KeyType::kRsa) return "RSA " + std::to_string(bits());
  if (type() == KeyType::kEd25519) return "Ed25519";
  return "ECDSA P-" + std::to_string(bits());
}

std::span<const SignatureScheme> PublicKey::schemes() const noexcept {
  using enum SignatureScheme;
  static constexpr SignatureScheme kRsa[] = {kRsaPssSha256,   kRsaPssSha384,   kRsaPssSha512, kRsaPkcs1Sha256,
                                             kRsaPkcs1Sha384, kRsaPkcs1Sha512, kRsaPkcs1Sha1};
  static constexpr SignatureScheme k256[] = {kEcdsaSha256, kEcdsaSha384, kEcdsaSha512};
  static constexpr SignatureScheme k384[] = {kEcdsaSha384, kEcdsaSha512, kEcdsaSha256};
  static constexpr SignatureScheme k521[] = {kEcdsaSha512, kEcdsaSha384, kEcdsaSha256};
  static constexpr SignatureScheme kEdwards[] = {kEd25519};
  switch (type()) {
    case KeyType::kRsa:
      return kRsa;
    case KeyType::kEcdsaP256:
      return k256;
    case KeyType::kEcdsaP384:
      return k384;
    case KeyType::kEcdsaP521:
      return k521;
    case KeyType::kEd25519:
      return kEdwards;
  }
  return {};
}

bool PublicKey::can(SignatureScheme scheme) const noexcept {
  return std::ranges::find(schemes(), scheme) != schemes().end();
}

bool PublicKey::verify(SignatureScheme scheme, std::span<const std::uint8_t> message,
                       std::span<const std::uint8_t> signature) const {
  if (!can(scheme)) return false;
  bssl::ScopedEVP_MD_CTX context;
  const bool right =
      begin_signature(context.get(), SignatureUse::kVerify, scheme, state_->key.get()) &&
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
  ERR_clear_error();
  return right;
}

bool operator==(const PublicKey& a, const PublicKey& b) { return a.state_->spki == b.state_->spki; }

std::vector<std::uint8_t> ecdsa_to_fixed(std::span<const std::uint8_t> der, std::size_t coordinate_size) {
  bssl::UniquePtr<ECDSA_SIG> parsed(ECDSA_SIG_from_bytes(der.data(), der.size()));
  ERR_clear_error();
  if (!parsed) return {};
  std::vector<std::uint8_t> out(2 * coordinate_size);
  const BIGNUM *r = nullptr, *s = nullptr;
  ECDSA_SIG_get0(parsed.get(), &r, &s);
  if (BN_bn2bin_padded(out.data(), coordinate_size, r) != 1 ||
      BN_bn2bin_padded(out.data() + coordinate_size, coordinate_size, s) != 1) {
    return {};
  }
  return out;
}

std::vector<std::uint8_t> ecdsa_from_fixed(std::span<const std::uint8_t> fixed) {
  if (fixed.empty() || fixed.size() % 2 != 0) return {};
  const std::size_t half = fixed.size() / 2;
  bssl::UniquePtr<ECDSA_SIG> parts(ECDSA_SIG_new());
  bssl::UniquePtr<BIGNUM> r(BN_bin2bn(fixed.data(), half, nullptr)), s(BN_bin2bn(fixed.data() + half, half, nullptr));
  if (ECDSA_SIG_set0(parts.get(), r.get(), s.get()) != 1) return {};
  (void)r.release();
  (void)s.release();
  std::uint8_t* der = nullptr;
  std::size_t size = 0;
  if (ECDSA_SIG_to_bytes(&der, &size, parts.get()) != 1) return {};
  bssl::UniquePtr<std::uint8_t> owned(der);
  return {der, der + size};
}

}  // namespace winze
