// CRLs (RFC 5280 section 5).
#pragma once

#include "crypto/revocation.h"
#include "crypto/x509.h"

namespace winze {

class CertificateList {
 public:
  static absl::StatusOr<CertificateList> parse(std::span<const std::uint8_t> pem_or_der);

  UnixTime this_update() const { return this_update_; }
  // By the same issuer, of the same scope.
  bool same_source(const CertificateList& other) const;
  RevocationAnswer about(const Certificate& certificate, const Certificate& issuer, UnixTime now, bool legacy) const;

 private:
  bssl::UniquePtr<X509_CRL> crl_;
  UnixTime this_update_ = 0;
  std::optional<UnixTime> next_update_;
  std::vector<std::uint8_t> scope_;  // its issuing distribution point; empty: all of the issuer's certificates
  bool usable_ = true;               // no critical extension that is not understood
};

}  // namespace winze
