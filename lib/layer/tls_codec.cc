#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tls_connection.h"
#include "tls_context.h"
#include "tls_record.h"
#include "winze/base/address.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/layer/tls.h"

namespace winze::tls {
namespace {

// Room left around opened bytes, for the headers of layers above.
constexpr Overhead kOpenedRoom{.front = 64, .back = 64};
// RFC 8446 section 5.5 allows AES-GCM 2^24.5 full records under one key.
constexpr std::uint64_t kRecordsPerKey = std::uint64_t{1} << 24;
// Records without content in a row that a peer may send.
constexpr int kEmptyRecordLimit = 32;

enum HandshakeType : std::uint8_t { kNewSessionTicket = 4, kKeyUpdate = 24 };

std::error_code from_alert(int alert) {
  switch (alert) {
    case SSL_AD_HANDSHAKE_FAILURE:
      return Errc::kAlertHandshakeFailure;
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
      return Errc::kAlertBadCertificate;
    case SSL_AD_CERTIFICATE_EXPIRED:
      return Errc::kAlertCertificateExpired;
    case SSL_AD_UNKNOWN_CA:
      return Errc::kAlertUnknownCa;
    case SSL_AD_ACCESS_DENIED:
      return Errc::kAlertAccessDenied;
    case SSL_AD_PROTOCOL_VERSION:
      return Errc::kAlertProtocolVersion;
    case SSL_AD_INTERNAL_ERROR:
      return Errc::kAlertInternalError;
    case SSL_AD_UNRECOGNIZED_NAME:
      return Errc::kAlertUnrecognizedName;
    case SSL_AD_CERTIFICATE_REQUIRED:
      return Errc::kAlertCertificateRequired;
    case SSL_AD_NO_APPLICATION_PROTOCOL:
      return Errc::kAlertNoCommonAlpn;
    default:
      return Errc::kAlert;
  }
}

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
      : client_(std::move(context)), name_(name), pool_(pool) {
    make_ssl(client_->parts().ssl.get());
    SSL_set_connect_state(ssl_.get());
    if (!name_.empty() && !IpAddress::parse(name_)) {
      SSL_set_tlsext_host_name(ssl_.get(), name_.c_str());
      info_.server_name = name_;
    }
    if (auto session = client_->parts().tickets.take(name_)) SSL_set_session(ssl_.get(), session.get());
  }

  CodecImpl(std::shared_ptr<ServerContext> context, BufferPool& pool) : server_(std::move(context)), pool_(pool) {
    make_ssl(server_->parts().ssl.get());
    SSL_set_accept_state(ssl_.get());
  }

  Overhead overhead() const override { return {.front = kHeaderSize, .back = 1 + kTagSize}; }
  const SessionInfo& info() const override { return info_; }
  std::string_view detail() const override { return detail_; }

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
      if ((error = next_record(in, record))) return Handshake::kDone;
      if (record.empty()) return Handshake::kMore;
      feed(record);
    }
  }

  std::error_code seal(Buffer& data) override {
    if (data.empty()) return {};
    if (!write_key_.ready()) return seal_by_library(data);
    if (write_key_.sequence() < kRecordsPerKey && data.size() <= kMaxContent) {
      const std::size_t size = data.size();
      std::uint8_t* record = data.prepend(kHeaderSize);
      if (data.tailroom() < 1 + kTagSize) record = (data.ensure_room({0, 1 + kTagSize}), data.data());
      write_key_.seal(kApplicationData, {record + kHeaderSize, size}, record);
      data.append(1 + kTagSize);
      return {};
    }
    seal_many(data);
    return {};
  }

  std::error_code open(Buffer& data, Buffer& reply) override {
    if (opens_in_place(data)) return open_in_place(data, reply);
    Buffer plain =
        pool_.acquire(kOpenedRoom.front + partial_.size() + data.size() + kOpenedRoom.back, kOpenedRoom.front);
    std::error_code error;
    std::span<const std::uint8_t> record;
    while (!error) {
      if ((error = next_record(data, record)) || record.empty()) break;
      error = read_key_.ready() ? open_record(record, plain, reply) : open_by_library(record, plain, reply);
    }
    data = std::move(plain);
    return error;
  }

  std::error_code open_end() override { return winze::Errc::kTruncated; }

  End seal_end(Buffer& out) override {
    if (write_key_.ready()) {
      static constexpr std::uint8_t kCloseNotify[] = {SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY};
      append_record(kAlertRecord, kCloseNotify, out);
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
    cipher_ = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl_.get()));
    take_key(write_key_);
    // A client's library still has to see the tickets, which come before the first application bytes.
    if (server_) take_key(read_key_);
    drop_library();
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

  void take_key(RecordKey& key) {
    bssl::Span<const std::uint8_t> read_secret, write_secret;
    if (!bssl::SSL_get_traffic_secrets(ssl_.get(), &read_secret, &write_secret)) return;
    const bool reads = &key == &read_key_;
    const auto secret = reads ? read_secret : write_secret;
    const std::uint64_t sequence = reads ? SSL_get_read_sequence(ssl_.get()) : SSL_get_write_sequence(ssl_.get());
    key.init(cipher_, {secret.data(), secret.size()}, sequence);
  }

  void drop_library() {
    if (read_key_.ready() && write_key_.ready()) ssl_.reset();
  }

  // --- records ---

  // Takes the next whole record off `in`; an incomplete one is kept until the rest comes (`record` is then empty).
  std::error_code next_record(Buffer& in, std::span<const std::uint8_t>& record) {
    record = {};
    if (taken_partial_) {
      partial_.release();
      taken_partial_ = false;
    }
    std::size_t size;
    if (partial_.empty()) {
      if (std::error_code error = record_size(in.span(), size)) return error;
      if (size != 0 && in.size() >= size) {
        record = std::span<const std::uint8_t>(in.span().first(size));
        in.trim_front(size);
        return {};
      }
      if (!in.empty()) {
        partial_ = pool_.acquire(size != 0 ? size : in.size() + kHeaderSize);
        move_bytes(in, in.size());
      }
      return {};
    }
    if (partial_.size() < kHeaderSize) move_bytes(in, kHeaderSize - partial_.size());
    if (std::error_code error = record_size(partial_.span(), size)) return error;
    if (size == 0) return {};
    move_bytes(in, size - partial_.size());
    if (partial_.size() < size) return {};
    record = std::as_const(partial_).span();
    taken_partial_ = true;
    return {};
  }

  void move_bytes(Buffer& in, std::size_t n) {
    n = std::min(n, in.size());
    partial_.append(std::span<const std::uint8_t>(in.span().first(n)));
    in.trim_front(n);
  }

  // Length of the record that starts here, with its header; 0 while the header is incomplete.
  std::error_code record_size(std::span<const std::uint8_t> bytes, std::size_t& size) const {
    size = 0;
    if (bytes.empty()) return {};
    if (bytes[0] < kChangeCipherSpec || bytes[0] > kApplicationData) return Errc::kNotTls;
    if (bytes.size() >= 2 && bytes[1] != 3) return Errc::kNotTls;
    if (bytes.size() < kHeaderSize) return {};
    const std::size_t body = load_u16(bytes.data() + 3);
    if (body > (read_key_.ready() ? kMaxCiphertext13 : kMaxCiphertext12)) return Errc::kBadRecord;
    size = kHeaderSize + body;
    return {};
  }

  // --- opening ---

  // One whole record and nothing else: the usual case of a short message.
  bool opens_in_place(const Buffer& data) const {
    if (!read_key_.ready() || (!partial_.empty() && !taken_partial_) || data.size() < kRecordOverhead) return false;
    std::size_t size;
    return !record_size(data.span(), size) && size == data.size();
  }

  std::error_code open_in_place(Buffer& data, Buffer& reply) {
    ContentType type;
    std::size_t length;
    if (std::error_code error = read_key_.open(data.span(), data.data() + kHeaderSize, type, length)) {
      data.clear();
      return error;
    }
    data.trim_front(kHeaderSize);
    data.trim_back(data.size() - length);
    if (type == kApplicationData) return count_empty(length);
    Buffer content = std::exchange(data, {});
    return on_control(type, content.span(), reply);
  }

  std::error_code open_record(std::span<const std::uint8_t> record, Buffer& plain, Buffer& reply) {
    ContentType type;
    std::size_t length;
    std::uint8_t* at = plain.append(record.size());
    if (std::error_code error = read_key_.open(record, at, type, length)) {
      plain.trim_back(record.size());
      return error;
    }
    if (type == kApplicationData) {
      plain.trim_back(record.size() - length);
      return count_empty(length);
    }
    plain.trim_back(record.size());
    return on_control(type, {at, length}, reply);
  }

  std::error_code open_by_library(std::span<const std::uint8_t> record, Buffer& plain, Buffer& reply) {
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
    if (got_any && info_.version == Version::kTls13) {
      take_key(read_key_);
      drop_library();
    }
    return {};
  }

  std::error_code count_empty(std::size_t length) {
    empty_records_ = length == 0 ? empty_records_ + 1 : 0;
    return empty_records_ > kEmptyRecordLimit ? std::error_code(Errc::kUnexpectedMessage) : std::error_code();
  }

  // What is not application data after the handshake (RFC 8446 section 4.6 and 6).
  std::error_code on_control(ContentType type, std::span<const std::uint8_t> content, Buffer& reply) {
    if (type == kAlertRecord) {
      if (content.size() != 2) return Errc::kProtocol;
      if (content[1] == SSL_AD_CLOSE_NOTIFY) return winze::Errc::kEof;
      detail_ = SSL_alert_desc_string_long(content[1]);
      return from_alert(content[1]);
    }
    if (type != kHandshakeRecord || content.empty()) return Errc::kUnexpectedMessage;
    return on_handshake_bytes(content, reply);
  }

  // Messages may be spread over records. A late ticket is skipped; there is no session object to put it in.
  std::error_code on_handshake_bytes(std::span<const std::uint8_t> bytes, Buffer& reply) {
    while (!bytes.empty()) {
      if (message_rest_ == 0) {
        message_header_[message_header_size_++] = bytes[0];
        bytes = bytes.subspan(1);
        if (message_header_size_ < sizeof message_header_) continue;
        message_header_size_ = 0;
        message_rest_ = load_u32(message_header_) & 0xffffff;
        const std::uint8_t type = message_header_[0];
        if (type == kKeyUpdate) return on_key_update(bytes, reply);
        if (type != kNewSessionTicket || server_ || message_rest_ == 0) return Errc::kUnexpectedMessage;
        continue;
      }
      const std::size_t n = std::min<std::size_t>(message_rest_, bytes.size());
      message_rest_ -= static_cast<std::uint32_t>(n);
      bytes = bytes.subspan(n);
    }
    return {};
  }

  // RFC 8446 section 4.6.3. It must end its record, and here also lie in one.
  std::error_code on_key_update(std::span<const std::uint8_t> body, Buffer& reply) {
    if (message_rest_ != 1 || body.size() != 1 || body[0] > 1) return Errc::kUnexpectedMessage;
    message_rest_ = 0;
    read_key_.update();
    if (body[0] == 1) update_write_key(reply);
    return {};
  }

  // --- sealing ---

  std::error_code seal_by_library(Buffer& data) {
    ERR_clear_error();
    if (SSL_write(ssl_.get(), data.data(), static_cast<int>(data.size())) <= 0) return failure();
    data.clear();
    take_output(data);
    return {};
  }

  // Straight into a second buffer: sealing several records in place would move all bytes behind the first.
  void seal_many(Buffer& data) {
    const std::size_t records = (data.size() + kMaxContent - 1) / kMaxContent;
    Buffer out = pool_.acquire(kOpenedRoom.front + data.size() + (records + 1) * kRecordOverhead, kOpenedRoom.front);
    while (!data.empty()) {
      const std::size_t n = std::min(data.size(), kMaxContent);
      append_record(kApplicationData, data.span().first(n), out);
      data.trim_front(n);
    }
    data = std::move(out);
  }

  void append_record(ContentType type, std::span<const std::uint8_t> content, Buffer& out) {
    if (write_key_.sequence() >= kRecordsPerKey) update_write_key(out);
    write_key_.seal(type, content, out.append(content.size() + kRecordOverhead));
  }

  void update_write_key(Buffer& out) {
    static constexpr std::uint8_t kMessage[] = {kKeyUpdate, 0, 0, 1, 0};
    write_key_.seal(kHandshakeRecord, kMessage, out.append(sizeof kMessage + kRecordOverhead));
    write_key_.update();
  }

  std::shared_ptr<ClientContext> client_;
  std::shared_ptr<ServerContext> server_;
  std::string name_;
  BufferPool& pool_;
  bssl::UniquePtr<SSL> ssl_;  // until both directions have left it
  SessionInfo info_;
  std::string detail_;
  std::error_code callback_error_;
  std::uint16_t cipher_ = 0;
  RecordKey read_key_;
  RecordKey write_key_;
  Buffer partial_;              // of an incomplete record
  bool taken_partial_ = false;  // partial_ was given out whole
  int empty_records_ = 0;
  std::uint8_t message_header_[4];
  std::size_t message_header_size_ = 0;
  std::uint32_t message_rest_ = 0;
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
