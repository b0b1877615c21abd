// A connection's records: bytes cut into records under any version, and under TLS 1.3 what they hold once the handshake
// has left its keys (RFC 8446 sections 4.6, 5 and 6).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>

#include "tls_record.h"
#include "winze/base/buffer.h"

namespace winze::tls {

// Room left around opened bytes, for the headers of layers above.
inline constexpr Overhead kOpenedRoom{.front = 64, .back = 64};
// RFC 8446 section 5.5 allows AES-GCM 2^24.5 full records under one key.
inline constexpr std::uint64_t kRecordsPerKey = std::uint64_t{1} << 24;
// What a peer may send without a byte of content between: records without content, and key updates.
inline constexpr int kIdleRecordLimit = 32;

enum class Side : std::uint8_t { kClient, kServer };

// The error for an alert that the peer sent.
std::error_code from_alert(int alert);

class RecordLayer {
 public:
  // After `records_per_key` records the keys for writing are renewed.
  RecordLayer(Side side, BufferPool& pool, std::uint64_t records_per_key = kRecordsPerKey)
      : side_(side), pool_(pool), records_per_key_(records_per_key) {}

  // Keys that the handshake left, as RecordKey::init(). Until then a direction is the library's.
  void start_reading(std::uint16_t cipher, std::span<const std::uint8_t> secret, std::uint64_t sequence) {
    read_key_.init(cipher, secret, sequence);
  }
  void start_writing(std::uint16_t cipher, std::span<const std::uint8_t> secret, std::uint64_t sequence) {
    write_key_.init(cipher, secret, sequence);
  }
  bool reads() const { return read_key_.ready(); }
  bool writes() const { return write_key_.ready(); }

  // Takes the next whole record off `in`; an incomplete one is kept until the rest comes (`record` is then empty).
  // `record` is valid until the next call.
  std::error_code next_record(Buffer& in, std::span<const std::uint8_t>& record);
  // Room for all that `in` can become with what is kept.
  Buffer acquire_plain(const Buffer& in);

  // As StreamCodec's; they need their direction's keys.
  std::error_code open(Buffer& data, Buffer& reply);
  void seal(Buffer& data);
  void seal_end(Buffer& out);
  // open(), with the content appended to `plain`.
  std::error_code open_into(Buffer& data, Buffer& plain, Buffer& reply);

  // What has come and was not opened: an incomplete record, or all from the record on that open() has failed on. No
  // further call of open() follows.
  Buffer take_unopened() { return std::move(taken_partial_ ? unopened_ : partial_); }

  // The peer's alert in words, when that was the error.
  std::string_view detail() const { return detail_; }

 private:
  std::error_code record_size(std::span<const std::uint8_t> bytes, std::size_t& size) const;
  void move_bytes(Buffer& in, std::size_t n);
  bool opens_in_place(const Buffer& data) const;
  std::error_code open_in_place(Buffer& data, Buffer& reply);
  std::error_code open_record(std::span<const std::uint8_t> record, Buffer& plain, Buffer& reply);
  void keep_unopened(std::span<const std::uint8_t> record, const Buffer& rest);
  std::error_code on_content(std::size_t size);
  std::error_code on_control(ContentType type, std::span<const std::uint8_t> content, Buffer& reply);
  std::error_code on_handshake_bytes(std::span<const std::uint8_t> bytes, Buffer& reply);
  std::error_code on_handshake_header();
  std::error_code on_key_update(std::span<const std::uint8_t> body, Buffer& reply);
  bool in_message() const { return message_header_size_ != 0 || message_rest_ != 0; }
  std::error_code count_idle();
  void seal_many(Buffer& data);
  void append_record(ContentType type, std::span<const std::uint8_t> content, Buffer& out);
  void update_write_key(Buffer& out);

  const Side side_;
  BufferPool& pool_;
  const std::uint64_t records_per_key_;
  RecordKey read_key_;
  RecordKey write_key_;
  std::string_view detail_;
  Buffer partial_;              // of an incomplete record
  bool taken_partial_ = false;  // partial_ was given out whole
  Buffer unopened_;             // after a failure
  int idle_records_ = 0;
  std::uint8_t message_header_[4];
  std::size_t message_header_size_ = 0;
  std::uint32_t message_rest_ = 0;
};

}  // namespace winze::tls
