// The encrypted bytes of one direction, behind the salt.
//
//   chunk   AEAD(u16 length) (2 + 16) | AEAD(payload) (length + 16)
//
// The nonce is a little-endian counter that goes up by one with each AEAD.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>

#include "proto/shadowsocks/session_key.h"
#include "winze/base/buffer.h"

namespace winze::shadowsocks {

inline constexpr std::size_t kLengthSize = 2 + kTagSize;
inline constexpr std::size_t kChunkOverhead = kLengthSize + kTagSize;

// Bytes of payload in the largest chunk that is sent.
constexpr std::size_t max_chunk(Method method) { return is_2022(method) ? 0xffff : 0x3fff; }

class Counter {
 public:
  // Where the next AEAD's nonce stands, up to the call after it.
  std::span<const std::uint8_t> next(std::size_t size) {
    for (std::size_t i = 0; i < 8; ++i) bytes_[i] = static_cast<std::uint8_t>(count_ >> 8 * i);
    ++count_;
    return {bytes_.data(), size};
  }

 private:
  std::array<std::uint8_t, 24> bytes_{};  // XChaCha20's is the longest
  std::uint64_t count_ = 0;
};

class ChunkSealer {
 public:
  ChunkSealer(Method method, std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt, BufferPool& pool);

  // Around what makes chunks of it in place, or in the same buffer's size of another.
  static constexpr Overhead kOverhead{.front = kLengthSize, .back = kTagSize + 16 * kChunkOverhead};

  // One chunk in place; of several each straight from one buffer into the next. `front`: room to leave before them.
  void seal(Buffer& data, std::size_t front = 0);
  // One AEAD alone, over data.size() bytes; behind them stands the tag.
  void seal_unit(std::uint8_t* data, std::size_t size);

 private:
  void write(std::span<const std::uint8_t> payload, std::uint8_t* chunk);

  Aead aead_;
  Counter counter_;
  std::size_t nonce_size_;
  std::size_t max_;
  BufferPool& pool_;
};

class ChunkOpener {
 public:
  ChunkOpener(Method method, std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt, BufferPool& pool);

  // Turns what has come into payload, as StreamCodec::open() does. A chunk may be empty: sing-box makes one of what a
  // stream within says by its head alone. (V2Ray's readers take it for an end.)
  std::error_code open(Buffer& data);
  // Opens one AEAD in place: `unit` is data and tag.
  [[nodiscard]] bool open_unit(std::span<std::uint8_t> unit);
  // Has the next chunk's payload come without a length of its own: 2022's first one of a server.
  void expect(std::size_t length) { length_ = length; }
  // Within a chunk.
  bool is_partial() const { return length_ || (!partial_.empty() && !taken_); }
  // Whether anything has been opened.
  bool is_begun() const { return begun_; }

 private:
  std::error_code open_length(std::span<std::uint8_t> unit);
  std::error_code open_in_place(Buffer& data);
  std::error_code open_into(Buffer& plain, std::span<const std::uint8_t> unit);
  std::span<std::uint8_t> take(Buffer& data, std::size_t size);
  Buffer acquire(const Buffer& data);

  Aead aead_;
  Counter counter_;
  std::size_t nonce_size_;
  std::optional<std::size_t> length_;  // of the payload that comes next; none: a length does
  Buffer partial_;                     // of a unit
  bool taken_ = false;                 // `partial_` has been opened
  bool begun_ = false;
  BufferPool& pool_;
};

}  // namespace winze::shadowsocks
