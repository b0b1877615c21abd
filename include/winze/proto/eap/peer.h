// The end that proves who it is.
//
// With MD5, GTC and also MSCHAPv2, whoever is at the other end can try what it gets against a list of passwords, or has
// the password itself. So the other end's identity has to be proved before this one is given a single packet: in IKEv2
// by its certificate (RFC 7296 section 2.16). Only methods that prove the server as well, by more than a password, may
// go without (RFC 5998): is_safe_alone() says which. It is the duty of whoever drives the peer.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "winze/base/random.h"
#include "winze/base/secret.h"
#include "winze/proto/eap/eap.h"
#include "winze/proto/eap/tls_engine.h"

namespace winze::eap {

struct PeerOptions {
  std::string identity;  // the answer to Identity
  std::string user;      // MSCHAPv2's name, also "DOMAIN\user"; empty: the identity
  Secret password;       // UTF-8; empty: no method with one
  TlsEngineFactory tls;  // empty: no EAP-TLS
  // What is taken, the best first; others get a Nak that lists these. Empty: TLS and MSCHAPv2, as far as there is what
  // they need.
  std::vector<Method> methods;
  bool legacy = false;  // takes MD5 and GTC where `methods` names them
};

constexpr bool is_safe_alone(Method method) noexcept { return method == Method::kTls; }

class Peer {
 public:
  Peer(PeerOptions options, Random& random);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void receive(std::span<const std::uint8_t> packet, StepHandler done);

  // The method that was agreed on.
  std::optional<Method> method() const;
  // After success: 64 bytes, or empty with a method that makes no keys.
  const Secret& msk() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace winze::eap
