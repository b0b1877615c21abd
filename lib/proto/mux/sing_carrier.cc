#include <algorithm>
#include <cstring>
#include <utility>

#include "winze/base/bytes.h"
#include "winze/proto/mux/error.h"
#include "winze/proto/mux/h2.h"
#include "winze/proto/mux/sing.h"
#include "winze/proto/mux/smux.h"
#include "winze/proto/mux/yamux.h"

namespace winze::mux::sing {
namespace {

constexpr std::uint8_t kPlain = 0, kPaddingAware = 1;
constexpr std::size_t kLeastPadding = 256;
constexpr std::size_t kPaddingRange = 512;
constexpr std::size_t kPieceHead = 4;
constexpr std::size_t kLargestPiece = 65535;
constexpr std::size_t kPrefaceHead = 1 + 1 + 1 + 2;
constexpr Overhead kPieceRoom{.front = kPieceHead, .back = kLeastPadding + kPaddingRange};

std::size_t draw_padding(Random& random) { return kLeastPadding + random.below(kPaddingRange); }

}  // namespace

bool is_carrier(const Destination& destination) {
  return destination.is_name() && *destination.name() == "sp.mux.sing-box.arpa" && destination.network == Network::kTcp;
}

std::unique_ptr<Session> make_session(Protocol protocol, Role role) {
  switch (protocol) {
    case Protocol::kSmux:
      return std::make_unique<SmuxSession>(role);
    case Protocol::kYamux:
      return std::make_unique<YamuxSession>(role);
    case Protocol::kHttp2:
      break;
  }
  return std::make_unique<H2Session>(role);
}

// --- padding ---

// Into a buffer of its own where there are several pieces: at most the first sixteen are copied.
void Padding::seal(Buffer& data, Random& random) {
  if (data.empty()) return;
  Buffer out;
  while (sealed_ < kPieces && !data.empty()) {
    ++sealed_;
    const std::size_t size = std::min(data.size(), kLargestPiece);
    const std::size_t pad = draw_padding(random);
    Buffer piece;
    if (size == data.size() && out.empty()) {
      piece = std::move(data);
    } else {
      piece = Buffer(kPieceHead + size + pad, kPieceHead);
      piece.append(std::as_const(data).span().first(size));
      data.trim_front(size);
    }
    std::uint8_t* head = piece.prepend(kPieceHead);
    store_u16(head, static_cast<std::uint16_t>(size));
    store_u16(head + 2, static_cast<std::uint16_t>(pad));
    Writer(piece).zeros(pad);
    if (out.empty()) {
      out = std::move(piece);
    } else {
      out.append(std::as_const(piece).span());
    }
  }
  if (!out.empty() && !data.empty()) out.append(std::as_const(data).span());
  if (!out.empty()) data = std::move(out);
}

// What is left moves together over the heads and the padding.
void Padding::open(Buffer& data) {
  std::uint8_t* const begin = data.data();
  std::uint8_t* to = begin;
  std::span<const std::uint8_t> rest = std::as_const(data).span();
  while (!rest.empty()) {
    if (left_ != 0 || (pad_left_ == 0 && opened_ == kPieces)) {
      const std::size_t n = left_ != 0 ? std::min(left_, rest.size()) : rest.size();
      if (left_ != 0) left_ -= n;
      std::memmove(to, rest.data(), n);
      to += n;
      rest = rest.subspan(n);
    } else if (pad_left_ != 0) {
      const std::size_t n = std::min(pad_left_, rest.size());
      pad_left_ -= n;
      rest = rest.subspan(n);
    } else {
      const std::size_t n = std::min(kPieceHead - partial_.size(), rest.size());
      partial_.append(rest.first(n));
      rest = rest.subspan(n);
      if (partial_.size() < kPieceHead) break;
      left_ = load_u16(partial_.data());
      pad_left_ = load_u16(partial_.data() + 2);
      partial_.release();
      ++opened_;
    }
  }
  data.trim_back(data.size() - static_cast<std::size_t>(to - begin));
}

// --- the client's side ---

CarrierClientCodec::CarrierClientCodec(Protocol protocol, bool padded, Random& random)
    : protocol_(protocol), random_(random) {
  if (padded) padding_.emplace();
}

Overhead CarrierClientCodec::overhead() const {
  if (!padding_) return {.front = kPrefaceHead, .back = 0};
  return Overhead{.front = kPrefaceHead + kLeastPadding + kPaddingRange, .back = 0} + kPieceRoom;
}

std::error_code CarrierClientCodec::seal(Buffer& data) {
  if (padding_) padding_->seal(data, random_);
  if (!std::exchange(preface_due_, false)) return {};
  const std::size_t pad = padding_ ? draw_padding(random_) : 0;
  Buffer preface(kPrefaceHead + pad);
  Writer writer(preface);
  writer.u8(padding_ ? kPaddingAware : kPlain);
  writer.u8(static_cast<std::uint8_t>(protocol_));
  if (padding_) {
    writer.u8(1);
    writer.u16(static_cast<std::uint16_t>(pad));
    writer.zeros(pad);
  }
  std::memcpy(data.prepend(preface.size()), preface.data(), preface.size());
  return {};
}

std::error_code CarrierClientCodec::open(Buffer& data, Buffer&) {
  if (padding_) padding_->open(data);
  return {};
}

// --- the server's ---

Overhead CarrierServerCodec::overhead() const { return padding_ ? kPieceRoom : Overhead(); }

StreamCodec::Handshake CarrierServerCodec::handshake(Buffer& in, Buffer&, std::error_code& error) {
  received_.append(std::as_const(in).span());
  in.clear();
  Reader reader(std::as_const(received_).span());
  const std::uint8_t version = reader.u8();
  const std::uint8_t protocol = reader.u8();
  bool padded = false;
  if (version == kPaddingAware && reader.u8() != 0) {
    padded = true;
    reader.skip(reader.u16());
  }
  if (version > kPaddingAware || protocol > static_cast<std::uint8_t>(Protocol::kHttp2)) {
    error = Errc::kBadPreface;
  } else if (reader.ok() && wants_padding_ && !padded) {
    error = Errc::kUnpadded;
  }
  if (error || !reader.ok()) return Handshake::kMore;
  protocol_ = static_cast<Protocol>(protocol);
  if (padded) padding_.emplace();
  in.append(reader.rest());
  received_.release();
  return Handshake::kDone;
}

std::error_code CarrierServerCodec::seal(Buffer& data) {
  if (padding_) padding_->seal(data, random_);
  return {};
}

std::error_code CarrierServerCodec::open(Buffer& data, Buffer&) {
  if (padding_) padding_->open(data);
  return {};
}

}  // namespace winze::mux::sing
