// The request side of a plain forward proxy: turns what a client sends into what its origin servers get.
//
//   GET http://example.org/a HTTP/1.1      ->   GET /a HTTP/1.1
//   Proxy-Connection: keep-alive                Host: example.org
//   Proxy-Authorization: Basic ...              Connection: close
//
// Hop-by-hop fields, and those that Connection names, are removed (so Upgrade does not pass); Host follows the target;
// the body's framing is made anew. Each request gets a connection of its own to its origin (RFC 9112 §9.3 allows it),
// while the client's connection is kept as long as both sides wish.
//
// The host's loop, per connection of a client:
//   1. feed() until kHead: dial request().proxy.destination; when that fails send append_answer() and close.
//   2. Send `out` to the origin; feed() on, and send it what kBody and kEnd yield, while a ForwardResponse
//      (winze/proto/http/forward_response.h) takes the origin's bytes. Tell it of kEnd.
//   3. After kEnd feed() no more until the response has ended; then, if it keeps the client, begin at 1. What came
//      in the meantime stays in `in`.
#pragma once

#include <memory>
#include <string>

#include "winze/proto/credentials.h"
#include "winze/proto/http/body.h"
#include "winze/proto/http/error.h"
#include "winze/proto/http/head.h"
#include "winze/proto/proxy_codec.h"

namespace winze::http {

struct ForwardOptions {
  std::shared_ptr<const Credentials> credentials;  // null: no authentication
  std::string realm = "proxy";
  // Whether requests in origin form are taken, with the Host field as their target (transparent proxying).
  bool transparent = false;
};

struct ForwardedRequest {
  ProxyRequest proxy;
  RequestHead head;  // as the origin gets it
  Version client_version = Version::k11;
  bool keep_alive = false;  // the client wants to keep its connection
};

class ForwardRequests {
 public:
  explicit ForwardRequests(ForwardOptions options) : options_(std::move(options)) {}

  enum class Event {
    kMore,      // all was eaten; more bytes of the client are needed
    kHead,      // request() is valid; `out`: the head for the origin
    kBody,      // `out`: bytes of the body for the origin
    kEnd,       // the request is complete; `out`: the last bytes for the origin, maybe none
    kConnect,   // not for this engine: `in` holds a CONNECT request from its start, for a fresh http::ServerCodec
    kRejected,  // `out`: the answer for the client, to be dropped if a response is under way; then close. See error()
  };
  // `out` is given empty. Call it again, maybe with no bytes, after kHead and kBody.
  Event feed(Buffer& in, Buffer& out);

  const ForwardedRequest& request() const { return request_; }
  std::error_code error() const { return error_; }
  // No byte of the next request has come: the client may end its stream here.
  bool is_between() const { return stage_ == Stage::kHead && collector_.text().empty(); }

 private:
  enum class Stage : std::uint8_t { kHead, kBody, kRejected };

  Event read_head(Buffer& in, Buffer& out);
  Event relay_body(Buffer& in, Buffer& out);
  Event reject(std::error_code error, Buffer& out);
  std::error_code accept(RequestHead& head);

  ForwardOptions options_;
  Stage stage_ = Stage::kHead;
  HeadCollector collector_;
  ForwardedRequest request_;
  BodyRelay body_;
  std::error_code error_;
};

}  // namespace winze::http
