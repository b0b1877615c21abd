// TLS 1.2 and 1.3 (RFC 5246, RFC 8446), AEAD suites only, as a StreamCodec. BoringSSL runs the handshake; under TLS 1.3
// the records that follow are sealed and opened here, in place or straight from one buffer into the next.
//
// The client always verifies the chain and the name; there is no switch to turn that off. To trust a server outside
// the public PKI give its CA (`roots_pem`) or the SHA-256 of its certificate (`certificate_sha256`).
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/buffer.h"
#include "winze/base/secret.h"
#include "winze/base/stream_codec.h"

namespace winze::tls {

// Values 1xx: the peer misbehaved, or its certificate is not acceptable to us; 2xx: the peer refused (its alert).
enum class Errc {
  kNotTls = 101,       // the bytes are not TLS records
  kBadRecord,          // a record does not authenticate, or is too long
  kUnexpectedMessage,  // a message that has no place here
  kProtocol,           // another violation of the protocol
  kCertificateExpired = 111,
  kCertificateNotYetValid,
  kWrongHost,       // the certificate is for other names
  kUnknownCa,       // no path to a trusted root
  kBadCertificate,  // malformed, wrong purpose, bad signature, revoked
  kPinMismatch,
  kNoCertificate,
  kNoCommonVersion = 121,
  kNoCommonCipher,
  kNoCommonAlpn,
  kUnknownName,  // server: no certificate for the name the client asked for, and the policy is to refuse
  kAlert = 200,  // an alert not named below
  kAlertHandshakeFailure,
  kAlertBadCertificate,
  kAlertCertificateExpired,
  kAlertUnknownCa,
  kAlertAccessDenied,
  kAlertProtocolVersion,
  kAlertInternalError,
  kAlertUnrecognizedName,
  kAlertCertificateRequired,
  kAlertNoCommonAlpn,
};
const std::error_category& tls_category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), tls_category()}; }

using Sha256 = std::array<std::uint8_t, 32>;

enum class Version : std::uint16_t { kTls12 = 0x0303, kTls13 = 0x0304 };

// What was agreed; valid once the handshake is done.
struct SessionInfo {
  Version version = Version::kTls13;
  std::string_view cipher;  // "TLS_AES_128_GCM_SHA256"
  std::string alpn;         // empty: none
  std::string server_name;  // SNI as sent
  bool resumed = false;
};

// A certificate chain (leaf first) and its private key, as PEM text.
struct Identity {
  std::string chain_pem;
  Secret key_pem;
};

struct ClientOptions {
  std::vector<std::string> alpn;
  bool system_roots = true;            // trust the system's store, read at the first handshake that needs it
  std::vector<std::string> roots_pem;  // and these
  // If not empty: the SubjectPublicKeyInfo of some certificate of the verified chain must hash to one of these.
  std::vector<Sha256> spki_sha256;
  // A leaf certificate with one of these hashes is trusted for what it is: neither chain nor name are looked at.
  std::vector<Sha256> certificate_sha256;
  Identity identity;  // for servers that ask for a client certificate; empty: none
  Version min_version = Version::kTls12;
  Version max_version = Version::kTls13;
  bool resume = true;        // keep session tickets, shared by all connections of the context
  std::string key_log_file;  // NSS key log for debugging; empty: none
};

struct ServerOptions {
  std::vector<Identity> identities;  // chosen by the client's SNI; the first is the default
  std::vector<std::string> alpn;     // in the order of preference; empty: none is negotiated
  bool reject_unknown_names = false;
  // If not empty: clients must show a certificate that chains to one of these.
  std::vector<std::string> client_roots_pem;
  Version min_version = Version::kTls12;
  Version max_version = Version::kTls13;
  bool resume = true;  // issue session tickets; their keys change every two days by themselves
  std::string key_log_file;
};

// What many connections share. Thread-safe; connections keep it alive.
class ClientContext {
 public:
  static absl::StatusOr<std::shared_ptr<ClientContext>> create(const ClientOptions& options);
  ~ClientContext();
  // Number of handshakes that resumed a session, and of all.
  std::uint64_t resumed_handshakes() const;
  std::uint64_t handshakes() const;

  struct Parts;
  Parts& parts() { return *parts_; }

 private:
  explicit ClientContext(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

class ServerContext {
 public:
  static absl::StatusOr<std::shared_ptr<ServerContext>> create(const ServerOptions& options);
  ~ServerContext();
  // New connections get these certificates; those under way go on. On error nothing changes.
  absl::Status replace(const std::vector<Identity>& identities);

  struct Parts;
  Parts& parts() { return *parts_; }

 private:
  explicit ServerContext(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

class Codec : public StreamCodec {
 public:
  virtual const SessionInfo& info() const = 0;
};

// `server_name`: sent as SNI unless it is an IP address, and what the certificate must be for. `pool` serves the record
// buffers and must outlive the codec.
std::unique_ptr<Codec> client_codec(std::shared_ptr<ClientContext> context, std::string_view server_name,
                                    BufferPool& pool);
std::unique_ptr<Codec> server_codec(std::shared_ptr<ServerContext> context, BufferPool& pool);

}  // namespace winze::tls

template <>
struct std::is_error_code_enum<winze::tls::Errc> : std::true_type {};
