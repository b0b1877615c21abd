#include "crypto/ocsp.h"

#include <absl/status/status.h>
#include <openssl/asn1.h>
#include <openssl/bytestring.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/nid.h>

#include <algorithm>

namespace winze {
namespace {

// OCSPResponse      ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] EXPLICIT SEQUENCE {
//                                    responseType OBJECT IDENTIFIER, response OCTET STRING } OPTIONAL }
// BasicOCSPResponse ::= SEQUENCE { tbsResponseData ResponseData, signatureAlgorithm AlgorithmIdentifier,
//                                  signature BIT STRING, certs [0] EXPLICIT SEQUENCE OF Certificate OPTIONAL }
// ResponseData      ::= SEQUENCE { version [0] DEFAULT v1, responderID CHOICE { [1] Name, [2] KeyHash },
//                                  producedAt GeneralizedTime, responses SEQUENCE OF SingleResponse, ... }
// SingleResponse    ::= SEQUENCE { certID CertID, certStatus CHOICE { good [0], revoked [1], unknown [2] },
//                                  thisUpdate GeneralizedTime, nextUpdate [0] EXPLICIT GeneralizedTime OPTIONAL, ... }
// CertID            ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, issuerNameHash OCTET STRING,
//                                  issuerKeyHash OCTET STRING, serialNumber INTEGER }
constexpr unsigned kField = CBS_ASN1_CONSTRUCTED | CBS_ASN1_CONTEXT_SPECIFIC;
constexpr std::uint8_t kBasic[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01};
constexpr std::size_t kMaxCertificates = 4;

std::vector<std::uint8_t> copy_of(const CBS& bytes) { return {CBS_data(&bytes), CBS_data(&bytes) + CBS_len(&bytes)}; }

std::optional<UnixTime> get_time(CBS& in) {
  CBS text;
  if (!CBS_get_asn1(&in, &text, CBS_ASN1_GENERALIZEDTIME)) return std::nullopt;
  bssl::UniquePtr<ASN1_GENERALIZEDTIME> time(ASN1_GENERALIZEDTIME_new());
  if (!time || ASN1_STRING_set(time.get(), CBS_data(&text), CBS_len(&text)) != 1) return std::nullopt;
  return unix_time(time.get());
}

std::vector<std::uint8_t> hash(int nid, std::span<const std::uint8_t> bytes) {
  std::vector<std::uint8_t> out(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  const EVP_MD* digest = EVP_get_digestbynid(nid);
  if (digest == nullptr || EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, digest, nullptr) != 1) return {};
  out.resize(size);
  return out;
}

bool may_sign_ocsp(X509* x509) {
  return (X509_get_extension_flags(x509) & EXFLAG_XKUSAGE) != 0 &&
         (X509_get_extended_key_usage(x509) & XKU_OCSP_SIGN) != 0;
}

}  // namespace

absl::StatusOr<OcspResponse> OcspResponse::parse(std::span<const std::uint8_t> der) {
  const absl::Status malformed = absl::InvalidArgumentError("OCSP response: malformed");
  CBS in, response, status, bytes, body, type, basic_text, basic, data, algorithm, signature, certificates, list;
  CBS_init(&in, der.data(), der.size());
  std::uint8_t code = 0;
  if (!CBS_get_asn1(&in, &response, CBS_ASN1_SEQUENCE) || CBS_len(&in) != 0 ||
      !CBS_get_asn1(&response, &status, CBS_ASN1_ENUMERATED) || !CBS_get_u8(&status, &code) || CBS_len(&status) != 0) {
    return malformed;
  }
  if (code != 0)
    return absl::InvalidArgumentError("OCSP response: the responder has failed, status " + std::to_string(code));
  if (!CBS_get_asn1(&response, &bytes, kField | 0) || !CBS_get_asn1(&bytes, &body, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&body, &type, CBS_ASN1_OBJECT) || !CBS_mem_equal(&type, kBasic, sizeof kBasic) ||
      !CBS_get_asn1(&body, &basic_text, CBS_ASN1_OCTETSTRING) ||
      !CBS_get_asn1(&basic_text, &basic, CBS_ASN1_SEQUENCE) || CBS_len(&basic_text) != 0 ||
      !CBS_get_asn1_element(&basic, &data, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1_element(&basic, &algorithm, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&basic, &signature, CBS_ASN1_BITSTRING) || !CBS_is_valid_asn1_bitstring(&signature) ||
      !CBS_skip(&signature, 1)) {
    return malformed;
  }
  OcspResponse out;
  out.signed_ = copy_of(data);
  out.scheme_ = parse_algorithm_identifier({CBS_data(&algorithm), CBS_len(&algorithm)});
  out.signature_ = copy_of(signature);
  int has_certificates = 0;
  if (!CBS_get_optional_asn1(&basic, &certificates, &has_certificates, kField | 0) || CBS_len(&basic) != 0) {
    return malformed;
  }
  if (has_certificates && !CBS_get_asn1(&certificates, &list, CBS_ASN1_SEQUENCE)) return malformed;
  while (has_certificates && CBS_len(&list) != 0) {
    CBS one;
    if (!CBS_get_asn1_element(&list, &one, CBS_ASN1_SEQUENCE)) return malformed;
    auto parsed = Certificate::parse({CBS_data(&one), CBS_len(&one)});
    if (parsed.ok() && out.certificates_.size() < kMaxCertificates) out.certificates_.push_back(*std::move(parsed));
  }
  if (!parse_data(data, out)) return malformed;
  return out;
}

bool OcspResponse::parse_data(CBS data, OcspResponse& out) {
  CBS body, version, responder, responses;
  int has_version = 0;
  unsigned tag = 0;
  if (!CBS_get_asn1(&data, &body, CBS_ASN1_SEQUENCE) ||
      !CBS_get_optional_asn1(&body, &version, &has_version, kField | 0) || !CBS_get_any_asn1(&body, &responder, &tag) ||
      !get_time(body) || !CBS_get_asn1(&body, &responses, CBS_ASN1_SEQUENCE)) {
    return false;
  }
  while (CBS_len(&responses) != 0) {
    CBS one;
    Single single;
    if (!CBS_get_asn1(&responses, &one, CBS_ASN1_SEQUENCE) || !parse_single(one, single)) return false;
    out.singles_.push_back(std::move(single));
  }
  return true;
}

bool OcspResponse::parse_single(CBS in, Single& out) {
  CBS id, algorithm, oid, name, key, serial, status, next;
  unsigned tag = 0;
  if (!CBS_get_asn1(&in, &id, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&id, &algorithm, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&algorithm, &oid, CBS_ASN1_OBJECT) || !CBS_get_asn1(&id, &name, CBS_ASN1_OCTETSTRING) ||
      !CBS_get_asn1(&id, &key, CBS_ASN1_OCTETSTRING) || !CBS_get_asn1(&id, &serial, CBS_ASN1_INTEGER) ||
      !CBS_get_any_asn1(&in, &status, &tag)) {
    return false;
  }
  out.hash_nid = OBJ_cbs2nid(&oid);
  out.issuer_name_hash = copy_of(name);
  out.issuer_key_hash = copy_of(key);
  out.serial = copy_of(serial);
  const unsigned number = tag & CBS_ASN1_TAG_NUMBER_MASK;
  out.answer = number == 0   ? RevocationAnswer::kGood
               : number == 1 ? RevocationAnswer::kRevoked
                             : RevocationAnswer::kNone;
  const auto this_update = get_time(in);
  int has_next = 0;
  if (!this_update || !CBS_get_optional_asn1(&in, &next, &has_next, kField | 0)) return false;
  out.this_update = *this_update;
  if (has_next && !(out.next_update = get_time(next))) return false;
  return true;
}

bool OcspResponse::names(const Single& single, const Certificate& certificate, const Certificate& issuer) const {
  // The hash of the key is over its bits alone, without algorithm and tag.
  const ASN1_BIT_STRING* bits = X509_get0_pubkey_bitstr(issuer.state().x509.get());
  // The content of the INTEGER, as DER has it.
  std::uint8_t* der = nullptr;
  const int size = i2d_ASN1_INTEGER(X509_get_serialNumber(certificate.state().x509.get()), &der);
  bssl::UniquePtr<std::uint8_t> owned(der);
  CBS in, serial;
  CBS_init(&in, der, size > 0 ? static_cast<std::size_t>(size) : 0);
  return CBS_get_asn1(&in, &serial, CBS_ASN1_INTEGER) &&
         CBS_mem_equal(&serial, single.serial.data(), single.serial.size()) && !single.issuer_key_hash.empty() &&
         single.issuer_name_hash == hash(single.hash_nid, certificate.issuer()) &&
         single.issuer_key_hash == hash(single.hash_nid, bytes_of(bits));
}

bool OcspResponse::signed_for(const Certificate& issuer, UnixTime now, bool legacy) const {
  if (!scheme_ || (is_legacy(*scheme_) && !legacy)) return false;
  if (issuer.public_key().verify(*scheme_, signed_, signature_)) return true;
  // By a responder of its own, whom the issuer itself has certified for nothing but this (RFC 6960 section 4.2.2.2).
  return std::ranges::any_of(certificates_, [&](const Certificate& responder) {
    X509* x509 = responder.state().x509.get();
    const bool named = may_sign_ocsp(x509) && responder.not_before() <= now && now <= responder.not_after() &&
                       X509_check_issued(issuer.state().x509.get(), x509) == X509_V_OK;
    const bool right = named && responder.public_key().verify(*scheme_, signed_, signature_) && [&] {
      bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(issuer.state().x509.get()));
      return X509_verify(x509, key.get()) == 1;
    }();
    ERR_clear_error();
    return right;
  });
}

RevocationAnswer OcspResponse::about(const Certificate& certificate, const Certificate& issuer, UnixTime now,
                                     bool legacy) const {
  constexpr UnixTime kSkew = 300;       // of the responder's clock against ours
  constexpr UnixTime kNoNext = 86'400;  // how long an answer without nextUpdate holds
  for (const Single& single : singles_) {
    if (single.answer == RevocationAnswer::kNone || !names(single, certificate, issuer)) continue;
    if (single.this_update > now + kSkew || !signed_for(issuer, now, legacy)) continue;
    if (single.answer == RevocationAnswer::kRevoked) return RevocationAnswer::kRevoked;
    if (now <= single.next_update.value_or(single.this_update + kNoNext) + kSkew) return RevocationAnswer::kGood;
  }
  return RevocationAnswer::kNone;
}

}  // namespace winze
