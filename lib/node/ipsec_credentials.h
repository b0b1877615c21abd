// Certificates and keys of a configuration, from files in swanctl's folders: x509, x509ca, x509crl, pubkey, private,
// rsa, ecdsa, pkcs8.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "winze/node/ipsec_options.h"
#include "winze/proto/ike/config.h"

namespace winze::node {

class IpsecCredentials {
 public:
  // Reads what is in the folders. A key that cannot be read is an error only where its certificate is asked for.
  static absl::StatusOr<IpsecCredentials> load(const IpsecOptions& options);

  // The first of the certificates of `local` that there is a key for, with the authorities between it and a root. Where
  // `local` names none, of those in x509 that are for `name`.
  absl::StatusOr<std::shared_ptr<const CertificateIdentity>> identity(const IpsecAuth& local,
                                                                      const std::string& name) const;
  // The key to the first of the bare public keys of `local`.
  absl::StatusOr<PrivateKeyPtr> bare_key(const IpsecAuth& local) const;
  // The bare public keys of one end.
  absl::StatusOr<std::vector<PublicKey>> public_keys(const IpsecAuth& auth) const;
  // The authorities that `remote` names, or else all there are; or the peer's very certificates, where it names those.
  absl::StatusOr<std::shared_ptr<const CertificateVerifier>> verifier(const IpsecAuth& remote) const;

 private:
  absl::StatusOr<std::vector<std::vector<Certificate>>> candidates(const IpsecAuth& local,
                                                                   const std::string& name) const;
  absl::Status load_authorities(const IpsecOptions& options);
  void load_keys(const IpsecOptions& options);

  std::string directory_;
  std::vector<Certificate> authorities_;
  std::vector<Certificate> informed_;  // authorities whose CRLs or OCSP responses are to be had
  std::vector<std::vector<std::uint8_t>> crls_, ocsp_responses_;
  std::vector<PrivateKeyPtr> keys_;
  std::string unread_;  // what was wrong with keys
};

}  // namespace winze::node
