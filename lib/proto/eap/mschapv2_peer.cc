#include <algorithm>
#include <utility>

#include "method.h"
#include "mschapv2_packet.h"
#include "packet.h"
#include "winze/base/bytes.h"

namespace winze::eap {
namespace {

class MschapV2Peer final : public PeerMethod {
 public:
  MschapV2Peer(std::string_view name, const Secret& password, Random& random)
      : name_(name), hash_(mschapv2::nt_hash(as_text(password.span()))), random_(random) {}

  void handle(std::uint8_t, std::span<const std::uint8_t> data, ResultHandler done) override {
    const auto message = ChapMessage::parse(data);
    if (!message) return done(Result::fail(Errc::kMalformed, "MSCHAPv2 message"));
    done(take(*message));
  }

  // Only with the server's proof, and after it.
  bool may_succeed() const override { return state_ == State::kProven; }
  std::error_code reason() const override { return reason_; }
  std::string reason_text() const override { return reason_text_; }
  Secret msk() const override { return mschapv2::master_session_key(hash_, response_); }

 private:
  enum class State : std::uint8_t { kBegin, kAnswered, kProven, kFailed };

  Result take(const ChapMessage& message) {
    if (message.op == Op::kChallenge && state_ == State::kBegin) return take_challenge(message);
    if (message.op == Op::kSuccess && state_ == State::kAnswered) return take_success(message);
    if (message.op == Op::kFailure && state_ == State::kAnswered) return take_failure(message);
    return Result::fail(Errc::kMalformed, "MSCHAPv2 message out of order");
  }

  Result take_challenge(const ChapMessage& message) {
    Reader in(message.body);
    const std::size_t size = in.u8();
    const auto challenge = in.bytes(size);
    if (!in.ok() || size != authenticator_.size()) return Result::fail(Errc::kMalformed, "MSCHAPv2 challenge");
    std::ranges::copy(challenge, authenticator_.begin());
    random_.fill(peer_);
    response_ = mschapv2::response(authenticator_, peer_, name_, hash_);
    std::vector<std::uint8_t> body{static_cast<std::uint8_t>(peer_.size() + 8 + response_.size() + 1)};
    body.insert(body.end(), peer_.begin(), peer_.end());
    body.insert(body.end(), 8, 0);
    body.insert(body.end(), response_.begin(), response_.end());
    body.push_back(0);
    body.insert(body.end(), name_.begin(), name_.end());
    state_ = State::kAnswered;
    return Result::send(make_chap(Op::kResponse, message.id, body));
  }

  Result take_success(const ChapMessage& message) {
    if (!success_has(as_text(message.body), mschapv2::answer(authenticator_, peer_, name_, hash_, response_))) {
      state_ = State::kFailed;
      return Result::fail(Errc::kServerUnproven);
    }
    state_ = State::kProven;
    return Result::send({static_cast<std::uint8_t>(Op::kSuccess)});
  }

  // Whatever is offered there, another try or a change of the password, the answer is the same: enough.
  Result take_failure(const ChapMessage& message) {
    const std::string_view text = as_text(message.body);
    const unsigned code = failure_code(text);
    reason_ = code == 648                                                ? Errc::kPasswordExpired
              : code == 691                                              ? Errc::kWrongPassword
              : code == 646 || code == 647 || code == 649 || code == 709 ? Errc::kRestricted
                                                                         : Errc::kRefused;
    reason_text_ = "E=" + std::to_string(code) + " " + failure_text(text);
    state_ = State::kFailed;
    return Result::send({static_cast<std::uint8_t>(Op::kFailure)});
  }

  std::string name_;
  Secret hash_;
  Random& random_;
  State state_ = State::kBegin;
  mschapv2::Challenge authenticator_{}, peer_{};
  mschapv2::NtResponse response_{};
  std::error_code reason_ = Errc::kRefused;
  std::string reason_text_;
};

}  // namespace

std::unique_ptr<PeerMethod> mschapv2_peer(std::string_view name, const Secret& password, Random& random) {
  return std::make_unique<MschapV2Peer>(name, password, random);
}

}  // namespace winze::eap
