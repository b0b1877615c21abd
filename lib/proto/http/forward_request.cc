#include "winze/proto/http/forward_request.h"

#include <cstring>

#include "proto/http/hop_by_hop.h"
#include "winze/proto/http/answer.h"
#include "winze/proto/http/basic.h"
#include "winze/proto/http/target.h"

namespace winze::http {
namespace {

// Clients say it in either field.
bool wants_keep_alive(const RequestHead& head) {
  if (head.fields.has_token("Proxy-Connection", "close") || head.fields.has_token("Connection", "close")) return false;
  return head.version == Version::k11 || head.fields.has_token("Proxy-Connection", "keep-alive") ||
         head.fields.has_token("Connection", "keep-alive");
}

void set_framing(const Body& body, Fields& fields) {
  fields.remove("Content-Length");
  if (body.framing == Body::Framing::kLength) fields.add("Content-Length", std::to_string(body.length));
  if (body.framing == Body::Framing::kChunked) fields.add("Transfer-Encoding", "chunked");
}

}  // namespace

ForwardRequests::Event ForwardRequests::feed(Buffer& in, Buffer& out) {
  switch (stage_) {
    case Stage::kHead:
      return read_head(in, out);
    case Stage::kBody:
      return relay_body(in, out);
    case Stage::kRejected:
      break;
  }
  return Event::kRejected;
}

ForwardRequests::Event ForwardRequests::read_head(Buffer& in, Buffer& out) {
  std::error_code error;
  if (!collector_.collect(in, error)) return error ? reject(error, out) : Event::kMore;
  RequestHead head;
  error = parse_request(collector_.text(), head);
  if (!error && head.method == "CONNECT") {
    const std::string_view text = collector_.text();
    std::memcpy(in.prepend(text.size()), text.data(), text.size());
    collector_.clear();
    return Event::kConnect;
  }
  collector_.clear();
  if (!error) error = accept(head);
  if (error) return reject(error, out);
  encode(request_.head, out);
  stage_ = Stage::kBody;
  return Event::kHead;
}

std::error_code ForwardRequests::accept(RequestHead& head) {
  request_ = {};
  auto account = check_basic(head.fields, options_.credentials.get());
  if (!account) return Errc::kBadCredentials;
  request_.proxy.user = std::move(account->name);
  request_.proxy.level = account->level;
  request_.client_version = head.version;
  request_.keep_alive = wants_keep_alive(head);
  // The target is written last: a Connection field may have named Host.
  const std::string* host = head.fields.find("Host");
  std::string authority = host != nullptr ? *host : "";
  if (head.target.starts_with('/') || head.target == "*") {
    if (!options_.transparent) return Errc::kBadTarget;
    if (std::error_code error = parse_authority(authority, 80, request_.proxy.destination)) return error;
  } else {
    AbsoluteTarget target;
    if (std::error_code error = parse_absolute(head.target, target)) return error;
    // OPTIONS of a server as a whole (RFC 9112 §3.2.4).
    const bool whole = head.method == "OPTIONS" && head.target.ends_with(target.authority);
    head.target = whole ? "*" : std::move(target.origin);
    request_.proxy.destination = std::move(target.destination);
    authority = std::move(target.authority);
  }
  strip_hop_by_hop(head.fields);
  head.version = Version::k11;
  head.fields.set("Host", authority);
  head.fields.add("Connection", "close");
  set_framing(head.body, head.fields);
  body_ = BodyRelay(head.body, head.body.framing);
  request_.head = std::move(head);
  return {};
}

ForwardRequests::Event ForwardRequests::relay_body(Buffer& in, Buffer& out) {
  if (std::error_code error = body_.relay(in, out)) return reject(error, out);
  if (body_.done()) {
    stage_ = Stage::kHead;
    return Event::kEnd;
  }
  return out.empty() ? Event::kMore : Event::kBody;
}

ForwardRequests::Event ForwardRequests::reject(std::error_code error, Buffer& out) {
  stage_ = Stage::kRejected;
  error_ = error;
  out.clear();
  append_answer(http::status_of(error), options_.realm, out);
  return Event::kRejected;
}

}  // namespace winze::http
