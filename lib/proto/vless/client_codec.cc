#include <algorithm>
#include <cstring>

#include "proto/vless/addons.h"
#include "proto/vless/vision.h"
#include "proto/vless/wire.h"
#include "winze/base/error.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/port_address.h"
#include "winze/proto/vless/codec.h"

namespace winze::vless {
namespace {

bool encode_request(const Uuid& id, const Destination& destination, std::string_view flow, Buffer& out) {
  Writer writer(out);
  writer.u8(kProtocolVersion);
  writer.bytes(id.bytes);
  append_addons(flow, writer);
  if (mux::is_cool(destination)) {
    writer.u8(kMux);
    return true;
  }
  writer.u8(destination.network == Network::kUdp ? kUdp : kTcp);
  return encode_port_address(destination, out);
}

}  // namespace

ClientCodec::ClientCodec(const Uuid& id, const Destination& destination)
    : encodable_(encode_request(id, destination, {}, request_)) {}
ClientCodec::ClientCodec(const Uuid& id, const Destination& destination, Random& random)
    : encodable_(encode_request(id, destination, kVisionName, request_)),
      vision_(std::make_unique<Vision>(id, random)) {}
ClientCodec::~ClientCodec() = default;

StreamCodec::Handshake ClientCodec::handshake(Buffer&, Buffer&, std::error_code& error) {
  if (!encodable_) error = Errc::kBadName;
  return Handshake::kDone;
}

std::error_code ClientCodec::seal(Buffer& data) {
  if (!encodable_) return Errc::kBadName;
  if (vision_) vision_->seal(data);
  if (request_.empty()) return {};
  const std::size_t size = request_.size();
  std::memcpy(data.prepend(size), request_.data(), size);
  request_.release();
  return {};
}

StreamCodec::End ClientCodec::seal_end(Buffer& out) {
  if (encodable_) out.append(request_.span());
  request_.release();
  if (vision_) vision_->seal_end(out);
  return End::kShutdownBelow;
}

std::error_code ClientCodec::open(Buffer& data, Buffer&) {
  while (response_ != Response::kDone && !data.empty()) {
    if (response_ == Response::kAddons) {
      const std::size_t n = std::min<std::size_t>(addons_left_, data.size());
      data.trim_front(n);
      addons_left_ = static_cast<std::uint8_t>(addons_left_ - n);
      if (addons_left_ == 0) response_ = Response::kDone;
      continue;
    }
    const std::uint8_t byte = *data.data();
    data.trim_front(1);
    if (response_ == Response::kVersion) {
      if (byte != kProtocolVersion) {
        data.clear();
        return Errc::kWrongVersion;
      }
      response_ = Response::kLength;
    } else {
      addons_left_ = byte;
      response_ = byte == 0 ? Response::kDone : Response::kAddons;
    }
  }
  return vision_ ? vision_->open(data) : std::error_code();
}

std::error_code ClientCodec::open_end() {
  // V2Ray's servers answer with their first payload, so one without any ends the stream without an answer.
  const bool orderly = response_ == Response::kVersion || response_ == Response::kDone;
  if (vision_ && orderly) return vision_->open_end();
  return orderly ? winze::Errc::kEof : winze::Errc::kTruncated;
}

bool ClientCodec::seals_verbatim() const { return request_.empty() && (!vision_ || vision_->seals_verbatim()); }
bool ClientCodec::opens_verbatim() const {
  return response_ == Response::kDone && (!vision_ || vision_->opens_verbatim());
}
bool ClientCodec::sealing_left_below() const { return vision_ && vision_->sealing_left_below(); }
bool ClientCodec::opening_left_below() const { return vision_ && vision_->opening_left_below(); }
std::string_view ClientCodec::detail() const { return vision_ && encodable_ ? kVisionNeeds : std::string_view(); }

}  // namespace winze::vless
