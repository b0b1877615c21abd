// The body of a VMess connection: chunks, each direction by itself.
//
//   chunk   size (2, or 18 with A) | data, sealed | tag (16) | padding (0..63, with P)
//
// size counts data, tag and padding. With M it is XORed with two bytes of SHAKE128(iv); with A it is itself sealed, and
// does not count the tag. The padding's length is two more bytes of SHAKE128(iv), modulo 64, drawn before the mask.
// A chunk without data ends the direction. The nonce of a chunk is its number, modulo 2^16, and ten bytes of iv.
// Security "none" has no tags, and padding for datagrams only; without S the bytes are as they are.
//
// In the body of a request for UDP a chunk is a datagram. Towards the application these have the form of
// winze/proto/vless/datagram.h: u16 length | datagram.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>

#include "winze/base/buffer.h"
#include "winze/base/random.h"
#include "winze/crypto/aead.h"
#include "winze/crypto/shake128.h"
#include "winze/proto/vmess/security.h"

namespace winze::vmess {

struct BodyFormat {
  Security security = Security::kNone;  // resolved
  std::uint8_t options = 0;
  bool datagrams = false;
};
// False for options that contradict each other: P without M, and datagrams without bounds.
bool is_valid(const BodyFormat& format);

struct BodyKeys {
  std::array<std::uint8_t, 16> key{};
  std::array<std::uint8_t, 16> iv{};
  ~BodyKeys();
};
// Those of the other direction.
BodyKeys response_keys(const BodyKeys& request);

// Bytes of data in the largest chunk that is sent. Readers take 65535 in all, but sing's have a buffer of 16384.
inline constexpr std::size_t kMaxChunkData = 15000;
inline constexpr std::size_t kMaxPadding = 63;
// A longer datagram is dropped.
inline constexpr std::size_t kMaxChunkDatagram = 65535 - 16 - kMaxPadding;

// What sealing and opening have in common.
class ChunkKeys {
 public:
  // Whether the bytes are as they are.
  bool is_raw() const { return raw_; }

 protected:
  // `keys` are the direction's. `format` is valid.
  ChunkKeys(const BodyFormat& format, const BodyKeys& keys, const BodyKeys& request);

  std::size_t size_field() const { return size_aead_ ? std::size_t{18} : std::size_t{2}; }
  std::size_t tag_size() const { return aead_ ? std::size_t{16} : std::size_t{0}; }
  std::uint16_t draw();
  std::size_t draw_padding() { return pads_ ? draw() % (kMaxPadding + 1) : 0; }
  std::uint16_t draw_mask() { return masks_ ? draw() : std::uint16_t{0}; }
  std::array<std::uint8_t, 12> nonce(const std::array<std::uint8_t, 16>& iv) const;

  std::optional<Aead> aead_;
  std::optional<Aead> size_aead_;  // A
  std::array<std::uint8_t, 16> iv_;
  std::array<std::uint8_t, 16> size_iv_;
  std::uint16_t number_ = 0;  // of the next chunk
  bool datagrams_;
  bool ends_;  // S: an end chunk is sent

 private:
  std::optional<Shake128> shake_;
  bool raw_, masks_, pads_;
};

// `pool` and `random` must outlive both.
class ChunkSealer : private ChunkKeys {
 public:
  ChunkSealer(const BodyFormat& format, const BodyKeys& keys, const BodyKeys& request, BufferPool& pool, Random& random)
      : ChunkKeys(format, keys, request), pool_(pool), random_(random) {}
  using ChunkKeys::is_raw;

  // Around what makes one chunk.
  Overhead overhead() const;
  // One chunk in place; of several each straight from one buffer into the next. `room`: to leave in front.
  void seal(Buffer& data, std::size_t room);
  void seal_end(Buffer& out);

 private:
  void seal_one(Buffer& data, std::size_t padding);
  void seal_many(Buffer& data, std::size_t room);
  void seal_datagrams(Buffer& data, std::size_t room);
  void append_chunk(std::span<const std::uint8_t> data, Buffer& out);
  void write(std::span<const std::uint8_t> data, std::size_t padding, std::uint8_t* out);

  BufferPool& pool_;
  Random& random_;
  Buffer rest_;  // of a datagram that is not whole
};

class ChunkOpener : private ChunkKeys {
 public:
  ChunkOpener(const BodyFormat& format, const BodyKeys& keys, const BodyKeys& request, BufferPool& pool)
      : ChunkKeys(format, keys, request), pool_(pool) {}
  using ChunkKeys::is_raw;

  // As StreamCodec's.
  std::error_code open(Buffer& data);
  std::error_code open_end() const;

 private:
  std::error_code read_size(std::span<std::uint8_t> field);
  std::error_code open_one(std::span<const std::uint8_t> chunk, std::uint8_t* out);
  std::error_code open_in_place(Buffer& data);
  std::error_code open_next(Buffer& data, Buffer& plain, bool& more);
  std::span<std::uint8_t> take(Buffer& data, std::size_t n);
  std::size_t data_size() const { return chunk_ - tag_size() - padding_; }

  BufferPool& pool_;
  Buffer partial_;         // of a size, or of a chunk behind it
  bool sized_ = false;     // the size has been read:
  std::size_t chunk_ = 0;  // bytes behind it
  std::size_t padding_ = 0;
};

}  // namespace winze::vmess
