#include <absl/status/status.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "proto/upgrade.h"
#include "proto/ws/accept.h"
#include "winze/base/base64.h"
#include "winze/base/error.h"
#include "winze/proto/ws/codec.h"

namespace winze::ws {

struct ClientCodec::Opening {
  http::HeadCollector collector;
  std::string key;
  bool offers_protocol = false;
  // Of the first write, what did not travel in the request; its frame goes out when the response is there.
  Buffer rest;
  bool end_due = false;  // seal_end() came before the response
};

absl::Status validate(const ClientOptions& options) {
  if (options.early_data.max != 0 && !options.early_data.field.empty() && !http::is_token(options.early_data.field)) {
    return absl::InvalidArgumentError("early_data.field: is not a field name");
  }
  return upgrade::validate(options.host, options.path, options.fields);
}

std::size_t take_early_data_limit(std::string& path) {
  const std::size_t query = path.find('?');
  if (query == path.npos) return 0;
  for (std::size_t begin = query + 1; begin <= path.size();) {
    const std::size_t end = std::min(path.find('&', begin), path.size());
    if (path.compare(begin, 3, "ed=") == 0) {
      std::size_t limit = 0;
      const auto parsed = std::from_chars(path.data() + begin + 3, path.data() + end, limit);
      const bool good = parsed.ec == std::errc() && parsed.ptr == path.data() + end;
      // With the '&' behind it, or else the '?' or '&' in front.
      const bool last = end == path.size();
      path.erase(last ? begin - 1 : begin, last ? path.npos : end + 1 - begin);
      return good ? limit : 0;
    }
    begin = end + 1;
  }
  return 0;
}

ClientCodec::ClientCodec(std::shared_ptr<const ClientOptions> options, Random& random)
    : options_(std::move(options)),
      random_(random),
      framing_(&random, options_->ending),
      opening_(std::make_unique<Opening>()) {}

ClientCodec::~ClientCodec() = default;

bool ClientCodec::is_early() const { return options_->early_data.max != 0; }

StreamCodec::Handshake ClientCodec::handshake(Buffer& in, Buffer& out, std::error_code& error) {
  if (phase_ == Phase::kStart) {
    if (is_early()) {
      phase_ = Phase::kRequestHeld;
      return Handshake::kDone;
    }
    append_request({}, out);
  }
  return take_response(in, error) ? Handshake::kDone : Handshake::kMore;
}

void ClientCodec::append_request(std::span<const std::uint8_t> early, Buffer& out) {
  const std::string& early_field = options_->early_data.field;
  http::RequestHead request = upgrade::make_request(options_->host, options_->path, options_->fields);
  std::array<std::uint8_t, 16> nonce;
  random_.fill(nonce);
  opening_->key = base64_encode(nonce);
  request.fields.add("Sec-WebSocket-Version", "13");
  request.fields.add("Sec-WebSocket-Key", opening_->key);
  if (!early.empty() && early_field.empty()) request.target += upgrade::encode_early(early);
  if (!early.empty() && !early_field.empty()) request.fields.set(early_field, upgrade::encode_early(early));
  opening_->offers_protocol = request.fields.find(kProtocolField) != nullptr;
  http::encode(request, out);
  phase_ = Phase::kResponseDue;
}

bool ClientCodec::take_response(Buffer& in, std::error_code& error) {
  if (!opening_->collector.collect(in, error)) return false;
  http::ResponseHead response;
  error = http::parse_response(opening_->collector.text(), response);
  if (!error) error = upgrade::check_response(response);
  if (error) return false;
  const std::string* accept = response.fields.find("Sec-WebSocket-Accept");
  // RFC 6455 §4.1, what the client must check.
  if (accept == nullptr || *accept != accept_for(opening_->key)) {
    error = Errc::kBadAccept;
  } else if (response.fields.count("Sec-WebSocket-Extensions") != 0 ||
             (response.fields.count(kProtocolField) != 0 && !opening_->offers_protocol)) {
    error = Errc::kNotOffered;
  }
  if (error) return false;
  phase_ = Phase::kOpen;
  return true;
}

std::error_code ClientCodec::seal(Buffer& data) {
  if (phase_ == Phase::kOpen) return framing_.seal(data);
  if (phase_ != Phase::kRequestHeld) return winze::Errc::kBusy;
  const EarlyData& limits = options_->early_data;
  std::size_t size = std::min(data.size(), limits.max);
  if (limits.all_or_nothing && size < data.size()) size = 0;
  Buffer request;
  append_request(data.span().first(size), request);
  data.trim_front(size);
  if (!data.empty()) opening_->rest = std::move(data);
  data = std::move(request);
  return {};
}

std::error_code ClientCodec::open(Buffer& data, Buffer& reply) {
  if (phase_ == Phase::kRequestHeld && !data.empty()) return Errc::kNotUpgrade;
  if (phase_ == Phase::kResponseDue) {
    std::error_code error;
    if (!take_response(data, error)) {
      data.clear();
      return error;
    }
    if (error = framing_.seal(opening_->rest); error) return error;
    reply.append(opening_->rest.span());
    if (opening_->end_due) (void)framing_.seal_end(reply);
  }
  if (phase_ == Phase::kOpen) opening_.reset();
  return framing_.open(data, reply);
}

std::error_code ClientCodec::open_end() {
  return phase_ == Phase::kOpen ? framing_.open_end() : std::error_code(winze::Errc::kTruncated);
}

StreamCodec::End ClientCodec::seal_end(Buffer& out) {
  if (phase_ == Phase::kOpen) return framing_.seal_end(out);
  if (phase_ == Phase::kRequestHeld) append_request({}, out);
  opening_->end_due = true;
  return End::kKeepBelow;
}

}  // namespace winze::ws
