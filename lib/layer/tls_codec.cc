#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tls_connection.h"
#include "tls_context.h"
#include "tls_record_layer.h"
#include "winze/base/address.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/layer/tls.h"

namespace winze::tls {
namespace {

std::error_code from_library(std::uint32_t packed) {
  const int reason = ERR_GET_REASON(packed);
  if (reason >= SSL_AD_REASON_OFFSET) return from_alert(reason - SSL_AD_REASON_OFFSET);
  switch (reason) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_VERSION_NUMBER:
      return Errc::kNoCommonVersion;
    case SSL_R_NO_SHARED_CIPHER:
      return Errc::kNoCommonCipher;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
      return Errc::kNotTls;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return Errc::kNoCertificate;
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
      return Errc::kBadRecord;
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return Errc::kNoCommonAlpn;
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_UNEXPECTED_RECORD:
      return Errc::kUnexpectedMessage;
    default:
      return Errc::kProtocol;
  }
}

class CodecImpl final : public Codec {
 public:
  CodecImpl(std::shared_ptr<ClientContext> context, std::string_view name, BufferPool& pool)
      : client_(std::move(context)), name_(name), records_(Side::kClient, pool) {
    make_ssl(client_->parts().ssl.get());
    SSL_set_connect_state(ssl_.get());
    if (!name_.empty() && !IpAddress::parse(name_)) {
      SSL_set_tlsext_host_name(ssl_.get(), name_.c_str());
      info_.server_name = name_;
    }
    if (auto session = client_->parts().tickets.take(name_)) SSL_set_session(ssl_.get(), session.get());
  }

  CodecImpl(std::shared_ptr<ServerContext> context, BufferPool& pool)
      : server_(std::move(context)), records_(Side::kServer, pool) {
    make_ssl(server_->parts().ssl.get());
    SSL_set_accept_state(ssl_.get());
  }

  Overhead overhead() const override {
    return sealing_stopped_ ? Overhead{} : Overhead{.front = kHeaderSize, .back = 1 + kTagSize};
  }
  const SessionInfo& info() const override { return info_; }
  std::string_view detail() const override { return detail_.empty() ? records_.detail() : detail_; }

  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override {
    for (;;) {
      ERR_clear_error();
      const int result = SSL_do_handshake(ssl_.get());
      take_output(out);
      if (result == 1) {
        finish_handshake(out);
        return Handshake::kDone;
      }
      const int why = SSL_get_error(ssl_.get(), result);
      if (why != SSL_ERROR_WANT_READ) {
        error = failure();
        return Handshake::kDone;
      }
      std::span<const std::uint8_t> record;
      if ((error = records_.next_record(in, record))) return Handshake::kDone;
      if (record.empty()) return Handshake::kMore;
      feed(record);
    }
  }

  std::error_code seal(Buffer& data) override {
    if (data.empty() || sealing_stopped_) return {};
    if (!records_.writes()) return seal_by_library(data);
    records_.seal(data);
    return {};
  }

  std::error_code open(Buffer& data, Buffer& reply) override {
    if (opening_stopped_) return {};
    const std::error_code error = records_.reads() ? records_.open(data, reply) : open_by_library(data, reply);
    // An answer to a key update has no place between bytes that are not ours.
    if (sealing_stopped_) reply.clear();
    return error;
  }

  std::error_code open_end() override { return opening_stopped_ ? winze::Errc::kEof : winze::Errc::kTruncated; }

  // Under TLS 1.3 the records are all ours, and where one ends is known.
  bool can_be_left() const override { return info_.version == Version::kTls13 && records_.writes(); }
  void stop_sealing() override { sealing_stopped_ = true; }
  void stop_opening(Buffer& taken) override {
    opening_stopped_ = true;
    taken = records_.take_unopened();
  }
  bool seals_verbatim() const override { return sealing_stopped_; }
  bool opens_verbatim() const override { return opening_stopped_; }

  End seal_end(Buffer& out) override {
    if (sealing_stopped_) return End::kShutdownBelow;
    if (records_.writes()) {
      records_.seal_end(out);
    } else {
      SSL_shutdown(ssl_.get());
      take_output(out);
    }
    return End::kShutdownBelow;
  }

  // --- for BoringSSL's callbacks ---

  static CodecImpl& of(const SSL* ssl) { return *static_cast<CodecImpl*>(SSL_get_app_data(ssl)); }
  ClientContext::Parts& client_parts() { return client_->parts(); }
  ServerContext::Parts& server_parts() { return server_->parts(); }
  const std::string& name() const { return name_; }
  void set_error(std::error_code error, std::string_view detail) {
    callback_error_ = error;
    detail_ = detail;
  }
  ssl_verify_result_t verify(std::uint8_t* out_alert) {
    const STACK_OF(CRYPTO_BUFFER)* chain = SSL_get0_peer_certificates(ssl_.get());
    Verdict verdict = client_ ? verify_server(client_->parts(), chain, name_) : verify_client(server_->parts(), chain);
    if (!verdict.error) return ssl_verify_ok;
    set_error(verdict.error, verdict.detail);
    *out_alert = verdict.error == Errc::kUnknownCa            ? SSL_AD_UNKNOWN_CA
                 : verdict.error == Errc::kCertificateExpired ? SSL_AD_CERTIFICATE_EXPIRED
                                                              : SSL_AD_BAD_CERTIFICATE;
    return ssl_verify_invalid;
  }

 private:
  void make_ssl(SSL_CTX* context) {
    ssl_.reset(SSL_new(context));
    SSL_set_app_data(ssl_.get(), this);
    SSL_set_shed_handshake_config(ssl_.get(), 1);
    bssl::UniquePtr<BIO> in(BIO_new(BIO_s_mem())), out(BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(in.get(), -1);
    BIO_set_mem_eof_return(out.get(), -1);
    SSL_set_bio(ssl_.get(), in.release(), out.release());
  }

  void feed(std::span<const std::uint8_t> record) {
    BIO_write(SSL_get_rbio(ssl_.get()), record.data(), static_cast<int>(record.size()));
  }

  void take_output(Buffer& out) {
    BIO* bio = SSL_get_wbio(ssl_.get());
    const std::size_t size = BIO_pending(bio);
    if (size != 0) BIO_read(bio, out.append(size), static_cast<int>(size));
  }

  std::error_code failure() {
    if (callback_error_) return callback_error_;
    const std::uint32_t packed = ERR_peek_error();
    if (detail_.empty()) {
      if (const char* reason = ERR_reason_error_string(packed)) detail_ = reason;
    }
    ERR_clear_error();
    return from_library(packed);
  }

  // --- after the handshake: TLS 1.3 leaves the library ---

  void finish_handshake(Buffer& out) {
    fill_info();
    if (client_) {
      ++client_->parts().handshakes;
      if (info_.resumed) ++client_->parts().resumed;
    } else {
      // The tickets wait for a write, also an empty one.
      SSL_write(ssl_.get(), "", 0);
      take_output(out);
    }
    if (info_.version != Version::kTls13) return;
    take_over(false);
    // A client's library still has to see the tickets, which come before the first application bytes.
    if (server_) take_over(true);
  }

  void fill_info() {
    const SSL* ssl = ssl_.get();
    info_.version = static_cast<Version>(SSL_version(ssl));
    info_.cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl));
    info_.resumed = SSL_session_reused(ssl) == 1;
    const std::uint8_t* alpn;
    unsigned alpn_size;
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_size);
    info_.alpn = as_text({alpn, alpn_size});
    if (server_) {
      if (const char* sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) info_.server_name = sni;
    }
  }

  // Hands one direction, with the keys it has, from the library to records_.
  void take_over(bool reading) {
    bssl::Span<const std::uint8_t> read_secret, write_secret;
    if (!bssl::SSL_get_traffic_secrets(ssl_.get(), &read_secret, &write_secret)) return;
    const std::uint16_t cipher = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl_.get()));
    if (reading) {
      records_.start_reading(cipher, {read_secret.data(), read_secret.size()}, SSL_get_read_sequence(ssl_.get()));
    } else {
      records_.start_writing(cipher, {write_secret.data(), write_secret.size()}, SSL_get_write_sequence(ssl_.get()));
    }
    if (records_.reads() && records_.writes()) ssl_.reset();
  }

  // --- until then, and under TLS 1.2 ---

  std::error_code open_by_library(Buffer& data, Buffer& reply) {
    Buffer plain = records_.acquire_plain(data);
    std::error_code error;
    while (!error && !records_.reads()) {
      std::span<const std::uint8_t> record;
      if ((error = records_.next_record(data, record)) || record.empty()) break;
      error = read_by_library(record, plain, reply);
    }
    if (!error && records_.reads()) error = records_.open_into(data, plain, reply);
    data = std::move(plain);
    return error;
  }

  std::error_code read_by_library(std::span<const std::uint8_t> record, Buffer& plain, Buffer& reply) {
    feed(record);
    bool got_any = false;
    for (;;) {
      ERR_clear_error();
      std::uint8_t* at = plain.append(kMaxContent);
      const int n = SSL_read(ssl_.get(), at, kMaxContent);
      plain.trim_back(kMaxContent - static_cast<std::size_t>(std::max(n, 0)));
      if (n > 0) {
        got_any = true;
        continue;
      }
      take_output(reply);
      const int why = SSL_get_error(ssl_.get(), n);
      if (why == SSL_ERROR_ZERO_RETURN) return winze::Errc::kEof;
      if (why != SSL_ERROR_WANT_READ) return failure();
      break;
    }
    if (got_any && info_.version == Version::kTls13) take_over(true);
    return {};
  }

  std::error_code seal_by_library(Buffer& data) {
    ERR_clear_error();
    if (SSL_write(ssl_.get(), data.data(), static_cast<int>(data.size())) <= 0) return failure();
    data.clear();
    take_output(data);
    return {};
  }

  std::shared_ptr<ClientContext> client_;
  std::shared_ptr<ServerContext> server_;
  std::string name_;
  bssl::UniquePtr<SSL> ssl_;  // until both directions have left it
  SessionInfo info_;
  std::string detail_;
  std::error_code callback_error_;
  RecordLayer records_;
  bool sealing_stopped_ = false;
  bool opening_stopped_ = false;
};

}  // namespace

ClientContext::Parts& client_parts(const SSL* ssl) { return CodecImpl::of(ssl).client_parts(); }
ServerContext::Parts& server_parts(const SSL* ssl) { return CodecImpl::of(ssl).server_parts(); }
std::string_view connection_name(const SSL* ssl) { return CodecImpl::of(ssl).name(); }
void set_connection_error(const SSL* ssl, std::error_code error, std::string_view detail) {
  CodecImpl::of(ssl).set_error(error, detail);
}
enum ssl_verify_result_t verify_connection(SSL* ssl, std::uint8_t* out_alert) {
  return CodecImpl::of(ssl).verify(out_alert);
}

std::unique_ptr<Codec> client_codec(std::shared_ptr<ClientContext> context, std::string_view server_name,
                                    BufferPool& pool) {
  return std::make_unique<CodecImpl>(std::move(context), server_name, pool);
}

std::unique_ptr<Codec> server_codec(std::shared_ptr<ServerContext> context, BufferPool& pool) {
  return std::make_unique<CodecImpl>(std::move(context), pool);
}

}  // namespace winze::tls
