#include <algorithm>
#include <cstring>
#include <utility>

#include "header.h"
#include "room.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/crypto/mac.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/packet_address.h"
#include "winze/proto/vmess/codec.h"

namespace winze::vmess {

// A request as it comes in, or what is read after one that was no good.
struct ServerCodec::Opening {
  Buffer received;
  std::optional<RequestOpener> opener;  // once the user is known
  std::size_t size = 0;                 // of the request, once it is known

  std::size_t drained = 0;  // bytes in all
  std::size_t limit = 0;
  std::error_code failed;
};

Drain Drain::of(const UserTable& users) {
  std::array<std::uint8_t, 32> digest{};
  for (const UserTable::User& user : users.users()) {
    const auto hash = hash_of(HashAlgorithm::kSha256, {digest, as_bytes("winze vmess drain"), user.id.bytes});
    std::copy_n(hash.begin(), digest.size(), digest.begin());
  }
  // V2Ray's servers stop after some 54 to 3400 bytes.
  return {.base = kLargestRequest + load_u32(digest.data()) % 3000, .spread = 1 + digest[4] % std::size_t{64}};
}

ServerCodec::ServerCodec(std::shared_ptr<const Server> server, const Surroundings& surroundings)
    : server_(std::move(server)), surroundings_(surroundings), opening_(std::make_unique<Opening>()) {}

ServerCodec::~ServerCodec() = default;

StreamCodec::Handshake ServerCodec::handshake(Buffer& in, Buffer&, std::error_code& error) {
  Opening& opening = *opening_;
  if (in.empty()) return Handshake::kMore;
  opening.drained += in.size();
  if (!opening.failed) {
    // Only an opening that came in pieces is copied.
    if (!opening.received.empty()) {
      opening.received.append(std::as_const(in).span());
      in = std::move(opening.received);
    }
    std::size_t size = 0;
    opening.failed = parse(in.span(), size);
    if (!opening.failed) {
      if (size != 0) {
        in.trim_front(size);
        opening_.reset();
        return Handshake::kDone;
      }
      opening.received = Buffer::copy_of(in.span());
      in.clear();
      return Handshake::kMore;
    }
    detail_ = opening.failed.message();
    opening.limit = server_->drain.base + surroundings_.random.below(server_->drain.spread);
  }
  in.clear();
  if (opening.drained >= opening.limit) error = opening.failed;
  return Handshake::kMore;
}

std::error_code ServerCodec::parse(std::span<const std::uint8_t> bytes, std::size_t& size) {
  Opening& opening = *opening_;
  if (!opening.opener) {
    if (bytes.size() < kAuthIdSize) return {};
    if (std::error_code error = find_user(bytes.first<kAuthIdSize>())) return error;
  }
  if (opening.size == 0) {
    if (bytes.size() < kRequestPrefixSize) return {};
    opening.size = opening.opener->size(bytes);
    if (opening.size == 0) return Errc::kBadHeader;
  }
  if (bytes.size() < opening.size) return {};
  size = opening.size;
  return take_request(bytes.first(size));
}

std::error_code ServerCodec::find_user(std::span<const std::uint8_t, kAuthIdSize> auth_id) {
  const UnixTime now = surroundings_.clock.unix_now();
  const UserTable::Match match = server_->users->find(auth_id, now);
  if (match.user == nullptr) return Errc::kUnknownUser;
  if (!match.timely) return Errc::kBadTime;
  if (!server_->replays->first_auth_id(auth_id, now)) return Errc::kReplayed;
  id_ = match.user->id;
  request_.user = match.user->account.name;
  request_.level = match.user->account.level;
  opening_->opener.emplace(match.user->keys.command, auth_id);
  return {};
}

std::error_code ServerCodec::take_request(std::span<const std::uint8_t> bytes) {
  Request request;
  if (std::error_code error = opening_->opener->open(bytes, request)) return error;
  const UnixTime now = surroundings_.clock.unix_now();
  if (!server_->replays->first_session(id_, request.keys.key, request.keys.iv, now)) return Errc::kReplayed;
  const BodyFormat format{
      .security = request.security, .options = request.options, .datagrams = request.command == Command::kUdp};
  if (server_->refuse_unprotected && format.security == Security::kNone) return Errc::kUnsupportedSecurity;
  if (!is_valid(format)) return Errc::kBadOptions;
  if (request.command == Command::kMux || mux::is_cool(request.destination)) {
    request.destination = mux::cool_destination();
  }
  if (is_packet_address(request.destination)) {
    request.destination = Destination(IpAddress(), 0, Network::kUdp);
  } else if (request.command == Command::kUdp && request.destination.port == 0) {
    return Errc::kBadAddress;
  }
  request_.destination = std::move(request.destination);
  answer_ = request.answer;
  answer_keys_ = response_keys(request.keys);
  sealer_.emplace(format, answer_keys_, request.keys, surroundings_.pool, surroundings_.random);
  opener_.emplace(format, request.keys, request.keys, surroundings_.pool);
  return {};
}

void ServerCodec::grant(const Endpoint&) {}
void ServerCodec::refuse(Refusal) { sealer_.reset(); }

Overhead ServerCodec::overhead() const {
  const Overhead answer{.front = answer_due_ ? kAnswerSize : 0, .back = 0};
  return sealer_ ? answer + sealer_->overhead() : answer;
}

std::error_code ServerCodec::seal(Buffer& data) {
  if (data.empty() || !sealer_) return {};
  sealer_->seal(data, kRoom + (answer_due_ ? kAnswerSize : 0));
  if (std::exchange(answer_due_, false)) {
    Buffer answer(kAnswerSize);
    seal_answer(answer_keys_, answer_, answer);
    std::memcpy(data.prepend(answer.size()), answer.data(), answer.size());
  }
  return {};
}

StreamCodec::End ServerCodec::seal_end(Buffer& out) {
  if (!sealer_) return End::kShutdownBelow;
  if (std::exchange(answer_due_, false)) seal_answer(answer_keys_, answer_, out);
  sealer_->seal_end(out);
  return End::kShutdownBelow;
}

std::error_code ServerCodec::open(Buffer& data, Buffer&) { return opener_->open(data); }
std::error_code ServerCodec::open_end() { return opener_->open_end(); }

}  // namespace winze::vmess
