#include "winze/proto/eap/authenticator.h"

#include <algorithm>
#include <utility>

#include "method.h"
#include "packet.h"
#include "winze/base/bytes.h"

namespace winze::eap {
namespace {

constexpr int kMaxPackets = 256;
constexpr std::size_t kMaxIdentity = 256;

class LocalAuthenticator final : public Authenticator {
 public:
  LocalAuthenticator(AuthenticatorOptions options, Random& random) : options_(std::move(options)), random_(random) {
    if (options_.methods.empty()) options_.methods = {Method::kTls, Method::kMschapV2};
    std::erase_if(options_.methods, [&](Method one) { return !usable(one); });
  }

  void begin(StepHandler done) override {
    id_ = static_cast<std::uint8_t>(random_.u64());
    done(send(make_packet(Code::kRequest, id_, kIdentity, {})));
  }

  void receive(std::span<const std::uint8_t> bytes, StepHandler done) override {
    const auto packet = Packet::parse(bytes);
    if (!packet || packet->code != Code::kResponse || packet->id != id_ || over_ || busy_) return done({});
    if (++packets_ > kMaxPackets) return done(fail(Errc::kEndless));
    if (!named_) return take_identity(*packet, std::move(done));
    if (packet->type == kNak && fresh_) return take_nak(*packet, std::move(done));
    if (packet->type != static_cast<std::uint8_t>(type_)) return done({});
    fresh_ = false;
    busy_ = true;
    method_->handle(id_, packet->data,
                    [this, done = std::move(done)](Result result) mutable { done(step_of(std::move(result))); });
  }

  const Secret& msk() const override { return msk_; }
  std::string_view identity() const override { return identity_; }
  std::string trouble() const override {
    if (!method_) return {};
    const Result trouble = method_->trouble();
    if (trouble.kind != Result::Kind::kFail) return {};
    return trouble.error.message() + (trouble.detail.empty() ? "" : ": " + trouble.detail);
  }

 private:
  bool usable(Method one) const {
    if (is_legacy(one) && !options_.legacy) return false;
    return one == Method::kTls ? static_cast<bool>(options_.tls) : options_.users != nullptr;
  }

  void take_identity(const Packet& packet, StepHandler done) {
    if (packet.type != kIdentity || packet.data.size() > kMaxIdentity) return done({});
    named_ = true;
    identity_ = as_text(packet.data);
    start(options_.methods, std::move(done));
  }

  // The first that is wanted, of those not tried yet.
  void take_nak(const Packet& packet, StepHandler done) {
    std::erase(options_.methods, type_);
    std::vector<Method> common;
    for (const Method one : options_.methods) {
      if (std::ranges::find(packet.data, static_cast<std::uint8_t>(one)) != packet.data.end()) common.push_back(one);
    }
    start(common, std::move(done));
  }

  void start(std::span<const Method> choices, StepHandler done) {
    if (choices.empty()) return done(fail(Errc::kNoMethod));
    type_ = choices.front();
    switch (type_) {
      case Method::kMd5:
        method_ = md5_authenticator(options_.users, identity_, random_);
        break;
      case Method::kGtc:
        method_ = gtc_authenticator(options_.users, identity_);
        break;
      case Method::kTls:
        method_ = tls_authenticator(options_.tls());
        break;
      case Method::kMschapV2:
        method_ = mschapv2_authenticator(options_.users, options_.name, random_);
        break;
    }
    fresh_ = true;
    method_->begin(static_cast<std::uint8_t>(id_ + 1),
                   [this, done = std::move(done)](Result result) mutable { done(step_of(std::move(result))); });
  }

  Step step_of(Result result) {
    busy_ = false;
    switch (result.kind) {
      case Result::Kind::kSend:
        ++id_;
        return send(make_packet(Code::kRequest, id_, static_cast<std::uint8_t>(type_), result.data));
      case Result::Kind::kDone:
        msk_ = method_->msk();
        if (std::string who = method_->identity(identity_); !who.empty()) identity_ = std::move(who);
        over_ = true;
        return {.kind = Step::Kind::kSuccess, .packet = make_result(Code::kSuccess, id_)};
      case Result::Kind::kFail:
        return fail(result.error, std::move(result.detail));
      case Result::Kind::kDiscard:
        return {};
    }
    return {};
  }

  static Step send(std::vector<std::uint8_t> packet) {
    return {.kind = Step::Kind::kSend, .packet = std::move(packet)};
  }
  Step fail(std::error_code error, std::string detail = {}) {
    over_ = true;
    return {.kind = Step::Kind::kFailure,
            .packet = make_result(Code::kFailure, id_),
            .error = error,
            .detail = std::move(detail)};
  }

  AuthenticatorOptions options_;
  Random& random_;
  std::unique_ptr<AuthenticatorMethod> method_;
  Method type_{};
  std::uint8_t id_ = 0;  // of the request that waits for its response
  int packets_ = 0;
  bool named_ = false;  // the answer to Identity has come
  bool fresh_ = false;  // the method has not been answered yet: a Nak may come
  bool busy_ = false;
  bool over_ = false;
  std::string identity_;
  Secret msk_;
};

class Relay final : public Authenticator {
 public:
  explicit Relay(std::unique_ptr<AuthServer> server) : server_(std::move(server)) {}

  void begin(StepHandler done) override {
    done({.kind = Step::Kind::kSend, .packet = make_packet(Code::kRequest, id_, kIdentity, {})});
  }

  void receive(std::span<const std::uint8_t> bytes, StepHandler done) override {
    const auto packet = Packet::parse(bytes);
    if (!packet || packet->code != Code::kResponse || packet->id != id_ || over_ || busy_) return done({});
    if (++packets_ > kMaxPackets) return done(fail(Errc::kEndless));
    if (!named_) {
      if (packet->type != kIdentity || packet->data.size() > kMaxIdentity) return done({});
      named_ = true;
      identity_ = as_text(packet->data);
    }
    busy_ = true;
    server_->forward(bytes, [alive = std::weak_ptr(alive_), this, done = std::move(done)](auto reply) mutable {
      if (!alive.expired()) done(take(std::move(reply)));
    });
  }

  const Secret& msk() const override { return msk_; }
  std::string_view identity() const override { return identity_; }

 private:
  static constexpr std::size_t kKeySize = 64;

  Step take(AuthServer::Reply reply) {
    busy_ = false;
    const auto packet = Packet::parse(reply.packet);
    if (!packet) return fail(Errc::kUnavailable, "the server has sent no EAP packet");
    switch (packet->code) {
      case Code::kRequest:
        id_ = packet->id;
        return {.kind = Step::Kind::kSend, .packet = std::move(reply.packet)};
      case Code::kSuccess:
        if (!reply.msk.empty() && reply.msk.size() != kKeySize) {
          return fail(Errc::kMalformed, "the server's key has a wrong size");
        }
        msk_ = std::move(reply.msk);
        if (!reply.identity.empty()) identity_ = std::move(reply.identity);
        over_ = true;
        return {.kind = Step::Kind::kSuccess, .packet = std::move(reply.packet)};
      case Code::kFailure:
        over_ = true;
        return {.kind = Step::Kind::kFailure, .packet = std::move(reply.packet), .error = Errc::kRefused};
      case Code::kResponse:
        break;
    }
    return fail(Errc::kMalformed, "the server has sent a response");
  }

  Step fail(std::error_code error, std::string detail = {}) {
    over_ = true;
    return {.kind = Step::Kind::kFailure,
            .packet = make_result(Code::kFailure, id_),
            .error = error,
            .detail = std::move(detail)};
  }

  std::unique_ptr<AuthServer> server_;
  std::uint8_t id_ = 0;
  int packets_ = 0;
  bool named_ = false, busy_ = false, over_ = false;
  std::string identity_;
  Secret msk_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>();
};

}  // namespace

std::unique_ptr<Authenticator> make_authenticator(AuthenticatorOptions options, Random& random) {
  return std::make_unique<LocalAuthenticator>(std::move(options), random);
}

std::unique_ptr<Authenticator> relay(std::unique_ptr<AuthServer> server) {
  return std::make_unique<Relay>(std::move(server));
}

}  // namespace winze::eap
