#include <cstring>
#include <utility>

#include "header.h"
#include "room.h"
#include "winze/base/error.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/port_address.h"
#include "winze/proto/vmess/codec.h"

namespace winze::vmess {
namespace {

Command command_for(const Destination& destination) {
  if (destination.network == Network::kUdp) return Command::kUdp;
  return mux::is_cool(destination) ? Command::kMux : Command::kTcp;
}

// Datagrams keep their bounds by chunks alone.
std::uint8_t options_for(const ClientOptions& options, const Destination& destination) {
  const std::uint8_t bits = options.options.value_or(usual_options(options.security));
  return destination.network == Network::kUdp ? bits | kChunkStream : bits;
}

bool can_be_sent(const Destination& destination) {
  Buffer field;
  return encode_port_address(destination, field);
}

}  // namespace

struct ClientCodec::Opening {
  std::shared_ptr<const UserKeys> user;
  Request request;
};

ClientCodec::ClientCodec(std::shared_ptr<const UserKeys> user, const Destination& destination,
                         const ClientOptions& options, const Surroundings& surroundings)
    : surroundings_(surroundings), opening_(std::make_unique<Opening>()) {
  opening_->user = std::move(user);
  Request& request = opening_->request;
  surroundings.random.fill(request.keys.key);
  surroundings.random.fill(request.keys.iv);
  surroundings.random.fill({&request.answer, 1});
  request.options = options_for(options, destination);
  request.security = resolve(options.security);
  request.command = command_for(destination);
  request.destination = destination;
  const BodyFormat format{
      .security = request.security, .options = request.options, .datagrams = request.command == Command::kUdp};
  if (!is_valid(format)) unusable_ = Errc::kBadConfiguration;
  if (!can_be_sent(destination)) unusable_ = Errc::kBadName;
  if (unusable_) return;
  answer_ = request.answer;
  answer_keys_ = response_keys(request.keys);
  sealer_.emplace(format, request.keys, request.keys, surroundings.pool, surroundings.random);
  opener_.emplace(format, answer_keys_, request.keys, surroundings.pool);
}

ClientCodec::~ClientCodec() = default;

StreamCodec::Handshake ClientCodec::handshake(Buffer&, Buffer&, std::error_code& error) {
  error = unusable_;
  return Handshake::kDone;
}

Overhead ClientCodec::overhead() const {
  if (unusable_) return {};
  const Overhead request{.front = opening_ ? kLargestRequest : 0, .back = 0};
  return request + sealer_->overhead();
}

std::error_code ClientCodec::seal(Buffer& data) {
  if (unusable_) return unusable_;
  sealer_->seal(data, kRoom + (opening_ ? kLargestRequest : 0));
  return opening_ ? put_request(data) : std::error_code();
}

// In front of the first chunk: servers of sing-box want the whole of it in their first read.
std::error_code ClientCodec::put_request(Buffer& data) {
  Buffer wire(kLargestRequest);
  const std::unique_ptr<Opening> opening = std::exchange(opening_, nullptr);
  const UnixTime now = surroundings_.clock.unix_now();
  if (!seal_request(*opening->user, opening->request, now, surroundings_.random, wire)) return Errc::kBadName;
  std::memcpy(data.prepend(wire.size()), wire.data(), wire.size());
  return {};
}

StreamCodec::End ClientCodec::seal_end(Buffer& out) {
  if (unusable_) return End::kShutdownBelow;
  Buffer mark;
  sealer_->seal_end(mark);
  if (opening_) (void)put_request(mark);
  out.append(std::as_const(mark).span());
  return End::kShutdownBelow;
}

std::error_code ClientCodec::open(Buffer& data, Buffer&) {
  if (unusable_) return unusable_;
  if (!answered_) {
    if (data.empty()) return {};
    if (!received_.empty()) {
      received_.append(std::as_const(data).span());
      data = std::exchange(received_, {});
    }
    std::error_code error;
    const std::size_t size = open_answer(answer_keys_, answer_, data.span(), error);
    if (size == 0) {
      if (!error) received_ = Buffer::copy_of(data.span());
      data.clear();
      return error;
    }
    answered_ = true;
    data.trim_front(size);
  }
  return opener_->open(data);
}

std::error_code ClientCodec::open_end() {
  if (answered_) return opener_->open_end();
  // V2Ray's servers answer with their first payload, so one without any ends the stream without an answer.
  return received_.empty() ? winze::Errc::kEof : winze::Errc::kTruncated;
}

}  // namespace winze::vmess
