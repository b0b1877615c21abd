// EAP-TLS (RFC 5216, RFC 9190), at both ends: the handshake is the engine's, the fragments are ours.
#include <utility>

#include "method.h"
#include "packet.h"
#include "tls_fragments.h"
#include "winze/base/ascii.h"

namespace winze::eap {
namespace {

// What both ends share: a message of the other end goes to the engine, what the engine makes goes out in fragments.
class TlsConversation {
 public:
  explicit TlsConversation(std::unique_ptr<TlsEngine> engine) : engine_(std::move(engine)) {}

  TlsEngine* engine() const { return engine_.get(); }
  bool done() const { return done_; }
  bool failed() const { return failed_; }
  bool has_next() const { return fragments_.has_next(); }
  Result next() { return Result::send(fragments_.next()); }
  std::string detail() const { return printable(engine_->detail(), 512); }

  // `then` is called when the engine has made what it can; an error has been told already.
  using Then = absl::AnyInvocable<void(ResultHandler done)>;
  void take(std::span<const std::uint8_t> data, ResultHandler done, Then then) {
    switch (fragments_.take(data)) {
      case TlsFragments::Taken::kMalformed:
        return done(Result::fail(Errc::kMalformed, "EAP-TLS fragment"));
      case TlsFragments::Taken::kTooLong:
        return done(Result::fail(Errc::kTooLong));
      case TlsFragments::Taken::kMore:
        return done(Result::send(TlsFragments::empty()));
      case TlsFragments::Taken::kAcknowledged:
        return then(std::move(done));
      case TlsFragments::Taken::kMessage:
        return advance(std::move(done), std::move(then));
    }
  }
  void advance(ResultHandler done, Then then) {
    std::vector<std::uint8_t> out;
    const auto progress = engine_->advance(fragments_.message(), out);
    fragments_.clear_message();
    unsent_.insert(unsent_.end(), out.begin(), out.end());
    if (progress == TlsEngine::Progress::kWait) {
      engine_->set_waker([this, done = std::move(done), then = std::move(then)]() mutable {
        advance(std::move(done), std::move(then));
      });
      return;
    }
    done_ = progress == TlsEngine::Progress::kDone;
    failed_ = progress == TlsEngine::Progress::kFailed;
    fragments_.put(std::exchange(unsent_, {}));
    then(std::move(done));
  }

 private:
  std::unique_ptr<TlsEngine> engine_;
  TlsFragments fragments_;
  std::vector<std::uint8_t> unsent_;
  bool done_ = false, failed_ = false;
};

class TlsPeer final : public PeerMethod {
 public:
  explicit TlsPeer(std::unique_ptr<TlsEngine> engine) : talk_(std::move(engine)) {}

  void handle(std::uint8_t, std::span<const std::uint8_t> data, ResultHandler done) override {
    if (!talk_.engine()) return done(Result::fail(Errc::kUnavailable));
    const auto then = [this](ResultHandler finish) { answer(std::move(finish)); };
    const bool start = !data.empty() && (data[0] & kStart) != 0;
    if (start != !started_ || (start && data.size() > 5)) {
      return done(Result::fail(Errc::kMalformed, "EAP-TLS start"));
    }
    if (start) {
      started_ = true;
      return talk_.advance(std::move(done), then);
    }
    // While fragments of ours are on their way, only their acknowledgements are due.
    if (talk_.has_next()) {
      if (data.size() != 1) return done(Result::fail(Errc::kMalformed, "EAP-TLS data instead of an acknowledgement"));
      return done(talk_.next());
    }
    if (over()) return done(Result::fail(Errc::kMalformed, "EAP-TLS data after the handshake"));
    talk_.take(data, std::move(done), then);
  }

  bool may_succeed() const override { return talk_.done() && !talk_.has_next(); }
  std::string unfinished() const override {
    if (!talk_.engine() || !talk_.engine()->lacks_commitment()) return {};
    return "the server's TLS 1.3 is not RFC 9190's: no commitment has come (TLS 1.2 needs none: tls_version_max)";
  }
  std::error_code reason() const override { return talk_.failed() ? Errc::kTls : Errc::kRefused; }
  std::string reason_text() const override { return talk_.failed() ? talk_.detail() : std::string(); }
  Secret msk() const override { return talk_.engine()->master_session_key(); }

 private:
  bool over() const { return talk_.done() || talk_.failed(); }

  void answer(ResultHandler done) {
    if (talk_.has_next()) return done(talk_.next());  // an alert, too, before the server says failure
    if (talk_.failed()) return done(Result::fail(Errc::kTls, talk_.detail()));
    done(Result::send(TlsFragments::empty()));
  }

  TlsConversation talk_;
  bool started_ = false;
};

class TlsAuthenticator final : public AuthenticatorMethod {
 public:
  explicit TlsAuthenticator(std::unique_ptr<TlsEngine> engine) : talk_(std::move(engine)) {}

  void begin(std::uint8_t, ResultHandler done) override {
    if (!talk_.engine()) return done(Result::fail(Errc::kUnavailable));
    done(Result::send({kStart}));
  }

  void handle(std::uint8_t, std::span<const std::uint8_t> data, ResultHandler done) override {
    if (data.empty() || (data[0] & kStart) != 0) return done(Result::fail(Errc::kMalformed, "EAP-TLS start"));
    if (talk_.has_next()) {
      if (data.size() != 1) return done(Result::fail(Errc::kMalformed, "EAP-TLS data instead of an acknowledgement"));
      return done(talk_.next());
    }
    if (talk_.done() || talk_.failed()) return finish(data, std::move(done));
    talk_.take(data, std::move(done), [this](ResultHandler next) { answer(std::move(next)); });
  }

  Secret msk() const override { return talk_.engine()->master_session_key(); }
  Result trouble() const override { return talk_.failed() ? Result::fail(Errc::kTls, talk_.detail()) : Result(); }
  std::string identity(std::string_view claimed) const override { return talk_.engine()->peer_name(claimed); }

 private:
  void answer(ResultHandler done) {
    if (talk_.has_next()) return done(talk_.next());
    if (talk_.failed()) return done(Result::fail(Errc::kTls, talk_.detail()));
    if (talk_.done()) return done({.kind = Result::Kind::kDone});
    // An acknowledgement of nothing, or a message that the engine has nothing to say to.
    done(Result::fail(Errc::kMalformed, "EAP-TLS message out of order"));
  }

  // The peer's answer to our last message: nothing, or an alert of its own.
  void finish(std::span<const std::uint8_t> data, ResultHandler done) {
    if (talk_.failed()) return done(Result::fail(Errc::kTls, talk_.detail()));
    if (data.size() == 1) return done({.kind = Result::Kind::kDone});
    done(Result::fail(Errc::kTls, "the peer has sent something after the handshake"));
  }

  TlsConversation talk_;
};

}  // namespace

std::unique_ptr<PeerMethod> tls_peer(std::unique_ptr<TlsEngine> engine) {
  return std::make_unique<TlsPeer>(std::move(engine));
}
std::unique_ptr<AuthenticatorMethod> tls_authenticator(std::unique_ptr<TlsEngine> engine) {
  return std::make_unique<TlsAuthenticator>(std::move(engine));
}

}  // namespace winze::eap
