#include "winze/layer/eap_tls.h"

#include <absl/status/status.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "tls_ciphers.h"
#include "winze/base/ascii.h"
#include "winze/base/bytes.h"
#include "winze/base/status.h"

namespace winze::eap {
namespace {

struct Algorithm {
  std::uint16_t tls;
  SignatureScheme scheme;
};
constexpr Algorithm kAlgorithms[] = {
    {SSL_SIGN_ED25519, SignatureScheme::kEd25519},
    {SSL_SIGN_ECDSA_SECP256R1_SHA256, SignatureScheme::kEcdsaSha256},
    {SSL_SIGN_ECDSA_SECP384R1_SHA384, SignatureScheme::kEcdsaSha384},
    {SSL_SIGN_ECDSA_SECP521R1_SHA512, SignatureScheme::kEcdsaSha512},
    {SSL_SIGN_RSA_PSS_RSAE_SHA256, SignatureScheme::kRsaPssSha256},
    {SSL_SIGN_RSA_PSS_RSAE_SHA384, SignatureScheme::kRsaPssSha384},
    {SSL_SIGN_RSA_PSS_RSAE_SHA512, SignatureScheme::kRsaPssSha512},
    {SSL_SIGN_RSA_PKCS1_SHA256, SignatureScheme::kRsaPkcs1Sha256},
    {SSL_SIGN_RSA_PKCS1_SHA384, SignatureScheme::kRsaPkcs1Sha384},
    {SSL_SIGN_RSA_PKCS1_SHA512, SignatureScheme::kRsaPkcs1Sha512},
};
constexpr std::size_t kMskSize = 64;

bssl::UniquePtr<CRYPTO_BUFFER> buffer_of(std::span<const std::uint8_t> bytes) {
  return bssl::UniquePtr<CRYPTO_BUFFER>(CRYPTO_BUFFER_new(bytes.data(), bytes.size(), nullptr));
}

struct Context {
  bssl::UniquePtr<SSL_CTX> ssl;
  TlsOptions options;
  bool server = false;
};

// A signature that a key is asked for. Outlives the engine, should the key be slow.
struct Signing {
  std::optional<absl::StatusOr<std::vector<std::uint8_t>>> signature;
  absl::AnyInvocable<void()> waker;
};

class Engine final : public TlsEngine {
 public:
  explicit Engine(std::shared_ptr<const Context> context)
      : context_(std::move(context)), ssl_(SSL_new(context_->ssl.get())) {
    SSL_set_app_data(ssl_.get(), this);
    context_->server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
    bssl::UniquePtr<BIO> in(BIO_new(BIO_s_mem())), out(BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(in.get(), -1);
    BIO_set_mem_eof_return(out.get(), -1);
    SSL_set_bio(ssl_.get(), in.release(), out.release());
  }

  Progress advance(std::span<const std::uint8_t> in, std::vector<std::uint8_t>& out) override {
    if (!in.empty()) BIO_write(SSL_get_rbio(ssl_.get()), in.data(), static_cast<int>(in.size()));
    const Progress progress = step();
    BIO* made = SSL_get_wbio(ssl_.get());
    const std::size_t had = out.size();
    out.resize(had + BIO_pending(made));
    if (out.size() > had) BIO_read(made, out.data() + had, static_cast<int>(out.size() - had));
    return progress;
  }

  void set_waker(absl::AnyInvocable<void()> waker) override {
    if (signing_) signing_->waker = std::move(waker);
  }

  Secret master_session_key() const override {
    constexpr std::uint8_t kType = 13;
    Secret out(kMskSize);
    const bool is13 = SSL_version(ssl_.get()) == TLS1_3_VERSION;
    const std::string_view label = is13 ? "EXPORTER_EAP_TLS_Key_Material" : "client EAP encryption";
    // RFC 9190 exports 128 bytes at once, and TLS 1.3 makes others of another size.
    Secret material(2 * kMskSize);
    SSL_export_keying_material(ssl_.get(), material.span().data(), material.size(), label.data(), label.size(), &kType,
                               is13 ? 1 : 0, is13 ? 1 : 0);
    std::ranges::copy(std::as_const(material).span().first(kMskSize), out.span().begin());
    return out;
  }

  std::string peer_name(std::string_view claimed) const override;
  std::string detail() const override { return detail_; }
  bool lacks_commitment() const override { return lacks_commitment_; }

  // --- for BoringSSL's callbacks ---

  static Engine& of(const SSL* ssl) { return *static_cast<Engine*>(SSL_get_app_data(ssl)); }
  ssl_verify_result_t verify(std::uint8_t* alert);
  ssl_private_key_result_t sign(std::span<std::uint8_t> out, std::size_t* size, std::uint16_t algorithm,
                                std::span<const std::uint8_t> message);
  ssl_private_key_result_t finish_signing(std::span<std::uint8_t> out, std::size_t* size);

 private:
  Progress step() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) return commit();
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return Progress::kMore;
      case SSL_ERROR_WANT_PRIVATE_KEY_OPERATION:
        return Progress::kWait;
      default:
        return fail();
    }
  }

  Progress commit() {
    if (SSL_version(ssl_.get()) != TLS1_3_VERSION) return Progress::kDone;
    std::uint8_t commitment = 0;
    if (context_->server) {
      return SSL_write(ssl_.get(), &commitment, 1) == 1 ? Progress::kDone : fail();
    }
    const int n = SSL_read(ssl_.get(), &commitment, 1);
    lacks_commitment_ = n != 1;
    if (n == 1 && commitment == 0) return Progress::kDone;
    if (n != 1 && SSL_get_error(ssl_.get(), n) == SSL_ERROR_WANT_READ) return Progress::kMore;
    return fail();
  }

  Progress fail() {
    if (detail_.empty()) {
      const char* reason = ERR_reason_error_string(ERR_peek_error());
      detail_ = reason != nullptr ? reason : "TLS failed";
    }
    ERR_clear_error();
    return Progress::kFailed;
  }

  std::shared_ptr<const Context> context_;
  bssl::UniquePtr<SSL> ssl_;
  std::shared_ptr<Signing> signing_;
  std::optional<Certificate> peer_;
  std::string detail_;
  bool lacks_commitment_ = false;
};

ssl_verify_result_t Engine::verify(std::uint8_t* alert) {
  const TlsOptions& options = context_->options;
  *alert = SSL_AD_BAD_CERTIFICATE;
  std::vector<Certificate> presented;
  const STACK_OF(CRYPTO_BUFFER)* shown = SSL_get0_peer_certificates(ssl_.get());
  for (std::size_t i = 0; shown != nullptr && i < sk_CRYPTO_BUFFER_num(shown); ++i) {
    const CRYPTO_BUFFER* one = sk_CRYPTO_BUFFER_value(shown, i);
    auto parsed = Certificate::parse({CRYPTO_BUFFER_data(one), CRYPTO_BUFFER_len(one)});
    if (!parsed.ok()) {
      detail_ = message_of(parsed.status());
      return ssl_verify_invalid;
    }
    presented.push_back(*std::move(parsed));
  }
  auto path =
      options.verifier->verify(presented, {.now = options.clock->unix_now(),
                                           .use = context_->server ? CertificateUse::kClient : CertificateUse::kServer,
                                           .revocation = options.revocation,
                                           .legacy = options.legacy});
  if (!path.ok()) {
    detail_ = message_of(path.status());
    return ssl_verify_invalid;
  }
  const Certificate& own = presented.front();
  if (!options.server_name.empty() && !own.is_for(options.server_name_kind, as_bytes(options.server_name))) {
    const bool text = options.server_name_kind == NameKind::kDns || options.server_name_kind == NameKind::kEmail;
    detail_ = "the certificate is for " + own.names_text() + (text ? ", not for " + options.server_name : "");
    return ssl_verify_invalid;
  }
  peer_ = own;
  return ssl_verify_ok;
}

std::string Engine::peer_name(std::string_view claimed) const {
  if (!peer_) return {};
  std::vector<std::string> names = peer_->emails();
  names.insert(names.end(), peer_->dns_names().begin(), peer_->dns_names().end());
  names.push_back(peer_->subject_text());
  const auto same = std::ranges::find_if(names, [&](const std::string& name) { return lower(name) == lower(claimed); });
  return same == names.end() ? names.front() : *same;
}

ssl_private_key_result_t Engine::sign(std::span<std::uint8_t> out, std::size_t* size, std::uint16_t algorithm,
                                      std::span<const std::uint8_t> message) {
  const auto* known = std::ranges::find(kAlgorithms, algorithm, &Algorithm::tls);
  if (known == std::end(kAlgorithms)) return ssl_private_key_failure;
  signing_ = std::make_shared<Signing>();
  context_->options.identity.key->sign(known->scheme, message, [weak = std::weak_ptr(signing_)](auto signature) {
    const auto signing = weak.lock();
    if (!signing) return;
    signing->signature = std::move(signature);
    if (auto waker = std::exchange(signing->waker, nullptr)) waker();
  });
  return finish_signing(out, size);
}

ssl_private_key_result_t Engine::finish_signing(std::span<std::uint8_t> out, std::size_t* size) {
  if (!signing_->signature) return ssl_private_key_retry;
  const auto signature = std::move(*std::exchange(signing_, nullptr)->signature);
  if (!signature.ok() || signature->size() > out.size()) {
    detail_ = signature.ok() ? "the key has made a signature that is too long" : message_of(signature.status());
    return ssl_private_key_failure;
  }
  std::ranges::copy(*signature, out.begin());
  *size = signature->size();
  return ssl_private_key_success;
}

constexpr SSL_PRIVATE_KEY_METHOD kKeyMethod = {
    .sign =
        [](SSL* ssl, std::uint8_t* out, std::size_t* out_size, std::size_t max, std::uint16_t algorithm,
           const std::uint8_t* in, std::size_t in_size) {
          return Engine::of(ssl).sign({out, max}, out_size, algorithm, {in, in_size});
        },
    // RSA key exchange, which is never negotiated.
    .decrypt = [](SSL*, std::uint8_t*, std::size_t*, std::size_t, const std::uint8_t*,
                  std::size_t) { return ssl_private_key_failure; },
    .complete =
        [](SSL* ssl, std::uint8_t* out, std::size_t* out_size, std::size_t max) {
          return Engine::of(ssl).finish_signing({out, max}, out_size);
        },
};

absl::Status use_identity(SSL_CTX* ssl, const CertificateIdentity& identity) {
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> buffers;
  std::vector<CRYPTO_BUFFER*> chain;
  for (const Certificate& one : identity.chain) {
    buffers.push_back(buffer_of(one.der()));
    chain.push_back(buffers.back().get());
  }
  std::vector<std::uint16_t> able;
  for (const SignatureScheme scheme : identity.key->schemes()) {
    const auto* known = std::ranges::find(kAlgorithms, scheme, &Algorithm::scheme);
    if (known != std::end(kAlgorithms)) able.push_back(known->tls);
  }
  const bool used = SSL_CTX_set_chain_and_key(ssl, chain.data(), chain.size(), nullptr, &kKeyMethod) == 1 &&
                    SSL_CTX_set_signing_algorithm_prefs(ssl, able.data(), able.size()) == 1;
  ERR_clear_error();
  return used ? absl::OkStatus() : absl::InvalidArgumentError("EAP-TLS: TLS cannot use this certificate");
}

// The names of the roots, by which a client chooses among its certificates.
void name_roots(SSL_CTX* ssl, std::span<const Certificate> roots) {
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> names(sk_CRYPTO_BUFFER_new_null());
  for (const Certificate& root : roots) bssl::PushToStack(names.get(), buffer_of(root.subject()));
  SSL_CTX_set0_client_CAs(ssl, names.release());
}

absl::StatusOr<TlsEngineFactory> make_factory(TlsOptions options, bool server) {
  if (options.identity.chain.empty() || !options.identity.key) {
    return absl::InvalidArgumentError("EAP-TLS: a certificate and its key are needed");
  }
  if (!options.verifier || !options.clock)
    return absl::InvalidArgumentError("EAP-TLS: a verifier and a clock are needed");
  auto context = std::make_shared<Context>();
  context->server = server;
  context->ssl.reset(SSL_CTX_new(TLS_with_buffers_method()));
  SSL_CTX* ssl = context->ssl.get();
  std::uint16_t verifiable[std::size(kAlgorithms)];
  std::ranges::transform(kAlgorithms, verifiable, &Algorithm::tls);
  if (SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(ssl, options.tls13 ? TLS1_3_VERSION : TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_strict_cipher_list(ssl, tls::kCiphers12) != 1 ||
      SSL_CTX_set_verify_algorithm_prefs(ssl, verifiable, std::size(verifiable)) != 1) {
    ERR_clear_error();
    return absl::InternalError("EAP-TLS: the TLS library refuses the settings");
  }
  SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_custom_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                            [](SSL* one, std::uint8_t* alert) { return Engine::of(one).verify(alert); });
  if (auto status = use_identity(ssl, options.identity); !status.ok()) return status;
  if (server) name_roots(ssl, options.verifier->roots());
  context->options = std::move(options);
  return TlsEngineFactory([context] { return std::make_unique<Engine>(context); });
}

}  // namespace

absl::StatusOr<TlsEngineFactory> tls_client(TlsOptions options) { return make_factory(std::move(options), false); }
absl::StatusOr<TlsEngineFactory> tls_server(TlsOptions options) { return make_factory(std::move(options), true); }

}  // namespace winze::eap
