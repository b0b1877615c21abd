#include "proto/upgrade.h"
#include "proto/ws/accept.h"
#include "winze/base/base64.h"
#include "winze/proto/http/error.h"
#include "winze/proto/ws/codec.h"

namespace winze::ws {
namespace {

std::error_code check_opening(const http::RequestHead& request) {
  if (!upgrade::is_upgrade(request)) return Errc::kNotUpgrade;
  const std::string* version = request.fields.find("Sec-WebSocket-Version");
  if (version == nullptr || *version != "13") return Errc::kBadVersion;
  const std::string* key = request.fields.find("Sec-WebSocket-Key");
  const auto nonce = key == nullptr ? std::nullopt : base64_decode(*key);
  return nonce && nonce->size() == 16 ? std::error_code() : Errc::kBadKey;
}

// Whether the request is for `path`; with `early`, what follows the path is taken as early data.
bool is_for_path(const http::RequestHead& request, std::string_view path, std::vector<std::uint8_t>* early) {
  const std::string_view origin = upgrade::origin_form(request.target);
  if (upgrade::decoded_path(origin) == path) return true;
  if (early == nullptr || !origin.starts_with(path)) return false;
  auto decoded = upgrade::decode_early(origin.substr(path.size()));
  if (!decoded) return false;
  *early = *std::move(decoded);
  return true;
}

unsigned status_for(const std::error_code& error) {
  if (error == Errc::kWrongPath || error == Errc::kWrongHost) return 404;
  return error == Errc::kBadVersion ? 426 : 400;
}

}  // namespace

ServerCodec::ServerCodec(std::shared_ptr<const ServerOptions> options)
    : options_(std::move(options)),
      framing_(nullptr, options_->ending),
      collector_(std::make_unique<http::HeadCollector>()) {}

ServerCodec::~ServerCodec() = default;

StreamCodec::Handshake ServerCodec::handshake(Buffer& in, Buffer& out, std::error_code& error) {
  const bool complete = collector_->collect(in, error);
  if (!complete && !error) return Handshake::kMore;
  http::RequestHead request;
  if (!error) error = http::parse_request(collector_->text(), request);
  if (error) {
    upgrade::append_refusal(http::status_of(error), out);
    return Handshake::kMore;
  }
  collector_.reset();
  error = accept(request, out);
  if (error) {
    upgrade::append_refusal(status_for(error), out);
    return Handshake::kMore;
  }
  return Handshake::kDone;
}

std::error_code ServerCodec::accept(const http::RequestHead& request, Buffer& out) {
  const std::string& early_field = options_->early_data_field;
  if (!is_for_path(request, options_->path, early_field.empty() ? &early_ : nullptr)) return Errc::kWrongPath;
  if (!upgrade::is_for_host(request, options_->host)) return Errc::kWrongHost;
  if (std::error_code error = check_opening(request)) return error;

  http::ResponseHead response = upgrade::make_response();
  response.fields.add("Sec-WebSocket-Accept", accept_for(*request.fields.find("Sec-WebSocket-Key")));
  const std::string* carried = early_field.empty() ? nullptr : request.fields.find(early_field);
  if (auto early = carried == nullptr ? std::nullopt : upgrade::decode_early(*carried); early && !early->empty()) {
    early_ = *std::move(early);
    // Browsers fail when the protocol they offered is not taken.
    if (http::equal_ignoring_case(early_field, kProtocolField)) response.fields.add(kProtocolField, *carried);
  }
  http::encode(response, out);
  return {};
}

std::error_code ServerCodec::open(Buffer& data, Buffer& reply) {
  const std::error_code error = framing_.open(data, reply);
  upgrade::prepend_early(early_, data);
  return error;
}

}  // namespace winze::ws
