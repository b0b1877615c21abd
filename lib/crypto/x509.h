// BoringSSL's X.509, for the sources of crypto and layer.
#pragma once

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <optional>
#include <string>
#include <vector>

#include "crypto/pem.h"
#include "winze/crypto/certificate.h"

namespace winze {

// What a subjectAltName holds: DNS names in lower case.
struct AlternativeNames {
  std::vector<std::string> dns, emails;
  std::vector<IpAddress> addresses;
};
AlternativeNames names_of(X509* x509);

struct Certificate::State {
  bssl::UniquePtr<X509> x509;
  std::optional<PublicKey> key;
  std::vector<std::uint8_t> der;
  UnixTime not_before = 0, not_after = 0;
  AlternativeNames names;
};

// Fails when the key is of no known kind.
absl::StatusOr<Certificate> wrap_certificate(bssl::UniquePtr<X509> x509);
// All of a PEM text, up to the first that is malformed.
std::vector<bssl::UniquePtr<X509>> read_certificates(std::string_view pem);
std::string text_of(const X509_NAME* name);
// Of a certificate or CRL. Nullopt when it is no time.
std::optional<UnixTime> unix_time(const ASN1_TIME* time);
inline std::span<const std::uint8_t> bytes_of(const ASN1_STRING* text) {
  return {ASN1_STRING_get0_data(text), static_cast<std::size_t>(ASN1_STRING_length(text))};
}

}  // namespace winze
