// The transforms that this library can name, and those it can use.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "winze/crypto/prf.h"
#include "winze/proto/esp/algorithms.h"
#include "winze/proto/ike/proposal.h"

namespace winze::ike {

// IANA, "Internet Key Exchange Version 2 (IKEv2) Parameters".
namespace id {
inline constexpr std::uint16_t kTripleDes = 3, kNull = 11, kAesCbc = 12, kAesCtr = 13, kAesCcm8 = 14, kAesCcm12 = 15,
                               kAesCcm16 = 16, kAesGcm8 = 18, kAesGcm12 = 19, kAesGcm16 = 20, kNullAesGmac = 21,
                               kChaCha20Poly1305 = 28;
inline constexpr std::uint16_t kPrfHmacMd5 = 1, kPrfHmacSha1 = 2, kPrfAesXcbc = 4, kPrfHmacSha256 = 5,
                               kPrfHmacSha384 = 6, kPrfHmacSha512 = 7, kPrfAesCmac = 8;
inline constexpr std::uint16_t kHmacMd5 = 1, kHmacSha1 = 2, kAesXcbc = 5, kAesCmac = 8, kHmacSha256 = 12,
                               kHmacSha384 = 13, kHmacSha512 = 14, kHmacSha256Cut = 252;
inline constexpr std::uint16_t kNoKeyExchange = 0;
inline constexpr std::uint16_t kNoEsn = 0, kEsn = 1;
}  // namespace id

// Where a transform may be used.
enum class Use : std::uint8_t { kBoth, kEspOnly };

struct TransformRow {
  std::string_view name;  // the first of a transform's rows is how it is printed
  Transform transform;
  Use use = Use::kBoth;
  bool legacy = false;
};
std::span<const TransformRow> transform_rows() noexcept;
const TransformRow* row_of(const Transform& transform) noexcept;

bool is_aead(const Transform& encryption) noexcept;
// How ESP, and IKE's own SK payload, know them. None for what this library has not.
struct EncryptionChoice {
  esp::Encryption encryption{};
  std::size_t icv_size = 16;  // of an AEAD
};
std::optional<EncryptionChoice> encryption_of(const Transform& transform) noexcept;
std::optional<esp::Integrity> integrity_of(std::uint16_t transform_id) noexcept;
std::optional<PrfAlgorithm> prf_of(std::uint16_t transform_id) noexcept;

}  // namespace winze::ike
