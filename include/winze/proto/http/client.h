// The client's side of HTTP CONNECT: asks a proxy for a tunnel. One round trip.
//
//   CONNECT host:port HTTP/1.1 CRLF Host: host:port CRLF Proxy-Connection: Keep-Alive CRLF ... CRLF
//
// Any 2xx grants it (RFC 9110 §9.3.6), after which the codec is the identity; bytes behind the response's blank line
// are the tunnel's. Interim responses (1xx but 101) are skipped.
#pragma once

#include <memory>
#include <string>

#include "winze/base/address.h"
#include "winze/base/secret.h"
#include "winze/base/stream_codec.h"
#include "winze/proto/http/error.h"
#include "winze/proto/http/head.h"

namespace winze::http {

struct ClientOptions {
  // Empty: no Proxy-Authorization. No colon in the user name.
  std::string user;
  Secret password;
  // Sent as they are; one named as a field that the codec would send replaces it.
  Fields fields;
};

class ClientCodec final : public StreamCodec {
 public:
  ClientCodec(std::shared_ptr<const ClientOptions> options, Destination destination)
      : options_(std::move(options)), destination_(std::move(destination)) {}

  Overhead overhead() const override { return {}; }
  // Errors: Errc::kBadHead and winze::Errc::kUnsupported (a destination over UDP) before anything is sent; 2xx as the
  // proxy refuses.
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  bool seals_verbatim() const override { return true; }
  bool opens_verbatim() const override { return true; }

  // The proxy's final response, also when it refused: the status is 0 before there is one.
  const ResponseHead& response() const { return response_; }
  // Its first line, "HTTP/1.1 407 Proxy Authentication Required".
  std::string status_line() const;

 private:
  std::error_code append_request(Buffer& out) const;
  // True when the tunnel stands.
  bool read_response(Buffer& in, std::error_code& error);

  std::shared_ptr<const ClientOptions> options_;
  Destination destination_;
  bool asked_ = false;
  int interim_ = 0;
  HeadCollector collector_;
  ResponseHead response_;
};

}  // namespace winze::http
