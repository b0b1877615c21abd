// X.509 certificates (RFC 5280): what they say, whom they are for, and whether they can be believed.
//
// Nothing here fetches anything: CRLs and OCSP responses are given by the host, and an address inside a certificate is
// never followed. The time of day is an argument.
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/address.h"
#include "winze/base/time.h"
#include "winze/crypto/private_key.h"
#include "winze/crypto/signature.h"

namespace winze {

// The kinds of names that a certificate can be for, and that IKE's identities have (RFC 7296 section 3.5).
enum class NameKind : std::uint8_t {
  kDns,            // text; "*.example.org" in a certificate stands for one label more (RFC 6125 section 6.4.3)
  kEmail,          // text
  kAddress,        // 4 or 16 bytes
  kDistinguished,  // DER of a Name; compared as RFC 5280 section 7.1 does, whatever case and spaces are
};

// A copy is cheap, and shares the certificate.
class Certificate {
 public:
  // One in DER, with nothing behind it. Its key must be of a known kind.
  static absl::StatusOr<Certificate> parse(std::span<const std::uint8_t> der);

  std::span<const std::uint8_t> der() const noexcept;
  std::span<const std::uint8_t> subject() const noexcept;  // DER of a Name
  std::span<const std::uint8_t> issuer() const noexcept;
  std::string subject_text() const;  // "C=CH, O=Example, CN=gw"
  std::string issuer_text() const;
  const PublicKey& public_key() const noexcept;
  UnixTime not_before() const noexcept;
  UnixTime not_after() const noexcept;  // the last second of validity
  bool is_ca() const noexcept;          // by its basic constraints
  bool is_self_issued() const noexcept;

  // SHA-1 of the SubjectPublicKeyInfo, by which CERTREQ names a CA (RFC 7296 section 3.7).
  std::array<std::uint8_t, 20> key_id() const noexcept;

  // The names it is for: subjectAltName, in the order of the certificate.
  const std::vector<std::string>& dns_names() const noexcept;
  const std::vector<std::string>& emails() const noexcept;
  const std::vector<IpAddress>& addresses() const noexcept;
  // Whether it is for this name. A distinguished name is the subject's, all others are looked for among the alternative
  // names: never in the subject's common name.
  bool is_for(NameKind kind, std::span<const std::uint8_t> name) const;
  // "CN=gw (DNS:gw.example.org, IP:192.0.2.1)": the names for an error message, cut after some.
  std::string names_text() const;

  friend bool operator==(const Certificate& a, const Certificate& b);

  struct State;  // of the implementation
  explicit Certificate(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  const State& state() const noexcept { return *state_; }

 private:
  std::shared_ptr<const State> state_;
};

// All certificates of a PEM text, or the one in DER. Fails when there is none, or when one is malformed.
absl::StatusOr<std::vector<Certificate>> parse_certificates(std::span<const std::uint8_t> pem_or_der);

// What one shows to a peer: a certificate, the intermediate ones that lead to a root, and the key.
struct CertificateIdentity {
  std::vector<Certificate> chain;  // the own one first
  PrivateKeyPtr key;

  // Fails when the chain is empty, or the key another than the first certificate's.
  static absl::StatusOr<CertificateIdentity> create(std::vector<Certificate> chain, PrivateKeyPtr key);
};

// What a certificate is shown for. One with an extended key usage must list the purpose, one of IKE's own
// (id-kp-ipsecIKE, ikeIntermediate), or anyExtendedKeyUsage; without the extension it is for everything. The same holds
// for the CAs above it.
enum class CertificateUse : std::uint8_t {
  kServer,  // serverAuth: by a gateway
  kClient,  // clientAuth
};

enum class Revocation : std::uint8_t {
  kIgnored,
  kIfKnown,  // what is known to be revoked is refused; stale or missing information is none
  // As kStrict for each certificate that says where information about it is to be had (a CRL's or an OCSP responder's
  // address), or whose issuer is known to give any (expect_revocation_of()); as kIfKnown for others.
  kIfUri,
  kStrict,  // a CRL or an OCSP response that is fresh and good must be there for each certificate below the root
};

struct ChainPolicy {
  UnixTime now = 0;
  CertificateUse use = CertificateUse::kServer;
  Revocation revocation = Revocation::kIfKnown;
  unsigned min_rsa_bits = 2048, min_ecdsa_bits = 0;
  std::span<const SignatureScheme> schemes;  // how certificates may be signed; empty: in any way that is strong
  bool legacy = false;                       // also takes SHA-1 in signatures, and RSA keys of 1024 bits
};

// Holds the roots and what is known of revocations. Belongs to one executor; verify() changes nothing.
class CertificateVerifier {
 public:
  // Each root is trusted for what it is: it need not be self-signed.
  explicit CertificateVerifier(std::vector<Certificate> roots = {});
  CertificateVerifier(CertificateVerifier&&) noexcept;
  CertificateVerifier& operator=(CertificateVerifier&&) noexcept;
  ~CertificateVerifier();

  std::span<const Certificate> roots() const noexcept { return roots_; }
  // DER or PEM. A newer one of the same issuer takes the place of an older one. It is believed only where the issuer's
  // key has signed it.
  absl::Status add_crl(std::span<const std::uint8_t> pem_or_der);
  // DER of an OCSPResponse (RFC 6960), signed by the issuer or by whom the issuer has named for it.
  absl::Status add_ocsp_response(std::span<const std::uint8_t> der);
  // There is information about what this authority has issued, here or elsewhere.
  void expect_revocation_of(const Certificate& authority);

  // Follows `presented` (the peer's own first, then others in any order, at most kMaxPresented) up to a root. The chain
  // from the own one to the root, or an error that says which certificate is the matter, and why.
  static constexpr std::size_t kMaxPresented = 16;
  absl::StatusOr<std::vector<Certificate>> verify(std::span<const Certificate> presented,
                                                  const ChainPolicy& policy) const;

 private:
  struct Store;

  std::vector<Certificate> roots_;
  std::unique_ptr<Store> store_;
};

}  // namespace winze
