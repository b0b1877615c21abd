#include "tls_context.h"

#include <openssl/err.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tls_ciphers.h"
#include "tls_connection.h"
#include "winze/base/error.h"

namespace winze::tls {
namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(Errc::kNotTls), "peer does not speak TLS"},
    {static_cast<int>(Errc::kBadRecord), "TLS record is forged or damaged"},
    {static_cast<int>(Errc::kUnexpectedMessage), "unexpected TLS message"},
    {static_cast<int>(Errc::kProtocol), "TLS protocol violation"},
    {static_cast<int>(Errc::kCertificateExpired), "certificate has expired"},
    {static_cast<int>(Errc::kCertificateNotYetValid), "certificate is not valid yet"},
    {static_cast<int>(Errc::kWrongHost), "certificate is for another host"},
    {static_cast<int>(Errc::kUnknownCa), "certificate does not lead to a trusted root (unknown CA)"},
    {static_cast<int>(Errc::kBadCertificate), "certificate is not acceptable"},
    {static_cast<int>(Errc::kPinMismatch), "certificate does not match the pins"},
    {static_cast<int>(Errc::kNoCertificate), "peer sent no certificate"},
    {static_cast<int>(Errc::kNoCommonVersion), "no TLS version in common"},
    {static_cast<int>(Errc::kNoCommonCipher), "no cipher suite in common"},
    {static_cast<int>(Errc::kNoCommonAlpn), "no application protocol (ALPN) in common"},
    {static_cast<int>(Errc::kUnknownName), "no certificate for the server name the client asks for"},
    {static_cast<int>(Errc::kAlert), "peer refused with a TLS alert"},
    {static_cast<int>(Errc::kAlertHandshakeFailure), "peer refused: handshake failure (nothing in common)"},
    {static_cast<int>(Errc::kAlertBadCertificate), "peer refused our certificate"},
    {static_cast<int>(Errc::kAlertCertificateExpired), "peer refused our certificate: expired"},
    {static_cast<int>(Errc::kAlertUnknownCa), "peer refused our certificate: unknown CA"},
    {static_cast<int>(Errc::kAlertAccessDenied), "peer refused: access denied"},
    {static_cast<int>(Errc::kAlertProtocolVersion), "peer refused our TLS versions"},
    {static_cast<int>(Errc::kAlertInternalError), "peer refused: internal error"},
    {static_cast<int>(Errc::kAlertUnrecognizedName), "peer refused the server name"},
    {static_cast<int>(Errc::kAlertCertificateRequired), "peer wants a client certificate"},
    {static_cast<int>(Errc::kAlertNoCommonAlpn), "peer refused: no application protocol (ALPN) in common"},
};
const TableCategory kCategory("tls", kRows);

absl::Status set_up(SSL_CTX* ssl, Version min_version, Version max_version) {
  if (SSL_CTX_set_min_proto_version(ssl, static_cast<std::uint16_t>(min_version)) != 1 ||
      SSL_CTX_set_max_proto_version(ssl, static_cast<std::uint16_t>(max_version)) != 1 ||
      SSL_CTX_set_strict_cipher_list(ssl, kCiphers12) != 1) {
    ERR_clear_error();
    return absl::InternalError("TLS library refuses the version or cipher settings");
  }
  SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::uint8_t>> alpn_wire(const std::vector<std::string>& protocols) {
  std::vector<std::uint8_t> out;
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      return absl::InvalidArgumentError("ALPN names have 1 to 255 bytes, found \"" + protocol + "\"");
    }
    out.push_back(static_cast<std::uint8_t>(protocol.size()));
    out.insert(out.end(), protocol.begin(), protocol.end());
  }
  return out;
}

absl::StatusOr<std::shared_ptr<const Credentials>> parse_identities(const std::vector<Identity>& identities) {
  if (identities.empty()) return absl::InvalidArgumentError("a TLS server needs a certificate and its key");
  auto out = std::make_shared<Credentials>();
  for (std::size_t i = 0; i < identities.size(); ++i) {
    auto credential = parse_identity(identities[i]);
    if (!credential.ok()) {
      return absl::InvalidArgumentError("certificates[" + std::to_string(i) +
                                        "]: " + std::string(credential.status().message()));
    }
    out->push_back(std::move(*credential));
  }
  return std::shared_ptr<const Credentials>(std::move(out));
}

void write_client_key_log(const SSL* ssl, const char* line) { client_parts(ssl).key_log.write(line); }
void write_server_key_log(const SSL* ssl, const char* line) { server_parts(ssl).key_log.write(line); }

int keep_ticket(SSL* ssl, SSL_SESSION* session) {
  ClientContext::Parts& parts = client_parts(ssl);
  if (!parts.options.resume) return 0;
  parts.tickets.put(std::string(connection_name(ssl)), bssl::UniquePtr<SSL_SESSION>(session));
  return 1;  // the session is ours now
}

ssl_select_cert_result_t choose_certificate(const SSL_CLIENT_HELLO* hello) {
  ServerContext::Parts& parts = server_parts(hello->ssl);
  const std::shared_ptr<const Credentials> credentials = parts.credentials();
  const char* name = SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name);
  const Credential* chosen = &credentials->front();
  if (name != nullptr) {
    const auto fitting = std::ranges::find_if(*credentials, [&](const Credential& c) { return c.fits(name); });
    if (fitting != credentials->end()) {
      chosen = &*fitting;
    } else if (parts.options.reject_unknown_names) {
      set_connection_error(hello->ssl, Errc::kUnknownName, name);
      return ssl_select_cert_error;
    }
  }
  return chosen->use_in(hello->ssl) ? ssl_select_cert_success : ssl_select_cert_error;
}

int choose_alpn(SSL* ssl, const std::uint8_t** out, std::uint8_t* out_size, const std::uint8_t* in, unsigned in_size,
                void* arg) {
  const auto& mine = static_cast<ServerContext::Parts*>(arg)->alpn_wire;
  if (mine.empty()) return SSL_TLSEXT_ERR_NOACK;
  std::uint8_t* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, mine.data(), static_cast<unsigned>(mine.size()), in, in_size) ==
      OPENSSL_NPN_NEGOTIATED) {
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
  }
  set_connection_error(ssl, Errc::kNoCommonAlpn, {});
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

const std::error_category& tls_category() noexcept { return kCategory; }

absl::Status KeyLog::open(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  file_.reset(std::fopen(path.c_str(), "ae"));
  if (file_ == nullptr) return absl::NotFoundError("key log file " + path + ": " + std::strerror(errno));
  return absl::OkStatus();
}

void KeyLog::write(const char* line) {
  std::lock_guard lock(mutex_);
  std::fprintf(file_.get(), "%s\n", line);
  std::fflush(file_.get());
}

void TicketCache::put(const std::string& server, bssl::UniquePtr<SSL_SESSION> session) {
  std::lock_guard lock(mutex_);
  auto found = by_server_.find(server);
  if (found == by_server_.end()) {
    entries_.push_front({server, {}});
    found = by_server_.emplace(server, entries_.begin()).first;
    if (entries_.size() > kServers) {
      by_server_.erase(entries_.back().server);
      entries_.pop_back();
    }
  } else {
    entries_.splice(entries_.begin(), entries_, found->second);
  }
  auto& sessions = entries_.front().sessions;
  if (sessions.size() == kPerServer) sessions.erase(sessions.begin());
  sessions.push_back(std::move(session));
}

bssl::UniquePtr<SSL_SESSION> TicketCache::take(const std::string& server) {
  std::lock_guard lock(mutex_);
  const auto found = by_server_.find(server);
  if (found == by_server_.end() || found->second->sessions.empty()) return nullptr;
  auto& sessions = found->second->sessions;
  bssl::UniquePtr<SSL_SESSION> session = std::move(sessions.back());
  if (SSL_SESSION_should_be_single_use(session.get())) {
    sessions.pop_back();
  } else {
    sessions.back() = bssl::UpRef(session);
  }
  return session;
}

ClientContext::ClientContext(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ClientContext::~ClientContext() = default;
std::uint64_t ClientContext::resumed_handshakes() const { return parts_->resumed; }
std::uint64_t ClientContext::handshakes() const { return parts_->handshakes; }

absl::StatusOr<std::shared_ptr<ClientContext>> ClientContext::create(const ClientOptions& options) {
  auto parts = std::make_unique<Parts>();
  parts->options = options;
  parts->ssl.reset(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX* ssl = parts->ssl.get();
  if (absl::Status status = set_up(ssl, options.min_version, options.max_version); !status.ok()) return status;
  auto alpn = alpn_wire(options.alpn);
  if (!alpn.ok()) return alpn.status();
  SSL_CTX_set_alpn_protos(ssl, alpn->data(), alpn->size());
  auto roots = make_store(options.roots_pem);
  if (!roots.ok()) return roots.status();
  parts->roots = std::move(*roots);
  if (absl::Status status = parts->key_log.open(options.key_log_file); !status.ok()) return status;
  if (parts->key_log.is_open()) SSL_CTX_set_keylog_callback(ssl, write_client_key_log);
  if (!options.identity.chain_pem.empty()) {
    auto credential = parse_identity(options.identity);
    if (!credential.ok()) return credential.status();
    std::vector<CRYPTO_BUFFER*> chain;
    for (const auto& certificate : credential->chain) chain.push_back(certificate.get());
    SSL_CTX_set_chain_and_key(ssl, chain.data(), chain.size(), credential->key.get(), nullptr);
  }
  SSL_CTX_set_grease_enabled(ssl, 1);
  SSL_CTX_set_permute_extensions(ssl, 1);
  SSL_CTX_set_custom_verify(ssl, SSL_VERIFY_PEER, verify_connection);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ssl, keep_ticket);
  return std::shared_ptr<ClientContext>(new ClientContext(std::move(parts)));
}

ServerContext::ServerContext(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ServerContext::~ServerContext() = default;

absl::StatusOr<std::shared_ptr<ServerContext>> ServerContext::create(const ServerOptions& options) {
  auto credentials = parse_identities(options.identities);
  if (!credentials.ok()) return credentials.status();
  auto parts = std::make_unique<Parts>();
  parts->current = std::move(*credentials);
  parts->options = options;
  parts->options.identities.clear();
  parts->ssl.reset(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX* ssl = parts->ssl.get();
  if (absl::Status status = set_up(ssl, options.min_version, options.max_version); !status.ok()) return status;
  auto alpn = alpn_wire(options.alpn);
  if (!alpn.ok()) return alpn.status();
  parts->alpn_wire = std::move(*alpn);
  SSL_CTX_set_alpn_select_cb(ssl, choose_alpn, parts.get());
  auto roots = make_store(options.client_roots_pem);
  if (!roots.ok()) return roots.status();
  parts->client_roots = std::move(*roots);
  if (parts->client_roots) {
    SSL_CTX_set_custom_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_connection);
  }
  if (absl::Status status = parts->key_log.open(options.key_log_file); !status.ok()) return status;
  if (parts->key_log.is_open()) SSL_CTX_set_keylog_callback(ssl, write_server_key_log);
  SSL_CTX_set_select_certificate_cb(ssl, choose_certificate);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  if (!options.resume) SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
  static constexpr std::uint8_t kSessionContext[] = "winze";
  SSL_CTX_set_session_id_context(ssl, kSessionContext, sizeof kSessionContext);
  return std::shared_ptr<ServerContext>(new ServerContext(std::move(parts)));
}

absl::Status ServerContext::replace(const std::vector<Identity>& identities) {
  auto credentials = parse_identities(identities);
  if (!credentials.ok()) return credentials.status();
  std::lock_guard lock(parts_->mutex);
  parts_->current = std::move(*credentials);
  return absl::OkStatus();
}

}  // namespace winze::tls
