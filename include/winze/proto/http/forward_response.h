// The response side of a plain forward proxy: turns what an origin server sends for one request into what the client
// gets. See winze/proto/http/forward_request.h for the whole.
//
// Hop-by-hop fields are removed and Connection, Proxy-Connection and Keep-Alive set anew. Interim responses pass (not
// to HTTP/1.0 clients). Chunks are made anew; an HTTP/1.0 client gets the bytes bare, and the end by close.
//
// The client's connection is kept when the client wants it, the response's end shows in its framing, and the request
// was complete before the response's head (otherwise the rest of the request could not be told from the next).
#pragma once

#include <cstdint>
#include <string>

#include "winze/proto/http/body.h"
#include "winze/proto/http/error.h"
#include "winze/proto/http/forward_request.h"
#include "winze/proto/http/head.h"

namespace winze::http {

class ForwardResponse {
 public:
  // `keep_alive_seconds`: how long the host keeps an idle client, as the client is told.
  ForwardResponse(const ForwardedRequest& request, unsigned keep_alive_seconds)
      : method_(request.head.method),
        client_version_(request.client_version),
        keep_alive_(request.keep_alive),
        keep_alive_seconds_(keep_alive_seconds) {}

  // ForwardRequests said kEnd for this request.
  void request_ended() { request_ended_ = true; }

  enum class Event {
    kMore,    // all was eaten; more bytes of the origin are needed
    kBytes,   // `out`: bytes for the client
    kEnd,     // the response is complete; `out`: the last bytes, maybe none. What is left in `in` is to be dropped
    kFailed,  // `out`: a 502 when nothing of a final response went out before, else nothing; then close. See error()
  };
  // `out` is given empty. Call it again, maybe with no bytes, after kBytes.
  Event feed(Buffer& in, Buffer& out);
  // The origin's stream ended, or failed when `whole` is false.
  Event end(bool whole, Buffer& out);

  // After kEnd: whether the client's connection takes another request. Otherwise close it.
  bool keeps_client() const { return keeps_client_; }
  // The head of a final response went out: it is too late for append_answer().
  bool has_answered() const { return stage_ != Stage::kHead; }
  std::error_code error() const { return error_; }
  // The last head received, rewritten for the client.
  const ResponseHead& head() const { return head_; }

 private:
  enum class Stage : std::uint8_t { kHead, kBody, kDone };

  Event read_head(Buffer& in, Buffer& out);
  Event relay_body(Buffer& in, Buffer& out);
  Event fail(std::error_code error, Buffer& out);
  void rewrite_final();

  std::string method_;
  Version client_version_;
  bool keep_alive_;
  unsigned keep_alive_seconds_;
  bool request_ended_ = false;
  bool keeps_client_ = false;
  Stage stage_ = Stage::kHead;
  HeadCollector collector_;
  ResponseHead head_;
  BodyRelay body_;
  std::error_code error_;
};

}  // namespace winze::http
