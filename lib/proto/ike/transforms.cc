#include "transforms.h"

#include <algorithm>
#include <array>

#include "winze/crypto/key_exchange.h"

namespace winze::ike {
namespace {

constexpr TransformRow encryption(std::string_view name, std::uint16_t number, std::uint16_t bits, Use use = Use::kBoth,
                                  bool legacy = false) {
  return {name, {TransformType::kEncryption, number, bits}, use, legacy};
}
constexpr TransformRow prf(std::string_view name, std::uint16_t number, bool legacy = false) {
  return {name, {TransformType::kPrf, number, 0}, Use::kBoth, legacy};
}
constexpr TransformRow integrity(std::string_view name, std::uint16_t number, bool legacy = false) {
  return {name, {TransformType::kIntegrity, number, 0}, Use::kBoth, legacy};
}
constexpr TransformRow group(std::string_view name, std::uint16_t number, bool legacy = false) {
  return {name, {TransformType::kKeyExchange, number, 0}, Use::kBoth, legacy};
}

constexpr TransformRow kRows[] = {
    encryption("aes256gcm16", id::kAesGcm16, 256),
    encryption("aes192gcm16", id::kAesGcm16, 192),
    encryption("aes128gcm16", id::kAesGcm16, 128),
    encryption("aes256gcm12", id::kAesGcm12, 256),
    encryption("aes192gcm12", id::kAesGcm12, 192),
    encryption("aes128gcm12", id::kAesGcm12, 128),
    encryption("aes256gcm8", id::kAesGcm8, 256),
    encryption("aes192gcm8", id::kAesGcm8, 192),
    encryption("aes128gcm8", id::kAesGcm8, 128),
    encryption("aes256ccm16", id::kAesCcm16, 256),
    encryption("aes192ccm16", id::kAesCcm16, 192),
    encryption("aes128ccm16", id::kAesCcm16, 128),
    encryption("aes256ccm12", id::kAesCcm12, 256),
    encryption("aes192ccm12", id::kAesCcm12, 192),
    encryption("aes128ccm12", id::kAesCcm12, 128),
    encryption("aes256ccm8", id::kAesCcm8, 256),
    encryption("aes192ccm8", id::kAesCcm8, 192),
    encryption("aes128ccm8", id::kAesCcm8, 128),
    encryption("chacha20poly1305", id::kChaCha20Poly1305, 0),
    encryption("aes256", id::kAesCbc, 256),
    encryption("aes192", id::kAesCbc, 192),
    encryption("aes128", id::kAesCbc, 128),
    encryption("aes256ctr", id::kAesCtr, 256),
    encryption("aes192ctr", id::kAesCtr, 192),
    encryption("aes128ctr", id::kAesCtr, 128),
    encryption("null", id::kNull, 0, Use::kEspOnly),
    encryption("aes256gmac", id::kNullAesGmac, 256, Use::kEspOnly),
    encryption("aes192gmac", id::kNullAesGmac, 192, Use::kEspOnly),
    encryption("aes128gmac", id::kNullAesGmac, 128, Use::kEspOnly),
    encryption("3des", id::kTripleDes, 0, Use::kBoth, true),
    integrity("sha256", id::kHmacSha256),
    integrity("sha384", id::kHmacSha384),
    integrity("sha512", id::kHmacSha512),
    integrity("sha1", id::kHmacSha1),
    integrity("aesxcbc", id::kAesXcbc),
    integrity("aescmac", id::kAesCmac),
    integrity("md5", id::kHmacMd5, true),
    {"sha256_96", {TransformType::kIntegrity, id::kHmacSha256Cut, 0}, Use::kEspOnly, true},
    prf("prfsha256", id::kPrfHmacSha256),
    prf("prfsha384", id::kPrfHmacSha384),
    prf("prfsha512", id::kPrfHmacSha512),
    prf("prfsha1", id::kPrfHmacSha1),
    prf("prfaesxcbc", id::kPrfAesXcbc),
    prf("prfaescmac", id::kPrfAesCmac),
    prf("prfmd5", id::kPrfHmacMd5, true),
    group("x25519", 31),
    group("ecp256", 19),
    group("ecp384", 20),
    group("ecp521", 21),
    group("modp2048", 14),
    group("modp3072", 15),
    group("modp4096", 16),
    group("modp6144", 17),
    group("modp8192", 18),
    group("mlkem768", 36),
    group("mlkem1024", 37),
    group("modp1536", 5, true),
    group("modp1024", 2, true),
    group("none", id::kNoKeyExchange),
    {"esn", {TransformType::kEsn, id::kEsn, 0}, Use::kEspOnly},
    {"noesn", {TransformType::kEsn, id::kNoEsn, 0}, Use::kEspOnly},
    // Other names for the same.
    encryption("aes", id::kAesCbc, 128),
    encryption("aes256gcm", id::kAesGcm16, 256),
    encryption("aes192gcm", id::kAesGcm16, 192),
    encryption("aes128gcm", id::kAesGcm16, 128),
    encryption("aes256gcm128", id::kAesGcm16, 256),
    encryption("aes192gcm128", id::kAesGcm16, 192),
    encryption("aes128gcm128", id::kAesGcm16, 128),
    encryption("aes256gcm96", id::kAesGcm12, 256),
    encryption("aes128gcm96", id::kAesGcm12, 128),
    encryption("aes256gcm64", id::kAesGcm8, 256),
    encryption("aes128gcm64", id::kAesGcm8, 128),
    encryption("aes256ccm", id::kAesCcm16, 256),
    encryption("aes128ccm", id::kAesCcm16, 128),
    integrity("sha", id::kHmacSha1),
    integrity("sha2_256", id::kHmacSha256),
    integrity("sha2_384", id::kHmacSha384),
    integrity("sha2_512", id::kHmacSha512),
    group("curve25519", 31),
};

// A key exchange is listed once, and may stand under each of its eight types.
TransformType listed_type(TransformType type) noexcept {
  return type >= TransformType::kAdditionalKeyExchange1 && type <= TransformType::kAdditionalKeyExchange7
             ? TransformType::kKeyExchange
             : type;
}

}  // namespace

std::span<const TransformRow> transform_rows() noexcept { return kRows; }

const TransformRow* row_of(const Transform& transform) noexcept {
  Transform listed = transform;
  listed.type = listed_type(transform.type);
  const auto found = std::ranges::find(kRows, listed, &TransformRow::transform);
  return found == std::end(kRows) ? nullptr : found;
}

bool is_legacy(const Transform& transform) noexcept {
  const TransformRow* const row = row_of(transform);
  return row != nullptr && row->legacy;
}

bool is_supported(const Transform& transform) noexcept {
  if (row_of(transform) == nullptr) return false;
  if (listed_type(transform.type) != TransformType::kKeyExchange || transform.id == id::kNoKeyExchange) return true;
  return check_key_exchange(static_cast<KeyExchangeMethod>(transform.id)).ok();
}

bool is_aead(const Transform& encryption) noexcept {
  return (encryption.id >= id::kAesCcm8 && encryption.id <= id::kNullAesGmac) || encryption.id == id::kChaCha20Poly1305;
}

std::optional<EncryptionChoice> encryption_of(const Transform& transform) noexcept {
  switch (transform.id) {
    case id::kTripleDes:
      return EncryptionChoice{esp::Encryption::kTripleDesCbc};
    case id::kNull:
      return EncryptionChoice{esp::Encryption::kNull};
    case id::kAesCbc:
      return EncryptionChoice{esp::Encryption::kAesCbc};
    case id::kAesCtr:
      return EncryptionChoice{esp::Encryption::kAesCtr};
    case id::kAesCcm8:
      return EncryptionChoice{esp::Encryption::kAesCcm, 8};
    case id::kAesCcm12:
      return EncryptionChoice{esp::Encryption::kAesCcm, 12};
    case id::kAesCcm16:
      return EncryptionChoice{esp::Encryption::kAesCcm, 16};
    case id::kAesGcm8:
      return EncryptionChoice{esp::Encryption::kAesGcm, 8};
    case id::kAesGcm12:
      return EncryptionChoice{esp::Encryption::kAesGcm, 12};
    case id::kAesGcm16:
      return EncryptionChoice{esp::Encryption::kAesGcm, 16};
    case id::kNullAesGmac:
      return EncryptionChoice{esp::Encryption::kAesGmac, 16};
    case id::kChaCha20Poly1305:
      return EncryptionChoice{esp::Encryption::kChaCha20Poly1305, 16};
    default:
      return std::nullopt;
  }
}

std::optional<esp::Integrity> integrity_of(std::uint16_t transform_id) noexcept {
  switch (transform_id) {
    case id::kHmacMd5:
      return esp::Integrity::kHmacMd5_96;
    case id::kHmacSha1:
      return esp::Integrity::kHmacSha1_96;
    case id::kAesXcbc:
      return esp::Integrity::kAesXcbc_96;
    case id::kAesCmac:
      return esp::Integrity::kAesCmac_96;
    case id::kHmacSha256:
      return esp::Integrity::kHmacSha2_256_128;
    case id::kHmacSha384:
      return esp::Integrity::kHmacSha2_384_192;
    case id::kHmacSha512:
      return esp::Integrity::kHmacSha2_512_256;
    case id::kHmacSha256Cut:
      return esp::Integrity::kHmacSha2_256_96;
    default:
      return std::nullopt;
  }
}

std::optional<PrfAlgorithm> prf_of(std::uint16_t transform_id) noexcept {
  switch (transform_id) {
    case id::kPrfHmacMd5:
      return PrfAlgorithm::kHmacMd5;
    case id::kPrfHmacSha1:
      return PrfAlgorithm::kHmacSha1;
    case id::kPrfHmacSha256:
      return PrfAlgorithm::kHmacSha256;
    case id::kPrfHmacSha384:
      return PrfAlgorithm::kHmacSha384;
    case id::kPrfHmacSha512:
      return PrfAlgorithm::kHmacSha512;
    case id::kPrfAesXcbc:
      return PrfAlgorithm::kAesXcbc;
    case id::kPrfAesCmac:
      return PrfAlgorithm::kAesCmac;
    default:
      return std::nullopt;
  }
}

}  // namespace winze::ike
