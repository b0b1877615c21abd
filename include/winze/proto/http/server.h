// The server's side of an HTTP proxy connection, up to its first request (RFC 9110 §9.3.6).
//
//   CONNECT host:port HTTP/1.1 CRLF fields CRLF  ->  HTTP/1.1 200 Connection established CRLF CRLF
//
// Bytes after the request's blank line are payload. A request by any other method is not answered here: the opening
// ends with is_forward() true and every byte from the start of that request left for the forward engines
// (winze/proto/http/forward_request.h), which also check the credentials of each request.
//
// What is malformed is answered (400, 407, 431, 501, 505) and the opening fails.
#pragma once

#include <memory>
#include <string>

#include "winze/proto/credentials.h"
#include "winze/proto/http/error.h"
#include "winze/proto/http/head.h"
#include "winze/proto/proxy_codec.h"

namespace winze::http {

struct ServerOptions {
  std::shared_ptr<const Credentials> credentials;  // null: no authentication
  std::string realm = "proxy";
};

class ServerCodec final : public ProxyServerCodec {
 public:
  explicit ServerCodec(ServerOptions options) : options_(std::move(options)) {}

  Overhead overhead() const override { return {answer_.size(), 0}; }
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  bool seals_verbatim() const override { return is_forward_ || (granted_ && answer_.empty()); }
  bool opens_verbatim() const override { return true; }
  bool holds_opening() const override { return !answer_.empty(); }

  const ProxyRequest& request() const override { return request_; }
  void grant(const Endpoint& bound) override;
  void refuse(Refusal reason) override;
  bool answers_at_once() const override { return true; }

  // The first request is a plain one: request() says nothing, and there is nothing to grant.
  bool is_forward() const override { return is_forward_; }
  // The head of the CONNECT or of the plain request.
  const RequestHead& head() const { return head_; }

 private:
  std::error_code accept_connect();

  ServerOptions options_;
  HeadCollector collector_;
  RequestHead head_;
  ProxyRequest request_;
  bool is_forward_ = false;
  bool granted_ = false;
  Buffer answer_;  // goes in front of the first payload
};

}  // namespace winze::http
