#include "winze/proto/http/server.h"

#include <cstring>

#include "winze/proto/http/answer.h"
#include "winze/proto/http/basic.h"
#include "winze/proto/http/target.h"

namespace winze::http {

StreamCodec::Handshake ServerCodec::handshake(Buffer& in, Buffer& out, std::error_code& error) {
  if (collector_.collect(in, error)) {
    error = parse_request(collector_.text(), head_);
    is_forward_ = !error && head_.method != "CONNECT";
    if (is_forward_) {
      const std::string_view text = collector_.text();
      std::memcpy(in.prepend(text.size()), text.data(), text.size());
    } else if (!error) {
      error = accept_connect();
    }
    collector_.clear();
    if (!error) return Handshake::kDone;
  }
  if (error) append_answer(http::status_of(error), options_.realm, out);
  return Handshake::kMore;
}

std::error_code ServerCodec::accept_connect() {
  auto account = check_basic(head_.fields, options_.credentials.get());
  if (!account) return Errc::kBadCredentials;
  request_.user = std::move(account->name);
  request_.level = account->level;
  // Content of a CONNECT has no meaning, and would be taken for payload.
  if (head_.body.framing != Body::Framing::kNone && head_.body != Body{Body::Framing::kLength, 0}) {
    return Errc::kBadFraming;
  }
  return parse_authority(head_.target, 80, request_.destination);
}

void ServerCodec::grant(const Endpoint& bound) {
  (void)bound;
  granted_ = true;
  if (!is_forward_) answer_.append("HTTP/1.1 200 Connection established\r\n\r\n");
}

void ServerCodec::refuse(Refusal reason) {
  if (!is_forward_) append_answer(http::status_of(reason), options_.realm, answer_);
}

std::error_code ServerCodec::seal(Buffer& data) {
  if (!answer_.empty()) {
    std::memcpy(data.prepend(answer_.size()), answer_.data(), answer_.size());
    answer_.release();
    return {};
  }
  return granted_ || is_forward_ || data.empty() ? std::error_code() : Errc::kNotAnswered;
}

std::error_code ServerCodec::open(Buffer& data, Buffer& reply) {
  (void)data, (void)reply;
  return {};
}

}  // namespace winze::http
