#include "winze/proto/httpupgrade/codec.h"

#include "proto/upgrade.h"
#include "winze/proto/http/error.h"
#include "winze/proto/ws/error.h"

namespace winze::httpupgrade {

using ws::Errc;

absl::Status validate(const ClientOptions& options) {
  return upgrade::validate(options.host, options.path, options.fields);
}

ClientCodec::ClientCodec(std::shared_ptr<const ClientOptions> options) : options_(std::move(options)) {}

StreamCodec::Handshake ClientCodec::handshake(Buffer& in, Buffer& out, std::error_code& error) {
  if (!asked_) {
    asked_ = true;
    http::encode(upgrade::make_request(options_->host, options_->path, options_->fields), out);
  }
  if (!collector_.collect(in, error)) return Handshake::kMore;
  http::ResponseHead response;
  error = http::parse_response(collector_.text(), response);
  if (!error) error = upgrade::check_response(response);
  collector_.clear();
  return error ? Handshake::kMore : Handshake::kDone;
}

ServerCodec::ServerCodec(std::shared_ptr<const ServerOptions> options) : options_(std::move(options)) {}

StreamCodec::Handshake ServerCodec::handshake(Buffer& in, Buffer& out, std::error_code& error) {
  const bool complete = collector_.collect(in, error);
  if (!complete && !error) return Handshake::kMore;
  http::RequestHead request;
  if (!error) error = http::parse_request(collector_.text(), request);
  if (error) {
    upgrade::append_refusal(http::status_of(error), out);
    return Handshake::kMore;
  }
  error = accept(request, out);
  collector_ = {};
  if (!error) return Handshake::kDone;
  upgrade::append_refusal(error == Errc::kNotUpgrade ? 400 : 404, out);
  return Handshake::kMore;
}

std::error_code ServerCodec::accept(const http::RequestHead& request, Buffer& out) {
  if (upgrade::decoded_path(upgrade::origin_form(request.target)) != options_->path) return Errc::kWrongPath;
  if (!upgrade::is_for_host(request, options_->host)) return Errc::kWrongHost;
  if (!upgrade::is_upgrade(request)) return Errc::kNotUpgrade;
  // This client would wait for frames.
  if (request.fields.count("Sec-WebSocket-Key") != 0) return Errc::kWrongPath;
  const std::string& field = options_->early_data_field;
  const std::string* carried = field.empty() ? nullptr : request.fields.find(field);
  if (auto early = carried == nullptr ? std::nullopt : upgrade::decode_early(*carried)) early_ = *std::move(early);
  http::encode(upgrade::make_response(), out);
  return {};
}

std::error_code ServerCodec::open(Buffer& data, Buffer&) {
  upgrade::prepend_early(early_, data);
  return {};
}

}  // namespace winze::httpupgrade
