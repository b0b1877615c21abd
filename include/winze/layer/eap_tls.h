// TLS for EAP-TLS (RFC 5216, RFC 9190), by BoringSSL: what winze::eap::TlsEngine asks for.
//
// TLS 1.2 and 1.3, with ephemeral keys and AEAD only; no resumption. Both ends show certificates. The own key may be
// elsewhere (PrivateKey): then the engine waits for it.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>

#include "winze/base/time.h"
#include "winze/crypto/certificate.h"
#include "winze/proto/eap/tls_engine.h"

namespace winze::eap {

struct TlsOptions {
  CertificateIdentity identity;  // what this end shows; both ends have one
  // Whom of the other end: chains to its roots, for a server or a client, at the clock's time. Must not be null.
  std::shared_ptr<const CertificateVerifier> verifier;
  std::shared_ptr<const WallClock> clock;
  Revocation revocation = Revocation::kIfKnown;
  bool legacy = false;  // of ChainPolicy
  // A client's: the name that the server's certificate must be for, in NameKind's form. Empty: whatever the roots vouch
  // for, which is right for roots of one's own only.
  std::string server_name;
  NameKind server_name_kind = NameKind::kDns;
  bool tls13 = true;  // false: TLS 1.2 alone
};

// Fails when something is missing, or when TLS cannot use the identity. A factory is a value, used on one executor.
absl::StatusOr<TlsEngineFactory> tls_client(TlsOptions options);
absl::StatusOr<TlsEngineFactory> tls_server(TlsOptions options);

}  // namespace winze::eap
