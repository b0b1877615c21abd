// One method, at either end: type-data in, type-data out. The conversation around it is Peer's or Authenticator's.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "winze/base/random.h"
#include "winze/base/secret.h"
#include "winze/proto/eap/authenticator.h"
#include "winze/proto/eap/eap.h"

namespace winze::eap {

struct Result {
  enum class Kind : std::uint8_t {
    kSend,     // a peer's response, an authenticator's next request
    kDone,     // an authenticator's: send a success
    kFail,     // an authenticator sends a failure; a peer gives up
    kDiscard,  // not part of this method's conversation
  };
  Kind kind = Kind::kDiscard;
  std::vector<std::uint8_t> data{};
  std::error_code error{};
  std::string detail{};

  static Result send(std::vector<std::uint8_t> data) { return {.kind = Kind::kSend, .data = std::move(data)}; }
  static Result fail(std::error_code error, std::string detail = {}) {
    return {.kind = Kind::kFail, .error = error, .detail = std::move(detail)};
  }
};
using ResultHandler = absl::AnyInvocable<void(Result)>;

class PeerMethod {
 public:
  virtual ~PeerMethod() = default;
  // The data of a request with this identifier.
  virtual void handle(std::uint8_t id, std::span<const std::uint8_t> data, ResultHandler done) = 0;
  // Whether a success is due now.
  virtual bool may_succeed() const = 0;
  // What it still waits for, where a success alone does not say it.
  virtual std::string unfinished() const { return {}; }
  // Why a failure is due now, if this method knows it better than "refused".
  virtual std::error_code reason() const { return Errc::kRefused; }
  virtual std::string reason_text() const { return {}; }
  virtual Secret msk() const { return {}; }
};

class AuthenticatorMethod {
 public:
  virtual ~AuthenticatorMethod() = default;
  // The data of the first request, which has this identifier.
  virtual void begin(std::uint8_t id, ResultHandler done) = 0;
  // The data of the response to the request with this identifier; a request that follows has the next one.
  virtual void handle(std::uint8_t id, std::span<const std::uint8_t> data, ResultHandler done) = 0;
  virtual Secret msk() const { return {}; }
  // Of Authenticator; kFail where there is any.
  virtual Result trouble() const { return {}; }
  // Who it was that said it is `claimed`; empty: it was.
  virtual std::string identity(std::string_view /*claimed*/) const { return {}; }
};

std::unique_ptr<PeerMethod> md5_peer(const Secret& password);
std::unique_ptr<PeerMethod> gtc_peer(const Secret& password);
std::unique_ptr<PeerMethod> mschapv2_peer(std::string_view name, const Secret& password, Random& random);
std::unique_ptr<PeerMethod> tls_peer(std::unique_ptr<TlsEngine> engine);

std::unique_ptr<AuthenticatorMethod> md5_authenticator(std::shared_ptr<Passwords> users, std::string_view identity,
                                                       Random& random);
std::unique_ptr<AuthenticatorMethod> gtc_authenticator(std::shared_ptr<Passwords> users, std::string_view identity);
std::unique_ptr<AuthenticatorMethod> mschapv2_authenticator(std::shared_ptr<Passwords> users, std::string_view name,
                                                            Random& random);
std::unique_ptr<AuthenticatorMethod> tls_authenticator(std::unique_ptr<TlsEngine> engine);

}  // namespace winze::eap
