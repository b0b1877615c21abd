// MD5 and GTC (RFC 3748 sections 5.4 and 5.6). Legacy, both.
#include <array>
#include <utility>

#include "method.h"
#include "packet.h"
#include "winze/base/ascii.h"
#include "winze/base/bytes.h"
#include "winze/crypto/mac.h"

namespace winze::eap {
namespace {

constexpr std::size_t kDigest = 16;

// Of a challenge, as CHAP does it (RFC 1994).
std::array<std::uint8_t, kMaxHashSize> md5(std::uint8_t id, const Secret& password,
                                           std::span<const std::uint8_t> challenge) {
  return hash_of(HashAlgorithm::kMd5, {{&id, 1}, password.span(), challenge});
}

class Md5Peer final : public PeerMethod {
 public:
  explicit Md5Peer(const Secret& password) : password_(password) {}

  //   Value-Size(1) Value Name
  void handle(std::uint8_t id, std::span<const std::uint8_t> data, ResultHandler done) override {
    Reader in(data);
    const auto challenge = in.bytes(in.u8());
    if (!in.ok() || challenge.empty()) return done(Result::fail(Errc::kMalformed, "MD5 challenge"));
    const auto digest = md5(id, password_, challenge);
    std::vector<std::uint8_t> out{kDigest};
    out.insert(out.end(), digest.begin(), digest.begin() + kDigest);
    answered_ = true;
    done(Result::send(std::move(out)));
  }
  bool may_succeed() const override { return answered_; }

 private:
  Secret password_;
  bool answered_ = false;
};

class GtcPeer final : public PeerMethod {
 public:
  explicit GtcPeer(const Secret& password) : password_(password) {}

  void handle(std::uint8_t, std::span<const std::uint8_t>, ResultHandler done) override {
    // A second question is about another password, which is not here.
    if (answered_) return done(Result::fail(Errc::kUnavailable, "the server asks again"));
    answered_ = true;
    const auto text = std::as_const(password_).span();
    done(Result::send({text.begin(), text.end()}));
  }
  bool may_succeed() const override { return answered_; }

 private:
  Secret password_;
  bool answered_ = false;
};

// Both ask once, and compare the answer with one of their own making.
class PasswordAuthenticator : public AuthenticatorMethod {
 public:
  PasswordAuthenticator(std::shared_ptr<Passwords> users, std::string_view identity)
      : users_(std::move(users)), identity_(identity) {}

  void handle(std::uint8_t id, std::span<const std::uint8_t> data, ResultHandler done) override {
    users_->find(identity_, [alive = std::weak_ptr(alive_), this, id, answer = Secret(data),
                             done = std::move(done)](std::optional<Secret> password) mutable {
      if (alive.expired()) return;
      if (password && right(id, answer.span(), *password)) return done({.kind = Result::Kind::kDone});
      done(Result::fail(password ? Errc::kWrongPassword : Errc::kUnknownUser, printable(identity_)));
    });
  }

 protected:
  virtual bool right(std::uint8_t id, std::span<const std::uint8_t> answer, const Secret& password) const = 0;

 private:
  std::shared_ptr<Passwords> users_;
  std::string identity_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>();
};

class Md5Authenticator final : public PasswordAuthenticator {
 public:
  Md5Authenticator(std::shared_ptr<Passwords> users, std::string_view identity, Random& random)
      : PasswordAuthenticator(std::move(users), identity) {
    random.fill(challenge_);
  }
  void begin(std::uint8_t, ResultHandler done) override {
    std::vector<std::uint8_t> out{kDigest};
    out.insert(out.end(), std::begin(challenge_), std::end(challenge_));
    done(Result::send(std::move(out)));
  }

 private:
  bool right(std::uint8_t id, std::span<const std::uint8_t> answer, const Secret& password) const override {
    Reader in(answer);
    const auto value = in.bytes(in.u8());
    const auto expected = md5(id, password, challenge_);
    return in.ok() && constant_time_equal(value, std::span(expected).first(kDigest));
  }

  std::uint8_t challenge_[kDigest];
};

class GtcAuthenticator final : public PasswordAuthenticator {
 public:
  using PasswordAuthenticator::PasswordAuthenticator;
  void begin(std::uint8_t, ResultHandler done) override {
    const auto prompt = as_bytes("Password");
    done(Result::send({prompt.begin(), prompt.end()}));
  }

 private:
  bool right(std::uint8_t, std::span<const std::uint8_t> answer, const Secret& password) const override {
    return constant_time_equal(answer, password.span());
  }
};

}  // namespace

std::unique_ptr<PeerMethod> md5_peer(const Secret& password) { return std::make_unique<Md5Peer>(password); }
std::unique_ptr<PeerMethod> gtc_peer(const Secret& password) { return std::make_unique<GtcPeer>(password); }

std::unique_ptr<AuthenticatorMethod> md5_authenticator(std::shared_ptr<Passwords> users, std::string_view identity,
                                                       Random& random) {
  return std::make_unique<Md5Authenticator>(std::move(users), identity, random);
}
std::unique_ptr<AuthenticatorMethod> gtc_authenticator(std::shared_ptr<Passwords> users, std::string_view identity) {
  return std::make_unique<GtcAuthenticator>(std::move(users), identity);
}

}  // namespace winze::eap
