#include "winze/proto/http/forward_response.h"

#include "proto/http/hop_by_hop.h"
#include "winze/proto/http/answer.h"

namespace winze::http {

ForwardResponse::Event ForwardResponse::feed(Buffer& in, Buffer& out) {
  switch (stage_) {
    case Stage::kHead:
      return read_head(in, out);
    case Stage::kBody:
      return relay_body(in, out);
    case Stage::kDone:
      break;
  }
  return error_ ? Event::kFailed : Event::kEnd;
}

ForwardResponse::Event ForwardResponse::read_head(Buffer& in, Buffer& out) {
  for (;;) {
    std::error_code error;
    if (!collector_.collect(in, error)) return error ? fail(error, out) : Event::kMore;
    error = parse_response(collector_.text(), head_);
    collector_.clear();
    // Upgrade was not passed on, so nobody asked for a switch.
    if (!error && head_.status == 101) error = Errc::kSwitched;
    if (error) return fail(error, out);
    head_.version = Version::k11;
    if (head_.status >= 200) break;
    if (client_version_ == Version::k10) continue;  // RFC 9110 §15.2
    strip_hop_by_hop(head_.fields);
    head_.fields.remove("Content-Length");
    encode(head_, out);
    return Event::kBytes;
  }
  rewrite_final();
  encode(head_, out);
  stage_ = body_.done() ? Stage::kDone : Stage::kBody;
  return body_.done() ? Event::kEnd : Event::kBytes;
}

void ForwardResponse::rewrite_final() {
  using Framing = Body::Framing;
  const Body body = body_of(head_, method_);
  const bool bare = body.framing == Framing::kChunked && client_version_ == Version::k10;
  keeps_client_ = keep_alive_ && request_ended_ && body.framing != Framing::kUntilClose && !bare;
  body_ = BodyRelay(body, bare ? Framing::kUntilClose : body.framing);

  Fields& fields = head_.fields;
  strip_hop_by_hop(fields);
  // In answers to HEAD and in a 304 the length is the one that a GET would meet, and stays.
  fields.remove("Content-Length");
  if (head_.body.framing == Framing::kLength && head_.status != 204) {
    fields.add("Content-Length", std::to_string(head_.body.length));
  }
  if (body.framing == Framing::kChunked && !bare) fields.add("Transfer-Encoding", "chunked");
  const char* persistence = keeps_client_ ? "keep-alive" : "close";
  fields.add("Connection", persistence);
  fields.add("Proxy-Connection", persistence);
  if (keeps_client_) fields.add("Keep-Alive", "timeout=" + std::to_string(keep_alive_seconds_));
}

ForwardResponse::Event ForwardResponse::relay_body(Buffer& in, Buffer& out) {
  if (std::error_code error = body_.relay(in, out)) return fail(error, out);
  if (body_.done()) {
    stage_ = Stage::kDone;
    return Event::kEnd;
  }
  return out.empty() ? Event::kMore : Event::kBytes;
}

ForwardResponse::Event ForwardResponse::end(bool whole, Buffer& out) {
  if (stage_ == Stage::kDone) return error_ ? Event::kFailed : Event::kEnd;
  if (stage_ == Stage::kHead || !whole || !body_.end()) return fail(winze::Errc::kTruncated, out);
  stage_ = Stage::kDone;
  return Event::kEnd;
}

ForwardResponse::Event ForwardResponse::fail(std::error_code error, Buffer& out) {
  error_ = error;
  keeps_client_ = false;
  out.clear();
  if (stage_ == Stage::kHead) append_answer(502, {}, out);
  stage_ = Stage::kDone;
  return Event::kFailed;
}

}  // namespace winze::http
