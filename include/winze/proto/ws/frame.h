// WebSocket frames (RFC 6455 §5), used as a stream of bytes: where messages begin and end means nothing here.
//
//   | fin:1 rsv:3 opcode:4 | masked:1 length:7 | u16 or u64 length, for 126 and 127 | mask (4), if masked | payload |
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <system_error>

#include "winze/base/buffer.h"
#include "winze/base/random.h"
#include "winze/base/stream_codec.h"
#include "winze/proto/ws/error.h"

namespace winze::ws {

enum class Opcode : std::uint8_t { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

inline constexpr std::size_t kMaxHeaderSize = 14;    // bytes
inline constexpr std::size_t kMaxControlSize = 125;  // bytes of payload

enum CloseCode : std::uint16_t { kNormal = 1000, kGoingAway = 1001, kProtocolError = 1002, kNoCode = 1005 };

using MaskKey = std::array<std::uint8_t, 4>;

// XORs `size` bytes from `from` with the key, whose byte `offset` % 4 comes first, to `to`. The two may be the same, or
// overlap when `to` is the lower.
void apply_mask(std::uint8_t* to, const std::uint8_t* from, std::size_t size, MaskKey key, std::size_t offset);

// How the two directions end.
enum class Ending : std::uint8_t {
  // As V2Ray's peers do: a close frame ends both directions. We answer one, and send none of our own, because the peer
  // would cut off what it still has to say; our end is the end of the connection.
  kBoth,
  // Between peers that know it: a close frame ends one direction, the other goes on until its own.
  kHalf,
};

// Both directions of one WebSocket after its opening. The calls are those of StreamCodec.
class Framing {
 public:
  // A client masks what it sends, with keys from `masks`; a server (null) does not. `masks` must outlive this.
  Framing(Random* masks, Ending ending) : masks_(masks), ending_(ending) {}

  // Room in front that seal() uses.
  std::size_t header_room() const { return masks_ != nullptr ? kMaxHeaderSize : kMaxHeaderSize - sizeof(MaskKey); }

  // One frame per call, however large.
  [[nodiscard]] std::error_code seal(Buffer& data);
  // Yields payload as it comes, frames complete or not. Pings are answered in `reply`; when an earlier pong has not
  // left it yet, by one pong to the latest ping (§5.5.3). `reply` must be as the last call left it, or empty.
  [[nodiscard]] std::error_code open(Buffer& data, Buffer& reply);
  std::error_code open_end() const;
  StreamCodec::End seal_end(Buffer& out);

  // The code of the peer's close frame; kNoCode when it had none, 0 before it came.
  std::uint16_t close_code() const { return close_code_; }

 private:
  struct Payload;

  // These eat from `in`; those that return bool say whether to go on, and fail by setting `error`.
  bool take_header(std::span<std::uint8_t>& in, std::error_code& error);
  void take_payload(std::span<std::uint8_t>& in, Payload& payload);
  std::error_code begin_frame(std::span<const std::uint8_t> header);
  bool take_control(std::span<std::uint8_t>& in, std::error_code& error, Buffer& reply);
  std::error_code on_close(Buffer& reply);

  std::uint8_t* put_header(Buffer& data, Opcode opcode, MaskKey& key);
  void append_control(Buffer& out, Opcode opcode, std::span<const std::uint8_t> payload);
  void append_close(Buffer& out, std::uint16_t code);
  MaskKey next_key();

  Random* masks_;
  Ending ending_;

  // Incoming: the frame under way.
  bool in_payload_ = false;
  bool in_message_ = false;  // a fragment with fin is still to come
  bool fin_ = false;
  Opcode opcode_ = Opcode::kContinuation;
  MaskKey key_{};
  std::uint64_t left_ = 0;      // bytes of its payload
  std::size_t key_offset_ = 0;  // bytes of its payload so far, modulo 4
  std::uint8_t header_size_ = 0;
  std::array<std::uint8_t, kMaxHeaderSize> header_;  // incomplete
  std::uint8_t control_size_ = 0;
  std::array<std::uint8_t, kMaxControlSize> control_;

  // Outgoing.
  bool pong_due_ = false;
  std::uint8_t pong_size_ = 0;   // of the payload
  std::size_t pong_at_end_ = 0;  // bytes at the end of the last reply
  bool close_sent_ = false;
  std::uint16_t close_code_ = 0;
  std::uint8_t keys_left_ = 0;
  std::array<MaskKey, 16> keys_;  // drawn in advance: a draw may be a system call
  std::array<std::uint8_t, kMaxControlSize> pong_;
};

}  // namespace winze::ws
