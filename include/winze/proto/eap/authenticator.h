// The end that has somebody prove who it is: by itself, or by asking a server behind it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/random.h"
#include "winze/base/secret.h"
#include "winze/proto/eap/eap.h"
#include "winze/proto/eap/tls_engine.h"

namespace winze::eap {

// One conversation. A host may implement it, to have it led elsewhere; relay() below does most of that.
class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // The first packet to send.
  virtual void begin(StepHandler done) = 0;
  virtual void receive(std::span<const std::uint8_t> packet, StepHandler done) = 0;

  // After success. The key has 64 bytes, or none with a method that makes none.
  virtual const Secret& msk() const = 0;
  // Who it was that proved it: MSCHAPv2's name, the name in a certificate; else the answer to Identity.
  virtual std::string_view identity() const = 0;
  // What is known to be wrong while the peer still has a word to say, as with a password that it could correct. Many
  // peers hang up there. Empty: nothing.
  virtual std::string trouble() const { return {}; }
};

// Where passwords come from. `found` is called once, before find() returns or later; with nothing for an unknown user,
// who is then refused as late, and in the same words, as one with a wrong password.
class Passwords {
 public:
  using Handler = absl::AnyInvocable<void(std::optional<Secret> password)>;
  virtual ~Passwords() = default;
  virtual void find(std::string_view user, Handler found) = 0;
};

struct AuthenticatorOptions {
  std::string name = "winze";        // MSCHAPv2's, of this server
  std::shared_ptr<Passwords> users;  // null: no method with a password
  TlsEngineFactory tls;              // empty: no EAP-TLS
  // What is offered, one after another as the peer refuses them. Empty: TLS and MSCHAPv2, as far as there is what they
  // need.
  std::vector<Method> methods;
  bool legacy = false;  // offers MD5 and GTC where `methods` names them
};

// Leads the conversation itself.
std::unique_ptr<Authenticator> make_authenticator(AuthenticatorOptions options, Random& random);

// A server elsewhere that leads it: RADIUS, most often.
class AuthServer {
 public:
  struct Reply {
    std::vector<std::uint8_t> packet;  // EAP: the next request, a success, or a failure; empty: the server is silent
    Secret msk;                        // with a success
    std::string identity;              // with a success, where the server names it; empty: as the peer did
  };
  using Handler = absl::AnyInvocable<void(Reply)>;
  virtual ~AuthServer() = default;
  // Passes on the peer's response. `replied` is called once, before forward() returns or later.
  virtual void forward(std::span<const std::uint8_t> response, Handler replied) = 0;
};

// Asks for the identity, and then only carries packets. A reply that is no EAP packet ends the conversation, and so
// does a success that comes with a key of a wrong size.
std::unique_ptr<Authenticator> relay(std::unique_ptr<AuthServer> server);

}  // namespace winze::eap
