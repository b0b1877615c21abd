#include <algorithm>
#include <utility>

#include "method.h"
#include "mschapv2_packet.h"
#include "packet.h"
#include "winze/base/ascii.h"
#include "winze/base/bytes.h"

namespace winze::eap {
namespace {

constexpr std::size_t kMaxName = 256;

std::string hex(std::span<const std::uint8_t> bytes) {
  std::string out;
  for (const std::uint8_t b : bytes) {
    out += "0123456789ABCDEF"[b >> 4];
    out += "0123456789ABCDEF"[b & 15];
  }
  return out;
}

class MschapV2Authenticator final : public AuthenticatorMethod {
 public:
  MschapV2Authenticator(std::shared_ptr<Passwords> users, std::string_view name, Random& random)
      : users_(std::move(users)), server_name_(name), random_(random) {
    random.fill(challenge_);
  }

  void begin(std::uint8_t id, ResultHandler done) override {
    chap_id_ = id;
    std::vector<std::uint8_t> body{static_cast<std::uint8_t>(challenge_.size())};
    body.insert(body.end(), challenge_.begin(), challenge_.end());
    body.insert(body.end(), server_name_.begin(), server_name_.end());
    done(Result::send(make_chap(Op::kChallenge, chap_id_, body)));
  }

  void handle(std::uint8_t, std::span<const std::uint8_t> data, ResultHandler done) override {
    const auto message = ChapMessage::parse(data);
    if (!message) return done(Result::fail(Errc::kMalformed, "MSCHAPv2 message"));
    if (message->op == Op::kResponse && state_ == State::kChallenged) return take_response(*message, std::move(done));
    if (message->op == Op::kSuccess && state_ == State::kRight) return done({.kind = Result::Kind::kDone});
    if (state_ == State::kWrong) return done(Result::fail(why_, printable(user_)));  // whatever it says
    done(Result::fail(Errc::kMalformed, "MSCHAPv2 message out of order"));
  }

  Secret msk() const override { return msk_; }
  Result trouble() const override { return state_ == State::kWrong ? Result::fail(why_, printable(user_)) : Result(); }
  std::string identity(std::string_view) const override { return user_; }

 private:
  enum class State : std::uint8_t { kChallenged, kAsking, kRight, kWrong };

  void take_response(const ChapMessage& message, ResultHandler done) {
    Reader in(message.body);
    const std::size_t size = in.u8();
    const auto peer = in.bytes(mschapv2::kChallengeSize);
    in.skip(8);
    const auto response = in.bytes(mschapv2::kResponseSize);
    in.skip(1);
    if (!in.ok() || size != message.body.size() - 1 - in.remaining() || in.remaining() > kMaxName) {
      return done(Result::fail(Errc::kMalformed, "MSCHAPv2 response"));
    }
    std::ranges::copy(peer, peer_.begin());
    std::ranges::copy(response, response_.begin());
    user_ = as_text(in.rest());
    state_ = State::kAsking;
    users_->find(user_, [alive = std::weak_ptr(alive_), this, done = std::move(done)](auto password) mutable {
      if (!alive.expired()) done(judge(password));
    });
  }

  Result judge(const std::optional<Secret>& password) {
    // One who is not known costs the same time as one who is.
    const Secret hash = mschapv2::nt_hash(password ? as_text(password->span()) : std::string_view("?"));
    const bool right = constant_time_equal(mschapv2::response(challenge_, peer_, user_, hash), response_);
    if (password && right) {
      state_ = State::kRight;
      msk_ = mschapv2::master_session_key(hash, response_);
      const std::string text = "S=" + hex(mschapv2::answer(challenge_, peer_, user_, hash, response_)) + " M=Welcome";
      return Result::send(make_chap(Op::kSuccess, chap_id_, as_bytes(text)));
    }
    state_ = State::kWrong;
    why_ = password ? Errc::kWrongPassword : Errc::kUnknownUser;
    mschapv2::Challenge fresh;
    random_.fill(fresh);
    const std::string text = "E=691 R=0 C=" + hex(fresh) + " V=3 M=Wrong user name or password";
    return Result::send(make_chap(Op::kFailure, chap_id_, as_bytes(text)));
  }

  std::shared_ptr<Passwords> users_;
  std::string server_name_;
  Random& random_;
  State state_ = State::kChallenged;
  std::uint8_t chap_id_ = 0;
  mschapv2::Challenge challenge_{}, peer_{};
  mschapv2::NtResponse response_{};
  std::string user_;
  Secret msk_;
  std::error_code why_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>();
};

}  // namespace

std::unique_ptr<AuthenticatorMethod> mschapv2_authenticator(std::shared_ptr<Passwords> users, std::string_view name,
                                                            Random& random) {
  return std::make_unique<MschapV2Authenticator>(std::move(users), name, random);
}

}  // namespace winze::eap
