#include "winze/proto/ws/frame.h"

#include <algorithm>
#include <cstring>

#include "winze/base/bytes.h"
#include "winze/base/error.h"

namespace winze::ws {
namespace {

enum HeaderBits : std::uint8_t {
  kFin = 0x80,
  kReserved = 0x70,
  kOpcodeMask = 0x0f,
  kMasked = 0x80,
  kLengthMask = 0x7f
};

// Values of the 7-bit length that announce a longer field.
constexpr std::uint8_t kLength16 = 126;
constexpr std::uint8_t kLength64 = 127;

constexpr bool is_control(Opcode opcode) { return static_cast<std::uint8_t>(opcode) >= 8; }

constexpr bool is_known(std::uint8_t opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

std::size_t length_field_size(std::uint8_t short_length) {
  if (short_length == kLength64) return 8;
  return short_length == kLength16 ? 2 : 0;
}

// The size of the header that begins with these bytes, as far as they tell.
std::size_t header_size(std::span<const std::uint8_t> begin) {
  if (begin.size() < 2) return 2;
  const std::size_t mask = (begin[1] & kMasked) != 0 ? sizeof(MaskKey) : 0;
  return 2 + length_field_size(begin[1] & kLengthMask) + mask;
}

// RFC 6455 §7.4: codes that may be on the wire.
bool may_be_sent(std::uint16_t code) {
  if (code >= 3000) return code < 5000;
  return code >= 1000 && code <= 1014 && !(code >= 1004 && code <= 1006);
}

}  // namespace

// --- outgoing ---

MaskKey Framing::next_key() {
  if (keys_left_ == 0) {
    masks_->fill({keys_[0].data(), sizeof keys_});
    keys_left_ = static_cast<std::uint8_t>(keys_.size());
  }
  return keys_[--keys_left_];
}

// Puts the header of one frame in front of `data`, its payload; `key` is set for clients. Returns the payload's place.
std::uint8_t* Framing::put_header(Buffer& data, Opcode opcode, MaskKey& key) {
  const std::size_t payload = data.size();
  const bool masked = masks_ != nullptr;
  const std::uint8_t short_length = payload < kLength16     ? static_cast<std::uint8_t>(payload)
                                    : payload <= UINT16_MAX ? kLength16
                                                            : kLength64;
  const std::size_t field = length_field_size(short_length);
  std::uint8_t* header = data.prepend(2 + field + (masked ? key.size() : 0));
  *header++ = static_cast<std::uint8_t>(kFin | static_cast<std::uint8_t>(opcode));
  *header++ = static_cast<std::uint8_t>((masked ? kMasked : 0) | short_length);
  if (field == 2) store_u16(header, static_cast<std::uint16_t>(payload));
  if (field == 8) store_u64(header, payload);
  header += field;
  if (masked) {
    key = next_key();
    header = std::copy(key.begin(), key.end(), header);
  }
  return header;
}

std::error_code Framing::seal(Buffer& data) {
  if (data.empty()) return {};
  if (close_sent_) return Errc::kClosed;
  const std::size_t size = data.size();
  MaskKey key;
  std::uint8_t* payload = put_header(data, Opcode::kBinary, key);
  if (masks_ != nullptr) apply_mask(payload, payload, size, key, 0);
  return {};
}

void Framing::append_control(Buffer& out, Opcode opcode, std::span<const std::uint8_t> payload) {
  Buffer frame = Buffer::copy_of(payload, {.front = kMaxHeaderSize, .back = 0});
  MaskKey key;
  std::uint8_t* at = put_header(frame, opcode, key);
  if (masks_ != nullptr) apply_mask(at, at, payload.size(), key, 0);
  out.append(frame.span());
}

void Framing::append_close(Buffer& out, std::uint16_t code) {
  if (close_sent_) return;
  close_sent_ = true;
  std::uint8_t payload[2];
  store_u16(payload, code);
  append_control(out, Opcode::kClose, code == kNoCode ? std::span<std::uint8_t>() : payload);
}

StreamCodec::End Framing::seal_end(Buffer& out) {
  if (ending_ == Ending::kHalf) append_close(out, kNormal);
  return close_code_ != 0 ? StreamCodec::End::kShutdownBelow : StreamCodec::End::kKeepBelow;
}

// --- incoming ---

// The payload found in a buffer, kept in place: what follows a header amid the buffer moves down to the payload before.
struct Framing::Payload {
  std::uint8_t* begin = nullptr;
  std::uint8_t* end = nullptr;

  // Where `n` more bytes belong, which lie at `at`.
  std::uint8_t* extend(std::uint8_t* at, std::size_t n) {
    if (begin == nullptr) begin = end = at;
    std::uint8_t* to = end;
    end += n;
    return to;
  }

  // Leaves only the payload in `data`.
  void trim(Buffer& data) const {
    if (begin == nullptr) return data.clear();
    data.trim_back(static_cast<std::size_t>(data.data() + data.size() - end));
    data.trim_front(static_cast<std::size_t>(begin - data.data()));
  }
};

std::error_code Framing::open(Buffer& data, Buffer& reply) {
  if (pong_at_end_ != 0 && reply.size() >= pong_at_end_) {
    // The pong of the last call has not left yet; a later one would replace it.
    pong_due_ = true;
    reply.trim_back(pong_at_end_);
  }
  pong_at_end_ = 0;

  std::error_code error;
  Payload payload;
  std::span<std::uint8_t> in = data.span();
  while (!in.empty() || (in_payload_ && left_ == 0)) {
    if (!in_payload_) {
      if (!take_header(in, error)) break;
      continue;
    }
    if (is_control(opcode_)) {
      if (!take_control(in, error, reply)) break;
      continue;
    }
    take_payload(in, payload);
  }

  if (pong_due_ && !close_sent_) {
    const std::size_t before = reply.size();
    append_control(reply, Opcode::kPong, std::span(pong_).first(pong_size_));
    pong_at_end_ = reply.size() - before;
  }
  pong_due_ = false;
  if (error && error != winze::Errc::kEof && error != Errc::kClosedWithError) append_close(reply, kProtocolError);

  payload.trim(data);
  return error;
}

void Framing::take_payload(std::span<std::uint8_t>& in, Payload& payload) {
  const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size()));
  if (n != 0) {
    std::uint8_t* to = payload.extend(in.data(), n);
    if (masks_ == nullptr) {
      apply_mask(to, in.data(), n, key_, key_offset_);
      key_offset_ = (key_offset_ + n) % key_.size();
    } else if (to != in.data()) {
      std::memmove(to, in.data(), n);
    }
  }
  in = in.subspan(n);
  left_ -= n;
  if (left_ == 0) {
    in_payload_ = false;
    in_message_ = !fin_;
  }
}

bool Framing::take_header(std::span<std::uint8_t>& in, std::error_code& error) {
  const std::size_t held = header_size_;
  const std::size_t copied = std::min(header_.size() - held, in.size());
  std::copy_n(in.data(), copied, header_.data() + held);
  const std::size_t known = held + copied;
  const std::size_t size = header_size(std::span(header_).first(known));
  if (known < size) {
    header_size_ = static_cast<std::uint8_t>(known);
    in = {};
    return false;
  }
  in = in.subspan(size - held);
  header_size_ = 0;
  error = begin_frame(std::span(header_).first(size));
  return !error;
}

std::error_code Framing::begin_frame(std::span<const std::uint8_t> header) {
  if ((header[0] & kReserved) != 0) return Errc::kReservedBits;
  if (!is_known(header[0] & kOpcodeMask)) return Errc::kBadOpcode;
  if (((header[1] & kMasked) != 0) != (masks_ == nullptr)) return Errc::kBadMask;
  fin_ = (header[0] & kFin) != 0;
  opcode_ = static_cast<Opcode>(header[0] & kOpcodeMask);

  const std::uint8_t short_length = header[1] & kLengthMask;
  left_ = short_length;
  if (short_length == kLength16) left_ = load_u16(header.data() + 2);
  if (short_length == kLength64) left_ = load_u64(header.data() + 2);
  // §5.2: the minimal number of bytes MUST be used, and the most significant bit MUST be 0.
  const bool minimal = short_length == kLength16 ? left_ >= kLength16 : short_length != kLength64 || left_ > UINT16_MAX;
  if (!minimal || left_ >> 63 != 0) return Errc::kBadLength;

  if (is_control(opcode_)) {
    if (!fin_) return Errc::kBadFragment;
    if (left_ > kMaxControlSize) return Errc::kBadLength;
    control_size_ = 0;
  } else if ((opcode_ == Opcode::kContinuation) != in_message_) {
    return Errc::kBadFragment;
  }
  if (masks_ == nullptr) std::copy_n(header.data() + header.size() - key_.size(), key_.size(), key_.data());
  key_offset_ = 0;
  in_payload_ = true;
  return {};
}

bool Framing::take_control(std::span<std::uint8_t>& in, std::error_code& error, Buffer& reply) {
  const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size()));
  std::copy_n(in.data(), n, control_.data() + control_size_);
  control_size_ = static_cast<std::uint8_t>(control_size_ + n);
  in = in.subspan(n);
  left_ -= n;
  if (left_ != 0) return true;
  in_payload_ = false;
  if (masks_ == nullptr) apply_mask(control_.data(), control_.data(), control_size_, key_, 0);
  if (opcode_ == Opcode::kPing) {
    pong_ = control_;
    pong_size_ = control_size_;
    pong_due_ = true;
  } else if (opcode_ == Opcode::kClose) {
    error = on_close(reply);
  }
  return !error;
}

std::error_code Framing::on_close(Buffer& reply) {
  if (control_size_ == 1) return Errc::kBadClose;
  const std::uint16_t code = control_size_ == 0 ? std::uint16_t{kNoCode} : load_u16(control_.data());
  if (control_size_ != 0 && !may_be_sent(code)) return Errc::kBadClose;
  close_code_ = code;
  if (ending_ == Ending::kBoth) append_close(reply, code);
  const bool normal = code == kNormal || code == kGoingAway || code == kNoCode;
  return normal ? std::error_code(winze::Errc::kEof) : std::error_code(Errc::kClosedWithError);
}

std::error_code Framing::open_end() const {
  // Without a close frame the stream ends where the connection does, if that is not amid a frame or message: peers that
  // keep half-close off the wire (Ending::kBoth) have no other way. With kHalf the close frame is owed.
  const bool amid = in_payload_ || in_message_ || header_size_ != 0;
  return amid || ending_ == Ending::kHalf ? winze::Errc::kTruncated : winze::Errc::kEof;
}

}  // namespace winze::ws
