// The server's side of SOCKS4, SOCKS4a and SOCKS5; the first byte tells which.
//
//   4:   04 cmd port(2) ip(4) userid 00 [domain 00 when ip is 0.0.0.x]  ->  00 5a|5b 00(6)
//   5:   05 n methods(n)                                                ->  05 method
//        01 ulen user plen password       (method 02, RFC 1929)         ->  01 00|ff
//        05 cmd 00 address                                              ->  05 code 00 address
//
// Base documents: RFC 1928, RFC 1929, the SOCKS4 and 4A notes. CONNECT is served, UDP ASSOCIATE where the options allow
// it, BIND never (07). The reply waits for grant() or refuse(), so a client learns of a real failure. A client may send
// all its messages and its first payload at once.
#pragma once

#include <memory>

#include "winze/proto/credentials.h"
#include "winze/proto/proxy_codec.h"
#include "winze/proto/socks/error.h"

namespace winze::socks {

struct ServerOptions {
  // Null: no authentication, and a user name that a client gives means nothing. Otherwise SOCKS5 with user name and
  // password alone is accepted, and SOCKS4 refused.
  std::shared_ptr<const Credentials> credentials;
  bool udp = false;  // whether UDP ASSOCIATE may be asked for
};

class ServerCodec final : public ProxyServerCodec {
 public:
  explicit ServerCodec(ServerOptions options) : options_(std::move(options)) {}

  Overhead overhead() const override;
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  bool seals_verbatim() const override { return granted_ && answer_.empty(); }
  bool opens_verbatim() const override { return true; }
  bool holds_opening() const override { return !answer_.empty(); }

  // For UDP ASSOCIATE the destination's network is UDP; its host and port are where the client means to send from,
  // often 0.0.0.0:0.
  const ProxyRequest& request() const override { return request_; }
  // For UDP ASSOCIATE: `bound` is where the client shall send its datagrams.
  void grant(const Endpoint& bound) override;
  void refuse(Refusal reason) override;
  bool answers_at_once() const override { return true; }

  // The client asked for UDP ASSOCIATE: this stream carries no payload, the association lives as long as it.
  bool is_associate() const { return request_.destination.network == Network::kUdp; }

 private:
  enum class Stage : std::uint8_t { kVersion, kGreeting, kPassword, kRequest, kVersion4, kDone };
  enum class Step : std::uint8_t { kMore, kNext, kFailed };

  Step step(Buffer& in, Buffer& out, std::error_code& error);
  Step read_version(Buffer& in, std::error_code& error);
  Step read_greeting(Buffer& in, Buffer& out, std::error_code& error);
  Step read_password(Buffer& in, Buffer& out, std::error_code& error);
  Step read_request(Buffer& in, Buffer& out, std::error_code& error);
  Step read_request4(Buffer& in, Buffer& out, std::error_code& error);
  Step fail(Errc why, Refusal reason, Buffer& out, std::error_code& error);
  void append_answer(std::uint8_t code, const Endpoint& bound, Buffer& out) const;

  ServerOptions options_;
  Stage stage_ = Stage::kVersion;
  bool version4_ = false;
  bool granted_ = false;
  Buffer held_;    // the message under way
  Buffer answer_;  // goes in front of the first payload
  ProxyRequest request_;
};

}  // namespace winze::socks
