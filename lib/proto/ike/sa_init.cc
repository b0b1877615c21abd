// IKE_SA_INIT of the initiator (RFC 7296 section 1.2), with the answers that make it begin again: COOKIE and
// INVALID_KE_PAYLOAD. The responder's part is responder.cc: it keeps nothing until it likes what it sees.
#include <algorithm>

#include "nat.h"
#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::size_t kNonceSize = 32;
// A responder may ask for a cookie and for another group, and has no reason for much more.
constexpr unsigned kMostRestarts = 4;

}  // namespace

void Sa::begin(TimePoint now, const Route& route, Opening opening) {
  handshake_ = std::make_unique<Handshake>();
  handshake_->route = route;
  if (opening.redirection) came_ = std::make_unique<Redirection>(*opening.redirection);
  if (const Sa* const old = host_.find(opening.replaces)) handshake_->had = old->assigned_;
  handshake_->opening = std::move(opening);
  if (const auto& ticket = handshake_->opening.ticket; ticket && now >= ticket->expires_at) {
    handshake_->opening.ticket.reset();
  }
  handshake_->nonce_i.resize(kNonceSize);
  host_.random.fill(handshake_->nonce_i);
  const Transform* const group =
      connection_->proposals.empty() ? nullptr : connection_->proposals.front().find(TransformType::kKeyExchange);
  if (group == nullptr) return end(now, reason(Cause::kUnsupported, "the connection has no proposals"), false);
  handshake_->group = group->id;
  send_init(now);
}

void Sa::send_init(TimePoint now) {
  Handshake& h = *handshake_;
  Buffer message(1024, kHeaderSize + 4);
  PayloadWriter out(message);
  if (!h.cookie.empty()) write_notify(out, notify::kCookie, h.cookie);
  if (!resumes()) {
    auto exchange = KeyExchange::create(static_cast<KeyExchangeMethod>(h.group), host_.random);
    if (!exchange.ok()) {
      return end(now, reason(Cause::kUnsupported, std::string(exchange.status().message())), false);
    }
    h.key_exchange = *std::move(exchange);
    write_sa(out, connection_->proposals, {});
    write_key_exchange(out, h.group, h.key_exchange->public_value());
  }
  out.add(PayloadType::kNonce, h.nonce_i);
  if (resumes()) write_resumption(out);
  const Path& path = h.route.first;
  write_nat_detection(out, spis_.i, 0, path, connection_->force_encapsulation, host_.random);
  if (connection_->fragmentation) write_notify(out, notify::kFragmentationSupported);
  if (!resumes()) {
    if (connection_->signature_authentication) write_hashes(out);
    if (has_additional(connection_->proposals)) write_notify(out, notify::kIntermediateSupported);
    if (own_ppk(*connection_) != nullptr) write_notify(out, notify::kUsePpk);
  }
  write_redirect_support(out);
  const Exchange kind = resumes() ? Exchange::kSessionResume : Exchange::kInit;
  prepend_header(message, {.spi_i = spis_.i, .first = out.first(), .exchange = kind, .initiator = true});
  h.request.assign(message.span().begin(), message.span().end());

  active_ = std::make_unique<Active>();
  active_->task.kind = Task::Kind::kInit;
  active_->exchange = kind;
  active_->packets.push_back(std::move(message));
  active_->resend_at = now + retransmission_pause(0);
  next_request_ = 1;
  send_packets(path, active_->packets);
}

void Sa::on_init_response(TimePoint now, const Header& header, Buffer& message) {
  PayloadChain chain;
  Contents contents;
  if (!active_ || active_->exchange != header.exchange || header.spi_i != spis_.i || header.initiator ||
      !chain.decode(header.first, message.span().subspan(kHeaderSize)) || chain.unknown_critical != 0 ||
      !contents.decode(chain)) {
    ++host_.counters.malformed;
    return;
  }
  // Nothing here is authentic yet. What makes us begin again is followed a few times; an error ends the attempt.
  if (const NotifyView* cookie = contents.find(notify::kCookie)) return restart_init(now, *cookie);
  if (redirected(now, contents, Bytes(handshake_->nonce_i))) return;
  if (resumes() && contents.has(notify::kTicketNack)) {
    handshake_->opening.ticket.reset();
    return send_init(now);
  }
  if (const NotifyView* error = contents.error()) {
    if (error->type == notify::kInvalidKePayload) return restart_init(now, *error);
    return fail_init(now, *error);
  }
  if (resumes() && header.spi_r != 0 && contents.nonce) {
    take_answer(header, message, contents);
    return on_resume_response(now, contents);
  }
  if (header.spi_r == 0 || !contents.key_exchange || !contents.nonce || contents.offers.size() != 1) {
    ++host_.counters.malformed;
    return;
  }
  std::size_t index = 0;
  const ProposalList answer = contents.offered();
  auto chosen = choose(connection_->proposals, answer, KeyExchangeRule::kRequired, index);
  if (!chosen || chosen->find(TransformType::kKeyExchange)->id != handshake_->group ||
      contents.key_exchange->method != handshake_->group || chosen->transforms.size() != answer[0].transforms.size()) {
    Reason why = reason(Cause::kNoProposal, "the responder chose what was not offered");
    why.offered = answer;
    why.accepted = connection_->proposals;
    return end(now, std::move(why), false);
  }
  auto shared = handshake_->key_exchange->derive(contents.key_exchange->value);
  if (!shared.ok()) {
    return end(now, reason(Cause::kMisbehaved, std::string(shared.status().message())), false);
  }
  Handshake& h = *handshake_;
  take_answer(header, message, contents);
  proposal_ = *std::move(chosen);
  suite_ = *Suite::of(proposal_);
  take_keys(skeyseed(suite_.prf, shared->span(), h.nonce_i, h.nonce_r), h.nonce_i, h.nonce_r);
  if (exchanges_wanting() && !contents.has(notify::kIntermediateSupported)) {
    return end(now, reason(Cause::kMisbehaved, "further key exchanges, but not IKE_INTERMEDIATE"), false);
  }
  if (std::string trouble = trouble_with_rounds(contents.has(notify::kMultipleAuthSupported)); !trouble.empty()) {
    return end(now, reason(Cause::kUnsupported, std::move(trouble)), false);
  }
  if (contents.has(notify::kUsePpk)) h.ppk = own_ppk(*connection_);
  if (h.ppk == nullptr && connection_->ppk_required) {
    return end(now, reason(Cause::kUnsupported, "the responder uses no PPK"), false);
  }
  continue_opening(now);
}

// What of the answer is the same with a key exchange and with a ticket.
void Sa::take_answer(const Header& header, Buffer& message, const Contents& contents) {
  Handshake& h = *handshake_;
  h.key_exchange.reset();
  h.response.assign(message.span().begin(), message.span().end());
  h.nonce_r.assign(contents.nonce->begin(), contents.nonce->end());
  if (connection_->signature_authentication) h.peer_hashes = decode_hashes(contents);
  take_certificate_requests(contents);
  h.peer_childless = contents.has(notify::kChildlessSupported);
  spis_.r = header.spi_r;
  fragmentation_ = connection_->fragmentation && contents.has(notify::kFragmentationSupported);
  const auto nat = detect_nat(contents, spis_.i, spis_.r, h.route.first);
  if (nat) local_nat_ = nat->local, remote_nat_ = nat->remote;
  const bool floats = (nat && (nat->local || nat->remote || connection_->force_encapsulation)) || connection_->mobike;
  path_ = floats && h.route.floated ? *h.route.floated : h.route.first;
  active_.reset();
  state_ = State::kAuth;
}

void Sa::restart_init(TimePoint now, const NotifyView& error) {
  Handshake& h = *handshake_;
  if (++h.restarts > kMostRestarts) return;
  if (error.type == notify::kCookie) {
    if (error.data.empty() || error.data.size() > 64) return;
    h.cookie.assign(error.data.begin(), error.data.end());
  } else {
    const std::uint16_t group = error.data.size() == 2 ? load_u16(error.data.data()) : std::uint16_t{0};
    const Transform wanted{TransformType::kKeyExchange, group, 0};
    const bool ours = std::ranges::any_of(connection_->proposals, [&](const Proposal& p) { return p.has(wanted); });
    if (!ours || group == h.group) {
      Reason why = reason(Cause::kNoProposal, "the responder wants " + to_string(wanted), error.type);
      why.accepted = connection_->proposals;
      return end(now, std::move(why), false);
    }
    h.group = group;
  }
  send_init(now);
}

void Sa::fail_init(TimePoint now, const NotifyView& error) {
  Reason why =
      reason(error.type == notify::kNoProposalChosen ? Cause::kNoProposal : Cause::kRefusedByPeer, "", error.type);
  if (error.type == notify::kNoProposalChosen) why.accepted = connection_->proposals;
  end(now, std::move(why), false);
}

void Sa::take_keys(Secret seed, Bytes nonce_i, Bytes nonce_r) {
  keys_ = derive_keys(suite_, seed, nonce_i, nonce_r, spis_);
  host_.log_keys(*this);
}

bool Sa::open_as_responder(TimePoint now, Opened opened) {
  spis_ = {opened.spi_i, opened.spi_r};
  proposal_ = std::move(opened.proposal);
  const auto suite = Suite::of(proposal_);
  if (!suite) return false;
  suite_ = *suite;
  fragmentation_ = opened.fragmentation;
  local_nat_ = opened.local_nat;
  remote_nat_ = opened.remote_nat;
  redirects_ = opened.redirects;
  state_ = State::kAuth;
  expected_ = 1;
  handshake_ = std::make_unique<Handshake>();
  handshake_->request.assign(opened.request.begin(), opened.request.end());
  handshake_->response.assign(opened.response.begin(), opened.response.end());
  handshake_->nonce_i.assign(opened.nonce_i.begin(), opened.nonce_i.end());
  handshake_->nonce_r.assign(opened.nonce_r.begin(), opened.nonce_r.end());
  handshake_->route.first = path_;
  handshake_->peer_hashes = std::move(opened.hashes);
  handshake_->offered = std::move(opened.offered);
  handshake_->session = std::move(opened.session);
  const auto& session = handshake_->session;
  Secret seed = session ? skeyseed_of_resumption(suite_.prf, session->d, opened.nonce_i, opened.nonce_r)
                        : skeyseed(suite_.prf, opened.shared.span(), opened.nonce_i, opened.nonce_r);
  take_keys(std::move(seed), opened.nonce_i, opened.nonce_r);
  expire_at_ = now + host_.options.half_open_timeout;
  return true;
}

}  // namespace winze::ike
