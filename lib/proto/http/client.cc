#include "winze/proto/http/client.h"

#include <algorithm>

#include "winze/base/bytes.h"
#include "winze/proto/host_name.h"
#include "winze/proto/http/basic.h"

namespace winze::http {
namespace {

constexpr int kMaxInterim = 16;

}  // namespace

StreamCodec::Handshake ClientCodec::handshake(Buffer& in, Buffer& out, std::error_code& error) {
  if (!asked_) {
    asked_ = true;
    error = append_request(out);
  }
  while (!error && !in.empty()) {
    if (read_response(in, error)) return Handshake::kDone;
  }
  return Handshake::kMore;
}

std::error_code ClientCodec::append_request(Buffer& out) const {
  if (destination_.network != Network::kTcp) return winze::Errc::kUnsupported;
  const std::string* name = destination_.name();
  const bool fits = (name == nullptr || is_host_name(*name)) && options_->user.find(':') == std::string::npos &&
                    std::ranges::all_of(options_->fields, [](const Field& field) {
                      return is_token(field.name) && is_field_value(field.value);
                    });
  if (!fits) return Errc::kBadHead;
  RequestHead head;
  head.method = "CONNECT";
  head.target = destination_.to_string();
  const auto add = [&](std::string_view field, std::string_view value) {
    if (options_->fields.find(field) == nullptr) head.fields.add(field, value);
  };
  add("Host", head.target);
  add("Proxy-Connection", "Keep-Alive");
  if (!options_->user.empty()) {
    add("Proxy-Authorization", basic_credentials(options_->user, as_text(options_->password.span())));
  }
  for (const Field& field : options_->fields) head.fields.add(field.name, field.value);
  encode(head, out);
  return {};
}

bool ClientCodec::read_response(Buffer& in, std::error_code& error) {
  if (!collector_.collect(in, error)) return false;
  error = parse_response(collector_.text(), response_);
  collector_.clear();
  if (error) {
    response_ = {};
    return false;
  }
  if (response_.status / 100 == 2) return true;
  if (response_.status / 100 == 1 && response_.status != 101) {
    response_ = {};
    if (++interim_ > kMaxInterim) error = Errc::kUnexpectedData;
    return false;
  }
  error = refusal_of(response_.status);
  return false;
}

std::string ClientCodec::status_line() const {
  if (response_.status == 0) return {};
  std::string line = response_.version == Version::k10 ? "HTTP/1.0 " : "HTTP/1.1 ";
  line += std::to_string(response_.status);
  if (!response_.reason.empty()) line += " " + response_.reason;
  return line;
}

std::error_code ClientCodec::seal(Buffer& data) {
  (void)data;
  return {};
}

std::error_code ClientCodec::open(Buffer& data, Buffer& reply) {
  (void)data, (void)reply;
  return {};
}

}  // namespace winze::http
