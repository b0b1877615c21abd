// Trojan: a request in front of the client's bytes, and nothing in front of the server's. No encryption and no round
// trip: it belongs inside TLS, where it looks like a browser's HTTPS up to the first bytes, and a stranger's bytes go
// to a web server (winze/proto/fallback.h).
//
//   request   key (56) | CR LF | u8 command | address | CR LF | payload ...
//
// The key is the SHA-224 of the password in lower-case hexadecimal; the address is SOCKS5's
// (winze/proto/socks/address.h). Commands: 1 CONNECT, 3 UDP ASSOCIATE: the payload of both directions is datagrams
// (datagram.h), each with its peer, and the address of the request means nothing. The protocol has no standard; this
// follows what trojan 1.16, V2Ray and Xray send and accept.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "winze/base/bytes.h"
#include "winze/proto/proxy_codec.h"
#include "winze/proto/trojan/error.h"
#include "winze/proto/trojan/users.h"

namespace winze::trojan {

class ClientCodec final : public StreamCodec {
 public:
  // Asks for `destination`; its network says whether by TCP or UDP. handshake() fails with Errc::kBadName when the
  // destination cannot be sent.
  ClientCodec(const Key& key, const Destination& destination);

  Overhead overhead() const override { return {.front = request_.size(), .back = 0}; }
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  std::error_code open_end() override;
  End seal_end(Buffer& out) override;
  bool seals_verbatim() const override { return request_.empty(); }
  bool opens_verbatim() const override { return true; }
  bool holds_opening() const override { return !request_.empty(); }

 private:
  Buffer request_;  // until the first seal(); empty from the start where the destination cannot be sent
};

class ServerCodec final : public ProxyServerCodec {
 public:
  explicit ServerCodec(std::shared_ptr<const Users> users) : users_(std::move(users)) {}

  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  Overhead overhead() const override { return {}; }
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  bool seals_verbatim() const override { return true; }
  bool opens_verbatim() const override { return true; }

  // For UDP the destination is port 0 of 0.0.0.0, which stands for everyone (winze/io/dialer.h).
  const ProxyRequest& request() const override { return request_; }
  // Trojan has no words for either.
  void grant(const Endpoint& bound) override { (void)bound; }
  void refuse(Refusal reason) override { (void)reason; }
  bool answers_at_once() const override { return false; }

  bool is_stranger(const std::error_code& error) const override;
  std::optional<Buffer> take_received() override;

 private:
  // Reads the request at the front of `bytes`; `size` is its length, 0 while it is incomplete.
  std::error_code parse(std::span<const std::uint8_t> bytes, std::size_t& size);
  std::error_code parse_request(Reader& reader, std::size_t& size);

  std::shared_ptr<const Users> users_;
  Buffer received_;     // an incomplete request
  bool known_ = false;  // the key is a user's
  ProxyRequest request_;
};

}  // namespace winze::trojan
