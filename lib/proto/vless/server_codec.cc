#include <cstring>
#include <utility>

#include "proto/vless/addons.h"
#include "proto/vless/vision.h"
#include "proto/vless/wire.h"
#include "winze/base/error.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/port_address.h"
#include "winze/proto/vless/codec.h"

namespace winze::vless {
namespace {

constexpr std::uint8_t kAnswer[] = {kProtocolVersion, 0};  // no addons

}  // namespace

const Account* UserTable::find(const Uuid& id) const {
  const auto found = accounts_.find(id);
  return found == accounts_.end() ? nullptr : &found->second;
}

ServerCodec::ServerCodec(std::shared_ptr<const Users> users, ServerOptions options)
    : users_(std::move(users)), options_(options) {}
ServerCodec::~ServerCodec() = default;

StreamCodec::Handshake ServerCodec::handshake(Buffer& in, Buffer&, std::error_code& error) {
  if (in.empty()) return Handshake::kMore;
  if (!received_.empty()) {
    // Only an opening that came in pieces is copied.
    received_.append(in.span());
    in = std::move(received_);
  } else if (options_.short_start_falls_back && in.size() < kRequestStartSize) {
    error = *in.data() == kProtocolVersion ? Errc::kUnknownUser : Errc::kWrongVersion;
    return Handshake::kMore;
  }
  std::size_t size = 0;
  error = parse(in.span(), size);
  if (error) {
    // A user's bytes, the id among them, are nothing for a fallback.
    if (!is_stranger(error)) in.clear();
    return Handshake::kMore;
  }
  if (size == 0) {
    received_ = Buffer::copy_of(in.span());
    in.clear();
    return Handshake::kMore;
  }
  in.trim_front(size);
  if (flow_ == Flow::kVision) vision_ = std::make_unique<Vision>(id_, *options_.random);
  return Handshake::kDone;
}

std::error_code ServerCodec::parse(std::span<const std::uint8_t> bytes, std::size_t& size) {
  Reader reader(bytes);
  // Strangers are told apart as early as possible: their bytes wait for a fallback.
  if (reader.u8() != kProtocolVersion) return Errc::kWrongVersion;
  const auto id = reader.bytes(16);
  if (!reader.ok()) return {};
  id_ = Uuid::of(id.first<16>());
  const Account* account = users_->find(id_);
  if (account == nullptr) return Errc::kUnknownUser;
  request_.user = account->name;
  request_.level = account->level;
  if (std::error_code error = parse_request(reader, options_.random != nullptr ? account->flow : Flow::kNone)) {
    return error;
  }
  if (reader.ok()) size = reader.consumed();
  return {};
}

std::error_code ServerCodec::parse_request(Reader& reader, Flow flow_of_user) {
  const auto addons = reader.bytes(reader.u8());
  const std::uint8_t command = reader.u8();
  if (!reader.ok()) return {};
  std::string_view flow;
  if (!parse_addons(addons, flow)) return Errc::kBadAddons;
  flow_ = flow.empty() ? Flow::kNone : Flow::kVision;
  if (flow_ == Flow::kNone) {
    if (flow_of_user != Flow::kNone && command == kTcp) return Errc::kMissingFlow;
  } else {
    const bool carries = command == kTcp || command == kMux;
    if (flow != kVisionName || flow_of_user != Flow::kVision || !carries) return Errc::kUnsupportedFlow;
  }
  if (command == kMux) {
    take_carrier(flow_of_user);
    return {};
  }
  if (command != kTcp && command != kUdp) return Errc::kUnsupportedCommand;
  request_.destination.network = command == kUdp ? Network::kUdp : Network::kTcp;
  switch (decode_port_address(reader, request_.destination)) {
    case PortAddressError::kUnknownType:
    case PortAddressError::kBadName:
      return Errc::kBadAddress;
    case PortAddressError::kShort:  // the reader is no longer ok()
      return {};
    case PortAddressError::kNone:
      break;
  }
  if (mux::is_cool(request_.destination)) take_carrier(flow_of_user);
  // Port 0 is nobody's, and elsewhere here everybody's.
  const bool to_nobody = command == kUdp && request_.destination.port == 0;
  return to_nobody ? std::error_code(Errc::kBadAddress) : std::error_code();
}

void ServerCodec::take_carrier(Flow flow_of_user) {
  request_.destination = mux::cool_destination();
  request_.datagrams_only = flow_of_user == Flow::kVision;
}

bool ServerCodec::is_stranger(const std::error_code& error) const {
  return error == Errc::kWrongVersion || error == Errc::kUnknownUser;
}

// Bytes that reach behind the id have been kept only because it is a user's.
std::optional<Buffer> ServerCodec::take_received() {
  if (received_.size() >= 1 + 16) return std::nullopt;
  return std::move(received_);
}

void ServerCodec::grant(const Endpoint&) {}
void ServerCodec::refuse(Refusal) { answer_due_ = false; }

std::error_code ServerCodec::seal(Buffer& data) {
  if (vision_ && !(data.empty() && !answer_due_)) vision_->seal(data);
  if (std::exchange(answer_due_, false)) std::memcpy(data.prepend(sizeof kAnswer), kAnswer, sizeof kAnswer);
  return {};
}

std::error_code ServerCodec::open(Buffer& data, Buffer&) { return vision_ ? vision_->open(data) : std::error_code(); }

std::error_code ServerCodec::open_end() { return vision_ ? vision_->open_end() : winze::Errc::kEof; }

bool ServerCodec::seals_verbatim() const { return !answer_due_ && (!vision_ || vision_->seals_verbatim()); }
bool ServerCodec::opens_verbatim() const { return !vision_ || vision_->opens_verbatim(); }
bool ServerCodec::sealing_left_below() const { return vision_ && vision_->sealing_left_below(); }
bool ServerCodec::opening_left_below() const { return vision_ && vision_->opening_left_below(); }
std::string_view ServerCodec::detail() const { return vision_ ? kVisionNeeds : std::string_view(); }

StreamCodec::End ServerCodec::seal_end(Buffer& out) {
  if (std::exchange(answer_due_, false)) out.append(std::span(kAnswer));
  if (vision_) vision_->seal_end(out);
  return End::kShutdownBelow;
}

}  // namespace winze::vless
