// Proofs of identity in AUTH payloads (RFC 7296 section 2.15): what they cover, ours as it is made, the peer's as it is
// verified. Those of EAP are in sa_eap.cc.
#include <absl/status/status.h>

#include <algorithm>

#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::uint8_t kSharedKey = 2;  // authentication method

}  // namespace

Identity Sa::own_identity() const {
  if (handshake_ && handshake_->opening.ticket) return handshake_->opening.ticket->local;
  if (handshake_ && handshake_->session) return handshake_->session->gateway;
  const Identity& own = own_round().id;
  return own.bytes.empty() ? Identity::of(path_.local.address) : own;
}

Identity Sa::lasting_identity() const {
  const Identity& own = last_own_round(*connection_).id;
  return own.bytes.empty() ? Identity::of(path_.local.address) : own;
}

ByteVector Sa::auth_octets(bool of_initiator, const Identity& identity, bool with_ppk) const {
  const Handshake& h = *handshake_;
  ByteVector octets = of_initiator ? h.request : h.response;
  const ByteVector& nonce = of_initiator ? h.nonce_r : h.nonce_i;
  octets.insert(octets.end(), nonce.begin(), nonce.end());
  const bool mixed = with_ppk || !h.without_ppk;
  const Secret& key = of_initiator ? (mixed ? keys_.pi : h.without_ppk->pi) : (mixed ? keys_.pr : h.without_ppk->pr);
  const Secret mac = mac_of_id(suite_.prf, key, id_body(identity));
  octets.insert(octets.end(), mac.span().begin(), mac.span().end());
  const ByteVector before = h.intermediate.octets();
  octets.insert(octets.end(), before.begin(), before.end());
  return octets;
}

bool Sa::make_auth(TimePoint now) {
  Handshake& h = *handshake_;
  if (h.own.given) return true;
  return (initiator_ || resumes() || knows_psk(now)) && make_proof(now, true, h.own_auth) &&
         (!offers_way_without_ppk() || make_proof(now, false, h.own_auth_without_ppk));
}

bool Sa::make_proof(TimePoint now, bool with_ppk, std::optional<OwnAuth>& proof) {
  if (proof) return true;
  if (resumes()) return proof = resumed_auth(initiator_), true;
  const AuthMethod method = own_round().method;
  if (method == AuthMethod::kEap) return fail_to_prove(now, "the peer does not take EAP alone"), false;
  const ByteVector octets = auth_octets(initiator_, own_identity(), with_ppk);
  if (method == AuthMethod::kPublicKey) return sign(now, octets, proof);
  const Secret& own = own_round().psk;
  const Secret mac = shared_secret_auth(suite_.prf, own.empty() ? known_psk()->span() : own.span(), octets);
  proof = OwnAuth{kSharedKey, {mac.span().begin(), mac.span().end()}};
  return true;
}

bool Sa::sign(TimePoint now, Bytes octets, std::optional<OwnAuth>& proof) {
  Handshake& h = *handshake_;
  const auto& own = own_round().certificate;
  if (!own) return fail_to_prove(now, "the connection has no certificate"), false;
  if (!h.signing) {
    const auto method = choose_signature(*own->key, h.peer_hashes, {own_round().schemes, connection_->legacy});
    if (!method.ok()) return fail_to_prove(now, std::string(method.status().message())), false;
    const auto signing = h.signing = std::make_shared<Signing>();
    signing->method = *method;
    own->key->sign(method->scheme, octets,
                   [signing, waker = host_.waker, spi = own_spi()](absl::StatusOr<ByteVector> made) {
                     signing->result = std::move(made);
                     if (!signing->late) return;
                     waker->ready.push_back(spi);
                     if (waker->wake) waker->wake();
                   });
    signing->late = true;
    expect_host(now);
  }
  const Signing& done = *h.signing;
  if (!done.result) return false;
  if (!done.result->ok()) return fail_to_prove(now, std::string(done.result->status().message())), false;
  proof = OwnAuth{done.method.method, encode_signature(done.method, own->key->public_key(), **done.result)};
  h.signing.reset();
  return true;
}

void Sa::write_claim(PayloadWriter& out) const {
  write_id(out, initiator_ ? PayloadType::kIdInitiator : PayloadType::kIdResponder, own_identity());
  if (!resumes()) show_certificates(out);
}

void Sa::write_proof(PayloadWriter& out) {
  Handshake& h = *handshake_;
  if (!h.own_auth) return;
  write_auth(out, h.own_auth->method, h.own_auth->data);
  h.own.given = true;
  h.own_auth.reset();
  if (own_left() > 0) write_notify(out, notify::kAnotherAuthFollows);
}

void Sa::on_signed(TimePoint now) {
  if (state_ != State::kAuth) return;
  if (initiator_ && handshake_->eap_peer) return take_client_step(now);
  if (initiator_) return send_auth(now);
  continue_pending(now);
}

void Sa::fail_to_prove(TimePoint now, std::string text) {
  Reason why = reason(Cause::kUnsupported, std::move(text));
  if (initiator_) return end(now, std::move(why), false);
  fail_auth(now, std::move(why), notify::kAuthenticationFailed);
}

absl::Status Sa::verify_auth(const Contents& contents) const {
  if (resumes()) return verify_resumed_auth(contents);
  const AuthView auth = auth_of(contents);
  const ByteVector octets = auth_octets(!initiator_, remote_);
  const RemoteAuth& expected = peer_round();
  if (expected.method == AuthMethod::kPsk) {
    if (auth.method != kSharedKey) return absl::UnauthenticatedError("it does not use the shared secret");
    const Secret mac = shared_secret_auth(suite_.prf, known_psk()->span(), octets);
    return constant_time_equal(auth.data, mac.span()) ? absl::OkStatus()
                                                      : absl::UnauthenticatedError("it has another secret");
  }
  const SignatureRule rule{expected.schemes, connection_->legacy};
  if (!expected.keys.empty()) {
    absl::Status proved = verify_by_keys(auth, contents.certificates, expected.keys, octets, rule);
    if (proved.ok() || !expected.verifier) return proved;
  }
  if (!expected.verifier || host_.options.wall_clock == nullptr) {
    return absl::UnauthenticatedError("nothing here could verify a certificate");
  }
  const ChainPolicy policy{.now = host_.options.wall_clock->unix_now(),
                           .use = initiator_ ? CertificateUse::kServer : CertificateUse::kClient,
                           .revocation = expected.revocation,
                           .min_rsa_bits = expected.min_rsa_bits,
                           .min_ecdsa_bits = expected.min_ecdsa_bits,
                           .schemes = expected.chain_schemes,
                           .legacy = connection_->legacy};
  const auto leaf = verify_chain(contents.certificates, remote_, *expected.verifier, policy);
  if (!leaf.ok()) return leaf.status();
  return verify_signature(auth, leaf->public_key(), octets, rule);
}

}  // namespace winze::ike
