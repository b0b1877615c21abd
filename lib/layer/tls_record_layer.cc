#include "tls_record_layer.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <utility>

#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/layer/tls.h"

namespace winze::tls {
namespace {

enum HandshakeType : std::uint8_t { kNewSessionTicket = 4, kKeyUpdate = 24 };

}  // namespace

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

// --- bytes to records ---

std::error_code RecordLayer::next_record(Buffer& in, std::span<const std::uint8_t>& record) {
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

void RecordLayer::move_bytes(Buffer& in, std::size_t n) {
  n = std::min(n, in.size());
  partial_.append(std::span<const std::uint8_t>(in.span().first(n)));
  in.trim_front(n);
}

// Length of the record that starts here, with its header; 0 while the header is incomplete.
std::error_code RecordLayer::record_size(std::span<const std::uint8_t> bytes, std::size_t& size) const {
  size = 0;
  if (bytes.empty()) return {};
  if (bytes[0] < kChangeCipherSpec || bytes[0] > kApplicationData) return Errc::kNotTls;
  if (bytes.size() >= 2 && bytes[1] != 3) return Errc::kNotTls;
  if (bytes.size() < kHeaderSize) return {};
  const std::size_t body = load_u16(bytes.data() + 3);
  if (body > (reads() ? kMaxCiphertext13 : kMaxCiphertext12)) return Errc::kBadRecord;
  size = kHeaderSize + body;
  return {};
}

Buffer RecordLayer::acquire_plain(const Buffer& in) {
  return pool_.acquire(kOpenedRoom.front + partial_.size() + in.size() + kOpenedRoom.back, kOpenedRoom.front);
}

// --- opening ---

std::error_code RecordLayer::open(Buffer& data, Buffer& reply) {
  if (opens_in_place(data)) return open_in_place(data, reply);
  Buffer plain = acquire_plain(data);
  const std::error_code error = open_into(data, plain, reply);
  data = std::move(plain);
  return error;
}

std::error_code RecordLayer::open_into(Buffer& data, Buffer& plain, Buffer& reply) {
  for (;;) {
    std::span<const std::uint8_t> record;
    if (std::error_code error = next_record(data, record)) {
      keep_unopened(partial_.span(), data);
      return error;
    }
    if (record.empty()) return {};
    if (std::error_code error = open_record(record, plain, reply)) {
      keep_unopened(record, data);
      return error;
    }
  }
}

// A record that does not open may be of those that go around TLS: a layer above that leaves TLS wants it back.
void RecordLayer::keep_unopened(std::span<const std::uint8_t> record, const Buffer& rest) {
  unopened_ = Buffer::copy_of(record);
  unopened_.append(rest.span());
  taken_partial_ = true;
}

// One whole record and nothing else: the usual case of a short message.
bool RecordLayer::opens_in_place(const Buffer& data) const {
  if ((!partial_.empty() && !taken_partial_) || data.size() < kRecordOverhead) return false;
  std::size_t size;
  return !record_size(data.span(), size) && size == data.size();
}

std::error_code RecordLayer::open_in_place(Buffer& data, Buffer& reply) {
  ContentType type;
  std::size_t length;
  if (std::error_code error = read_key_.open(data.span(), data.data() + kHeaderSize, type, length)) {
    data.clear();
    return error;
  }
  data.trim_front(kHeaderSize);
  data.trim_back(data.size() - length);
  if (type == kApplicationData && !in_message()) return on_content(length);
  Buffer content = std::exchange(data, {});
  return on_control(type, content.span(), reply);
}

std::error_code RecordLayer::open_record(std::span<const std::uint8_t> record, Buffer& plain, Buffer& reply) {
  ContentType type;
  std::size_t length;
  std::uint8_t* at = plain.append(record.size());
  if (std::error_code error = read_key_.open(record, at, type, length)) {
    plain.trim_back(record.size());
    return error;
  }
  if (type == kApplicationData && !in_message()) {
    plain.trim_back(record.size() - length);
    return on_content(length);
  }
  plain.trim_back(record.size());
  return on_control(type, {at, length}, reply);
}

std::error_code RecordLayer::on_content(std::size_t size) {
  if (size == 0) return count_idle();
  idle_records_ = 0;
  return {};
}

std::error_code RecordLayer::count_idle() {
  return ++idle_records_ > kIdleRecordLimit ? std::error_code(Errc::kUnexpectedMessage) : std::error_code();
}

// What is not application data after the handshake (RFC 8446 section 4.6 and 6). Nothing may stand between the records
// of one handshake message (section 5.1).
std::error_code RecordLayer::on_control(ContentType type, std::span<const std::uint8_t> content, Buffer& reply) {
  if (in_message() && type != kHandshakeRecord) return Errc::kUnexpectedMessage;
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
std::error_code RecordLayer::on_handshake_bytes(std::span<const std::uint8_t> bytes, Buffer& reply) {
  while (!bytes.empty()) {
    if (message_rest_ == 0) {
      message_header_[message_header_size_++] = bytes[0];
      bytes = bytes.subspan(1);
      if (message_header_size_ < sizeof message_header_) continue;
      if (std::error_code error = on_handshake_header()) return error;
      continue;
    }
    if (message_header_[0] == kKeyUpdate) return on_key_update(bytes, reply);
    const std::size_t n = std::min<std::size_t>(message_rest_, bytes.size());
    message_rest_ -= static_cast<std::uint32_t>(n);
    bytes = bytes.subspan(n);
  }
  return {};
}

std::error_code RecordLayer::on_handshake_header() {
  message_header_size_ = 0;
  message_rest_ = load_u32(message_header_) & 0xffffff;
  const bool is_update = message_header_[0] == kKeyUpdate && message_rest_ == 1;
  const bool is_ticket = message_header_[0] == kNewSessionTicket && side_ == Side::kClient && message_rest_ > 0;
  return is_update || is_ticket ? std::error_code() : std::error_code(Errc::kUnexpectedMessage);
}

// RFC 8446 section 4.6.3. It must end its record.
std::error_code RecordLayer::on_key_update(std::span<const std::uint8_t> body, Buffer& reply) {
  if (body.size() != 1 || body[0] > 1) return Errc::kUnexpectedMessage;
  message_rest_ = 0;
  if (std::error_code error = count_idle()) return error;
  read_key_.update();
  if (body[0] == 1) update_write_key(reply);
  return {};
}

// --- sealing ---

void RecordLayer::seal(Buffer& data) {
  if (write_key_.sequence() >= records_per_key_ || data.size() > kMaxContent) return seal_many(data);
  const std::size_t size = data.size();
  std::uint8_t* record = data.prepend(kHeaderSize);
  if (data.tailroom() < 1 + kTagSize) record = (data.ensure_room({0, 1 + kTagSize}), data.data());
  write_key_.seal(kApplicationData, {record + kHeaderSize, size}, record);
  data.append(1 + kTagSize);
}

// Straight into a second buffer: sealing several records in place would move all bytes behind the first.
void RecordLayer::seal_many(Buffer& data) {
  const std::size_t records = (data.size() + kMaxContent - 1) / kMaxContent;
  Buffer out = pool_.acquire(kOpenedRoom.front + data.size() + (records + 1) * kRecordOverhead, kOpenedRoom.front);
  while (!data.empty()) {
    const std::size_t n = std::min(data.size(), kMaxContent);
    append_record(kApplicationData, data.span().first(n), out);
    data.trim_front(n);
  }
  data = std::move(out);
}

void RecordLayer::seal_end(Buffer& out) {
  static constexpr std::uint8_t kCloseNotify[] = {SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY};
  append_record(kAlertRecord, kCloseNotify, out);
}

void RecordLayer::append_record(ContentType type, std::span<const std::uint8_t> content, Buffer& out) {
  if (write_key_.sequence() >= records_per_key_) update_write_key(out);
  write_key_.seal(type, content, out.append(content.size() + kRecordOverhead));
}

void RecordLayer::update_write_key(Buffer& out) {
  static constexpr std::uint8_t kMessage[] = {kKeyUpdate, 0, 0, 1, 0};
  write_key_.seal(kHandshakeRecord, kMessage, out.append(sizeof kMessage + kRecordOverhead));
  write_key_.update();
}

}  // namespace winze::tls
