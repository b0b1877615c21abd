// TLS 1.3 record protection (RFC 8446 section 5) with keys that a finished handshake left.
//
//   type=23(1) | 0x0303(2) | length(2) | AEAD( content | content type(1) | zeros ) with the header as associated data
#pragma once

#include <openssl/aead.h>
#include <openssl/digest.h>

#include <array>
#include <cstdint>
#include <span>
#include <system_error>

#include "winze/base/buffer.h"
#include "winze/base/secret.h"

namespace winze::tls {

inline constexpr std::size_t kHeaderSize = 5;
inline constexpr std::size_t kTagSize = 16;
inline constexpr std::size_t kMaxContent = 16384;
// Header, content type and tag.
inline constexpr std::size_t kRecordOverhead = kHeaderSize + 1 + kTagSize;
// RFC 8446 section 5.2: a record is at most so long; TLS 1.2 allows more.
inline constexpr std::size_t kMaxCiphertext13 = kMaxContent + 256;
inline constexpr std::size_t kMaxCiphertext12 = kMaxContent + 2048;

enum ContentType : std::uint8_t {
  kChangeCipherSpec = 20,
  kAlertRecord = 21,
  kHandshakeRecord = 22,
  kApplicationData = 23
};

// One direction's keys.
class RecordKey {
 public:
  ~RecordKey();
  // `cipher`: the suite's number (0x1301...). False for one not known here. `sequence`: of the next record.
  bool init(std::uint16_t cipher, std::span<const std::uint8_t> secret, std::uint64_t sequence);
  bool ready() const { return ready_; }
  std::uint64_t sequence() const { return sequence_; }
  // RFC 8446 section 7.2: the next generation of keys.
  void update();

  // Seals `content` (at most kMaxContent bytes) into the record at `out`, which has kRecordOverhead bytes more.
  // `content` may lie at out + kHeaderSize; otherwise the two must not overlap.
  void seal(ContentType type, std::span<const std::uint8_t> content, std::uint8_t* out);
  // Opens a whole record into `out` (room for its length), or in place (`out` = record + kHeaderSize). On success sets
  // `type` and the length of the content.
  [[nodiscard]] std::error_code open(std::span<const std::uint8_t> record, std::uint8_t* out, ContentType& type,
                                     std::size_t& length);

 private:
  void derive();
  std::array<std::uint8_t, 12> next_nonce();

  EVP_AEAD_CTX context_;
  const EVP_AEAD* aead_ = nullptr;
  const EVP_MD* digest_ = nullptr;
  Secret secret_;
  std::array<std::uint8_t, 12> iv_{};
  std::uint64_t sequence_ = 0;
  bool ready_ = false;
};

}  // namespace winze::tls
