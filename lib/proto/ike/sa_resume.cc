// An IKE SA that goes on where another has ended (RFC 5723): no key exchange, certificate or EAP, but two messages
// more.
//
//   HDR(IKE_SESSION_RESUME), Ni, TICKET_OPAQUE  -->  <--  HDR, Nr   or TICKET_NACK: IKE_SA_INIT then
//   HDR(IKE_AUTH), SK {IDi, AUTH, ...}          -->  <--  HDR, SK {IDr, AUTH, ...}
//
// A ticket is used up when its AUTH is right, not when it is shown: whoever reads it on its way could else use it up.
#include <absl/status/status.h>

#include <algorithm>

#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::uint8_t kSharedKey = 2;

}  // namespace

// --- AUTH = prf(SK_p, octets), RFC 5723 section 4.3.3

OwnAuth Sa::resumed_auth(bool of_initiator) const {
  const Identity identity = of_initiator == initiator_ ? own_identity() : remote_;
  const Secret& key = of_initiator ? keys_.pi : keys_.pr;
  const Secret mac = Prf::create(suite_.prf, key.span())->sum({auth_octets(of_initiator, identity)});
  return {kSharedKey, {mac.span().begin(), mac.span().end()}};
}

absl::Status Sa::verify_resumed_auth(const Contents& contents) const {
  const Handshake& h = *handshake_;
  const Identity& known = initiator_ ? h.opening.ticket->remote : h.session->client;
  const bool right = contents.auth && contents.auth->method == kSharedKey && remote_ == known &&
                     constant_time_equal(contents.auth->data, resumed_auth(!initiator_).data);
  return right ? absl::OkStatus() : absl::UnauthenticatedError("it is not whom the ticket is of");
}

// --- Initiator

void Sa::write_resumption(PayloadWriter& out) const {
  write_notify(out, notify::kTicketOpaque, handshake_->opening.ticket->opaque);
}

void Sa::on_resume_response(TimePoint now, const Contents& contents) {
  Handshake& h = *handshake_;
  const Ticket& ticket = *h.opening.ticket;
  const auto suite = Suite::of(ticket.proposal);
  if (!suite || contents.error() != nullptr) {
    return end(now, reason(Cause::kMisbehaved, "an answer that resumes nothing"), false);
  }
  proposal_ = ticket.proposal;
  suite_ = *suite;
  take_keys(skeyseed_of_resumption(suite_.prf, ticket.d, h.nonce_i, h.nonce_r), h.nonce_i, h.nonce_r);
  send_auth(now);
}

void Sa::keep_ticket(TimePoint now, const Contents& contents) {
  const NotifyView* const given = contents.find(notify::kTicketLifetimeOpaque);
  if (!connection_->resumption || given == nullptr || given->data.size() <= 4) return;
  const Bytes opaque = given->data.subspan(4);
  auto ticket = std::make_shared<Ticket>(Ticket{.opaque = {opaque.begin(), opaque.end()},
                                                .d = keys_.d,
                                                .proposal = proposal_,
                                                .local = own_identity(),
                                                .remote = remote_});
  ticket->expires_at = now + std::chrono::seconds(load_u32(given->data.data()));
  host_.tell(TicketGiven{id, std::move(ticket)});
}

// --- Responder

bool Sa::verify_resumption(const Contents& contents) {
  const Session& session = *handshake_->session;
  if (!verify_resumed_auth(contents).ok() || !host_.tickets.use(session)) return false;
  eap_identity_ = session.eap_identity;
  handshake_->peer.given = true;
  ++host_.counters.resumed;
  return pending_->verified = true;
}

void Sa::write_ticket(TimePoint now, PayloadWriter& out, const Contents& contents) {
  if (!contents.has(notify::kTicketRequest)) return;
  // Who has to prove himself anew after a time does so with tickets too.
  const Duration reauth = connection_->reauth_time;
  const Duration whole = host_.options.ticket_lifetime;
  const Duration lifetime = reauth > Duration::zero() ? std::min(reauth, whole) : whole;
  ByteVector ticket;
  if (connection_->resumption) {
    ticket = host_.tickets.give(now, host_.random, whole,
                                {.d = keys_.d,
                                 .proposal = proposal_,
                                 .gateway = own_identity(),
                                 .client = remote_,
                                 .eap_identity = eap_identity_,
                                 .connection = connection_->name,
                                 .expires_at = now + lifetime});
  }
  if (ticket.empty()) return write_notify(out, notify::kTicketNack);
  ByteVector data(4);
  store_u32(data.data(),
            static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(lifetime).count()));
  data.insert(data.end(), ticket.begin(), ticket.end());
  write_notify(out, notify::kTicketLifetimeOpaque, data);
}

}  // namespace winze::ike
