#include "crypto/certificate_list.h"

#include <absl/status/status.h>
#include <openssl/err.h>
#include <openssl/obj.h>

namespace winze {
namespace {

bool is_signed(X509_CRL* crl, const Certificate& issuer, bool legacy) {
  X509* x509 = issuer.state().x509.get();
  if ((X509_get_key_usage(x509) & KU_CRL_SIGN) == 0) return false;  // all bits are set where the extension is absent
  const int hash = X509_CRL_get_signature_nid(crl);
  if (!legacy && (hash == NID_sha1WithRSAEncryption || hash == NID_ecdsa_with_SHA1)) return false;
  if (hash == NID_md5WithRSAEncryption) return false;
  bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(x509));
  const bool right = key && X509_CRL_verify(crl, key.get()) == 1;
  ERR_clear_error();
  return right;
}

}  // namespace

absl::StatusOr<CertificateList> CertificateList::parse(std::span<const std::uint8_t> pem_or_der) {
  CertificateList out;
  if (as_text(pem_or_der).find("-----BEGIN") != std::string_view::npos) {
    auto bio = memory_bio(pem_or_der);
    out.crl_.reset(PEM_read_bio_X509_CRL(bio.get(), nullptr, nullptr, nullptr));
  } else {
    const std::uint8_t* at = pem_or_der.data();
    out.crl_.reset(d2i_X509_CRL(nullptr, &at, static_cast<long>(pem_or_der.size())));
    if (at != pem_or_der.data() + pem_or_der.size()) out.crl_.reset();
  }
  ERR_clear_error();
  X509_CRL* crl = out.crl_.get();
  const auto this_update = crl != nullptr ? unix_time(X509_CRL_get0_lastUpdate(crl)) : std::nullopt;
  if (!this_update) return absl::InvalidArgumentError("CRL: malformed");
  out.this_update_ = *this_update;
  out.next_update_ = unix_time(X509_CRL_get0_nextUpdate(crl));
  for (int i = 0; i < X509_CRL_get_ext_count(crl); ++i) {
    X509_EXTENSION* extension = X509_CRL_get_ext(crl, i);
    if (OBJ_obj2nid(X509_EXTENSION_get_object(extension)) == NID_issuing_distribution_point) {
      const auto scope = bytes_of(X509_EXTENSION_get_data(extension));
      out.scope_.assign(scope.begin(), scope.end());
    } else if (X509_EXTENSION_get_critical(extension) != 0) {
      out.usable_ = false;  // a delta CRL, for one
    }
  }
  return out;
}

bool CertificateList::same_source(const CertificateList& other) const {
  return X509_CRL_cmp(crl_.get(), other.crl_.get()) == 0 && scope_ == other.scope_;
}

RevocationAnswer CertificateList::about(const Certificate& certificate, const Certificate& issuer, UnixTime now,
                                        bool legacy) const {
  constexpr UnixTime kSkew = 300;  // of the issuer's clock against ours
  X509* x509 = certificate.state().x509.get();
  if (!usable_ || X509_NAME_cmp(X509_CRL_get_issuer(crl_.get()), X509_get_issuer_name(x509)) != 0) {
    return RevocationAnswer::kNone;
  }
  if (this_update_ > now + kSkew || !is_signed(crl_.get(), issuer, legacy)) return RevocationAnswer::kNone;
  X509_REVOKED* entry = nullptr;
  // 2: listed as removed from it (RFC 5280 section 5.3.1)
  const int listed = X509_CRL_get0_by_serial(crl_.get(), &entry, X509_get_serialNumber(x509));
  // One with a scope may be about other certificates than this: then its silence says nothing. In an indirect one a
  // number may be another issuer's, which is refused rather than missed.
  if (listed == 1) return RevocationAnswer::kRevoked;
  const bool fresh = !next_update_ || now <= *next_update_ + kSkew;
  return fresh && scope_.empty() ? RevocationAnswer::kGood : RevocationAnswer::kNone;
}

}  // namespace winze
