#include <openssl/bytestring.h>

#include <algorithm>
#include <cstring>

#include "winze/base/bytes.h"
#include "winze/crypto/signature.h"

namespace winze {
namespace {

using namespace std::string_view_literals;
using enum SignatureScheme;

// AlgorithmIdentifier ::= SEQUENCE { algorithm OBJECT IDENTIFIER, parameters ANY DEFINED BY algorithm OPTIONAL }
struct Row {
  SignatureScheme scheme;
  std::string_view der;
};
constexpr Row kRows[] = {
    {kRsaPkcs1Sha1, "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00"sv},
    {kRsaPkcs1Sha256, "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"sv},
    {kRsaPkcs1Sha384, "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00"sv},
    {kRsaPkcs1Sha512, "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00"sv},
    {kRsaPssSha256,
     "\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04"
     "\x02\x01\x05\x00\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65"
     "\x03\x04\x02\x01\x05\x00\xa2\x03\x02\x01\x20"sv},
    {kRsaPssSha384,
     "\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04"
     "\x02\x02\x05\x00\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65"
     "\x03\x04\x02\x02\x05\x00\xa2\x03\x02\x01\x30"sv},
    {kRsaPssSha512,
     "\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04"
     "\x02\x03\x05\x00\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65"
     "\x03\x04\x02\x03\x05\x00\xa2\x03\x02\x01\x40"sv},
    {kEcdsaSha256, "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"sv},
    {kEcdsaSha384, "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"sv},
    {kEcdsaSha512, "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"sv},
    {kEd25519, "\x30\x05\x06\x03\x2b\x65\x70"sv},
};

constexpr std::string_view kPss = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"sv;
constexpr std::string_view kMgf1 = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08"sv;
constexpr std::string_view kSha2 = "\x60\x86\x48\x01\x65\x03\x04\x02"sv;  // and one byte that says which

bool equals(const CBS& bytes, std::string_view text) {
  return CBS_mem_equal(&bytes, as_bytes(text).data(), text.size());
}

// Nothing, or a NULL with nothing behind it.
bool is_null_or_absent(CBS parameters) {
  CBS null;
  return CBS_len(&parameters) == 0 ||
         (CBS_get_asn1(&parameters, &null, CBS_ASN1_NULL) && CBS_len(&null) == 0 && CBS_len(&parameters) == 0);
}

// The last byte of a SHA-2 object identifier, of an AlgorithmIdentifier that is all of `in`; 0: something else.
std::uint8_t sha2_of(CBS in) {
  CBS body, oid, prefix;
  std::uint8_t which;
  if (!CBS_get_asn1(&in, &body, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 ||
      !CBS_get_asn1(&body, &oid, CBS_ASN1_OBJECT) || !is_null_or_absent(body) ||
      !CBS_get_bytes(&oid, &prefix, kSha2.size()) || !equals(prefix, kSha2) || !CBS_get_u8(&oid, &which) ||
      CBS_len(&oid) != 0) {
    return 0;
  }
  return which;
}

constexpr unsigned kField = CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC;

// RSASSA-PSS-params (RFC 4055 section 3.1). Absent fields would mean SHA-1, which is not taken.
std::optional<SignatureScheme> parse_pss(CBS in) {
  CBS body, hash, mask, salt, mask_body, mask_oid;
  std::uint64_t salt_size = 0, trailer = 1;
  if (!CBS_get_asn1(&in, &body, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 || !CBS_get_asn1(&body, &hash, kField | 0) ||
      !CBS_get_asn1(&body, &mask, kField | 1) || !CBS_get_asn1(&body, &salt, kField | 2) ||
      !CBS_get_asn1_uint64(&salt, &salt_size) || CBS_len(&salt) != 0) {
    return std::nullopt;
  }
  CBS last;
  int has_trailer = 0;
  if (!CBS_get_optional_asn1(&body, &last, &has_trailer, kField | 3) || CBS_len(&body) != 0) return std::nullopt;
  if (has_trailer && (!CBS_get_asn1_uint64(&last, &trailer) || trailer != 1 || CBS_len(&last) != 0))
    return std::nullopt;
  if (!CBS_get_asn1(&mask, &mask_body, CBS_ASN1_SEQUENCE) || CBS_len(&mask) != 0 ||
      !CBS_get_asn1(&mask_body, &mask_oid, CBS_ASN1_OBJECT) || !equals(mask_oid, kMgf1)) {
    return std::nullopt;
  }
  const std::uint8_t which = sha2_of(hash);
  if (which < 1 || which > 3 || sha2_of(mask_body) != which) return std::nullopt;
  constexpr std::uint64_t kSizes[] = {32, 48, 64};
  constexpr SignatureScheme kSchemes[] = {kRsaPssSha256, kRsaPssSha384, kRsaPssSha512};
  if (salt_size != kSizes[which - 1]) return std::nullopt;
  return kSchemes[which - 1];
}

}  // namespace

std::span<const std::uint8_t> algorithm_identifier_of(SignatureScheme scheme) noexcept {
  return as_bytes(kRows[static_cast<std::size_t>(scheme)].der);
}

std::optional<SignatureScheme> parse_algorithm_identifier(std::span<const std::uint8_t> der) {
  const auto known = std::ranges::find(kRows, as_text(der), &Row::der);
  if (known != std::end(kRows)) return known->scheme;
  CBS in, body, oid;
  CBS_init(&in, der.data(), der.size());
  if (!CBS_get_asn1(&in, &body, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 ||
      !CBS_get_asn1(&body, &oid, CBS_ASN1_OBJECT)) {
    return std::nullopt;
  }
  if (equals(oid, kPss)) return parse_pss(body);
  if (!is_null_or_absent(body)) return std::nullopt;
  for (const Row& row : kRows) {
    // Behind the header of the sequence and that of the identifier; PSS is dealt with.
    const auto size = static_cast<std::size_t>(row.der[3]);
    if (row.der.substr(4, size) != kPss && equals(oid, row.der.substr(4, size))) return row.scheme;
  }
  return std::nullopt;
}

}  // namespace winze
