// What sing-box says around smux, yamux and HTTP/2 ("sing-mux"): the beginning of a carrier, its padding, and at the
// beginning of each sub-stream whom it is for.
//
//   carrier   a connection to the host "sp.mux.sing-box.arpa"
//   preface   u8 version | u8 protocol | [ version 1: u8 padded | [ padded: u16 n | n bytes ] ]
//             protocol: 0 smux, 1 yamux, 2 HTTP/2. From the client; a server has none.
//   padding   the first 16 pieces that each side writes:  u16 length | u16 n | data (length) | n bytes
//
//   request   u16 flags | address                 flags: 1 UDP, 2 each datagram has an address of its own
//   answer    u8 0, or u8 1 | varint length | text (length), with the first bytes from the server
//   datagram  [ flag 2: address ] | u16 length | datagram (length)
//
// Addresses are SOCKS5's (winze/proto/socks/address.h). The request goes with the first payload, and nobody waits for
// the answer. Where each datagram has an address the request has that of the first. The protocol has no standard; this
// follows what sing-mux 0.3 sends and accepts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "winze/base/random.h"
#include "winze/proto/mux/session.h"
#include "winze/proto/proxy_codec.h"

namespace winze::mux::sing {

enum class Protocol : std::uint8_t { kSmux = 0, kYamux = 1, kHttp2 = 2 };

// What a carrier is dialed to. The host alone counts.
inline Destination carrier_destination() { return Destination("sp.mux.sing-box.arpa", 444); }
bool is_carrier(const Destination& destination);

std::unique_ptr<Session> make_session(Protocol protocol, Role role);

// Puts the padding around what is written, and takes it off what is read.
class Padding {
 public:
  static constexpr std::uint32_t kPieces = 16;

  void seal(Buffer& data, Random& random);
  void open(Buffer& data);
  bool seals_verbatim() const { return sealed_ == kPieces; }
  bool opens_verbatim() const { return opened_ == kPieces && left_ == 0 && pad_left_ == 0; }

 private:
  std::uint32_t sealed_ = 0;
  std::uint32_t opened_ = 0;  // heads of pieces
  Buffer partial_;            // the beginning of a head
  std::size_t left_ = 0;      // bytes of the piece still to come
  std::size_t pad_left_ = 0;  // ... and of its padding behind them
};

// The beginning of a carrier, as a layer over the connection.
class CarrierClientCodec final : public StreamCodec {
 public:
  CarrierClientCodec(Protocol protocol, bool padded, Random& random);

  Overhead overhead() const override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  bool seals_verbatim() const override { return !preface_due_ && (!padding_ || padding_->seals_verbatim()); }
  bool opens_verbatim() const override { return !padding_ || padding_->opens_verbatim(); }
  bool holds_opening() const override { return preface_due_; }

 private:
  Protocol protocol_;
  Random& random_;
  std::optional<Padding> padding_;
  bool preface_due_ = true;
};

class CarrierServerCodec final : public StreamCodec {
 public:
  // `wants_padding`: others fail with Errc::kUnpadded.
  CarrierServerCodec(bool wants_padding, Random& random) : wants_padding_(wants_padding), random_(random) {}

  // Once the handshake is done.
  Protocol protocol() const { return protocol_; }

  Overhead overhead() const override;
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  bool seals_verbatim() const override { return !padding_ || padding_->seals_verbatim(); }
  bool opens_verbatim() const override { return !padding_ || padding_->opens_verbatim(); }

 private:
  bool wants_padding_;
  Random& random_;
  Protocol protocol_ = Protocol::kSmux;
  std::optional<Padding> padding_;
  Buffer received_;  // the beginning of the preface
};

// The beginning of a sub-stream. A destination for UDP stands for datagrams, everyone() for such with addresses.
class StreamClientCodec final : public StreamCodec {
 public:
  explicit StreamClientCodec(Destination destination) : destination_(std::move(destination)) {}

  Overhead overhead() const override;
  // Fails with Errc::kBadName where the destination cannot be said.
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override;
  // Errc::kRefused where the server has not opened it.
  std::error_code open(Buffer& data, Buffer& reply) override;
  std::error_code open_end() override;
  End seal_end(Buffer& out) override;
  bool seals_verbatim() const override { return !request_due_; }
  bool opens_verbatim() const override { return !answer_due_; }
  bool holds_opening() const override { return request_due_; }

 private:
  Destination destination_;
  bool request_due_ = true;
  bool answer_due_ = true;
};

class StreamServerCodec final : public ProxyServerCodec {
 public:
  // `user` and `level` are the carrier's.
  StreamServerCodec(std::string user, std::uint32_t level);

  Overhead overhead() const override { return {.front = 1, .back = 0}; }
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  const ProxyRequest& request() const override { return request_; }
  void grant(const Endpoint&) override {}
  void refuse(Refusal reason) override { refusal_ = reason; }
  bool answers_at_once() const override { return false; }
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer&, Buffer&) override { return {}; }
  End seal_end(Buffer& out) override;
  bool seals_verbatim() const override { return !answer_due_; }
  bool opens_verbatim() const override { return true; }

 private:
  ProxyRequest request_;
  std::optional<Refusal> refusal_;
  bool answer_due_ = true;
  Buffer received_;  // the beginning of the request
};

// --- datagrams ---

// Peers take datagrams into buffers of 16 KiB.
inline constexpr std::size_t kSafeDatagramSize = 8192;
inline constexpr std::size_t kMaxDatagramHeader = 1 + 1 + 255 + 2 + 2;

// Puts the header in front of a datagram, in its headroom; `peer` null: without an address. False, and nothing done,
// when it cannot be said, or the datagram is empty or longer than 65535 bytes.
[[nodiscard]] bool encode_datagram(Buffer& datagram, const Destination* peer);
// The datagram that `bytes` begin with, and its peer unless that is null; `bytes` then begin behind it. Nothing while
// it is incomplete, or with `error` set to Errc::kBadAddress. Empty ones are passed over. What is left is the caller's
// to keep until more bytes come: less than kMaxDatagramHeader + 65535.
std::optional<std::span<const std::uint8_t>> decode_datagram(std::span<const std::uint8_t>& bytes, Destination* peer,
                                                             std::error_code& error);

}  // namespace winze::mux::sing
