// EAP within IKE_AUTH (RFC 7296 section 2.16, RFC 5998): between the first request, which has no AUTH, and the last,
// which has one made with the key that EAP gave.
//
//   IDi, SAi2, TSi, TSr   -->
//                         <--  IDr, CERT, AUTH, EAP
//   EAP                   -->
//                         <--  EAP ... success
//   AUTH                  -->
//                         <--  AUTH, SAr2, TSi, TSr
#include <absl/status/status.h>

#include <algorithm>
#include <utility>

#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::uint8_t kSharedKey = 2;

std::string text_of(const eap::Step& step) {
  std::string text = step.error.message();
  if (!step.detail.empty()) text += ": " + step.detail;
  return text;
}

}  // namespace

// The key of both AUTH payloads after EAP: the method's, or, where it makes none, SK_pi and SK_pr.
const Secret& Sa::eap_key(bool of_initiator, bool with_ppk) const {
  const Handshake& h = *handshake_;
  const Secret& msk = h.eap_peer ? h.eap_peer->msk() : h.authenticator->msk();
  if (!msk.empty()) return msk;
  if (!with_ppk && h.without_ppk) return of_initiator ? h.without_ppk->pi : h.without_ppk->pr;
  return of_initiator ? keys_.pi : keys_.pr;
}

ByteVector Sa::eap_auth(bool of_initiator, bool with_ppk) const {
  const Identity identity = of_initiator == initiator_ ? own_identity() : remote_;
  const Secret mac = shared_secret_auth(suite_.prf, eap_key(of_initiator, with_ppk).span(),
                                        auth_octets(of_initiator, identity, with_ppk));
  return {mac.span().begin(), mac.span().end()};
}

absl::Status Sa::verify_eap_auth(const Contents& contents) const {
  const bool right = contents.auth && contents.auth->method == kSharedKey &&
                     constant_time_equal(auth_of(contents).data, eap_auth(!initiator_));
  return right ? absl::OkStatus() : absl::UnauthenticatedError("its AUTH does not fit what EAP agreed on");
}

// What one end of EAP says, now or later.
eap::StepHandler Sa::step_handler() {
  const auto step = handshake_->step = std::make_shared<EapStep>();
  return [step, waker = host_.waker, spi = own_spi()](eap::Step made) {
    step->result = std::move(made);
    if (!step->late) return;
    waker->ready.push_back(spi);
    if (waker->wake) waker->wake();
  };
}

std::optional<eap::Step> Sa::take_step(TimePoint now) {
  const auto step = handshake_->step;
  if (!step) return std::nullopt;
  if (!step->late) expect_host(now);
  step->late = true;
  if (!step->result) return std::nullopt;
  handshake_->step.reset();
  return std::move(step->result);
}

// --- The client

void Sa::take_client_step(TimePoint now) {
  auto step = take_step(now);
  if (!step) return;
  Buffer inner(512);
  PayloadWriter out(inner);
  switch (step->kind) {
    case eap::Step::Kind::kSend:
      out.add(PayloadType::kEap, step->packet);
      break;
    case eap::Step::Kind::kSuccess:
      handshake_->eap_done = true;
      mix_in_ppk();
      handshake_->own_auth = OwnAuth{kSharedKey, eap_auth(true), true};
      write_proof(out);
      if (offers_way_without_ppk()) handshake_->own_auth_without_ppk = OwnAuth{kSharedKey, eap_auth(true, false)};
      write_ppk(out);
      break;
    case eap::Step::Kind::kFailure:
      say_farewell(notify::kAuthenticationFailed);
      return end(now, reason(Cause::kRefusedByPeer, "EAP: " + text_of(*step)), false);
    case eap::Step::Kind::kDiscard:
      return end(now, reason(Cause::kMisbehaved, "EAP that is not of this conversation"), false);
  }
  send_request(now, {.kind = Task::Kind::kAuth}, Exchange::kAuth, out.first(), inner.span());
}

// --- The gateway

void Sa::begin_eap(TimePoint now, const Contents& contents) {
  Handshake& h = *handshake_;
  const RemoteAuth& peer = peer_round();
  if (!peer.eap) {
    return fail_auth(now, reason(Cause::kUnsupported, "the connection has no EAP"), notify::kAuthenticationFailed);
  }
  // RFC 5998: a client that trusts its method alone may be taken at its word where this end has nothing to show.
  h.eap_alone = own_round().method == AuthMethod::kEap && contents.has(notify::kEapOnlyAuthentication);
  if (!h.eap_alone && !make_auth(now)) return;
  h.authenticator = peer.eap();
  h.authenticator->begin(step_handler());
  take_server_step(now);
}

void Sa::on_eap_request(TimePoint now, const Contents& contents) {
  Handshake& h = *handshake_;
  if (h.eap_done) return finish_eap(now, contents);
  if (!h.step) {
    if (!contents.eap) return fail_auth(now, reason(Cause::kMisbehaved, "no EAP"), notify::kAuthenticationFailed);
    h.authenticator->receive(*contents.eap, step_handler());
  }
  take_server_step(now);
}

void Sa::take_server_step(TimePoint now) {
  auto step = take_step(now);
  if (!step) return;
  Handshake& h = *handshake_;
  if (step->kind == eap::Step::Kind::kDiscard) {
    pending_.reset();  // as if it had not come: it may come again
    return;
  }
  Buffer inner(512);
  PayloadWriter out(inner);
  keep_first_request();
  if (h.eap_alone && !h.own.given) {
    write_claim(out);
    h.own.given = true;
  }
  write_own_round(out);
  out.add(PayloadType::kEap, step->packet);
  respond_pending(now, out, inner);
  h.eap_done = step->kind == eap::Step::Kind::kSuccess;
  if (step->kind == eap::Step::Kind::kFailure) {
    end(now, reason(Cause::kAuthentication, remote_.to_string() + ": EAP: " + text_of(*step)), true);
  }
}

// The request behind success: its AUTH.
void Sa::finish_eap(TimePoint now, const Contents& contents) {
  Handshake& h = *handshake_;
  absl::Status proved = take_ppk(contents);
  if (proved.ok()) proved = verify_eap_auth(contents);
  if (proved.ok()) proved = end_peer_round(contents);
  if (!proved.ok()) {
    return fail_auth(now, reason(Cause::kAuthentication, remote_.to_string() + ": " + std::string(proved.message())),
                     notify::kAuthenticationFailed);
  }
  h.own_auth = OwnAuth{kSharedKey, eap_auth(false), true};
  eap_identity_ = h.authenticator->identity();
  h.authenticator.reset();
  answer_proofs(now, contents);
}

// An initiator that gives up before it is through (RFC 7296 section 2.21.2): it does not believe us, or has found EAP
// to fail before we said so.
void Sa::on_farewell(TimePoint now, const Path& path, const Header& header, const Contents& contents) {
  const NotifyView* const error = contents.error();
  if (error == nullptr && contents.deletes.empty()) return;
  const auto& authenticator = handshake_->authenticator;
  const std::string trouble = authenticator ? authenticator->trouble() : std::string();
  respond(now, header, path, PayloadType::kNone, {});
  const std::uint16_t type = error != nullptr ? error->type : std::uint16_t{0};
  end(now,
      trouble.empty() ? reason(Cause::kRefusedByPeer, "it gives up", type)
                      : reason(Cause::kAuthentication, remote_.to_string() + ": EAP: " + trouble, type),
      true);
}

}  // namespace winze::ike
