// IKE_AUTH (RFC 7296 sections 1.2, 2.15, 2.16): who the peers are, and the first child SA.
#include <absl/status/status.h>

#include <algorithm>

#include "nat.h"
#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::uint8_t kSharedKey = 2;  // authentication method

// Whether a peer that opens so means to prove itself as the connection wants it.
bool fits(const Connection& connection, const Contents& contents) {
  const AuthMethod method = connection.remote.method;
  if (!contents.auth) return method == AuthMethod::kEap;
  if (contents.has(notify::kAnotherAuthFollows) == connection.further_remote.empty()) return false;
  return method == (contents.auth->method == kSharedKey ? AuthMethod::kPsk : AuthMethod::kPublicKey);
}

// What leaves the IKE SA as it is, and its child unmade.
bool is_of_child(std::uint16_t error) {
  return error == notify::kNoProposalChosen ||
         (error >= notify::kSinglePairRequired && error <= notify::kInvalidSelectors);
}

// RFC 5998 section 4: only methods that prove the server as well.
bool is_safe_alone(const eap::PeerOptions& options) {
  return !options.methods.empty() &&
         std::ranges::all_of(options.methods, [](eap::Method m) { return eap::is_safe_alone(m); });
}

}  // namespace

void Sa::ask_psk(QuestionId question) { host_.tell(AskPsk{question, id, connection_, own_identity(), remote_}); }

void Sa::fail_auth(TimePoint now, Reason why, std::uint16_t type) {
  why.notify = type;
  const std::unique_ptr<Pending> request = std::move(pending_);
  host_.forget(request->question);
  respond_notify(now, request->header, request->path, type);
  end(now, std::move(why), true);
}

// RFC 7296 section 2.21.2: a responder that has come up, but is not whom it says, is told so, and not waited for.
void Sa::say_farewell(std::uint16_t type) {
  Buffer inner(64);
  PayloadWriter out(inner);
  if (type != 0) write_notify(out, type);
  write_delete_ike(out);
  send_packets(path_, seal(Exchange::kInformational, false, next_request_++, out.first(), inner.span()));
}

// --- Initiator

// By the next round, if there is one; else it asks for the peer's.
void Sa::prove(TimePoint now) {
  Handshake& h = *handshake_;
  h.own.go_on(own_rounds());
  h.peer.go_on(peer_rounds());
  const LocalAuth& own = own_round();
  const RemoteAuth& peer = peer_round();
  const bool peer_by_secret = !h.peer.given && peer.method == AuthMethod::kPsk;
  const bool needs_secret = (!h.own.given && own.method == AuthMethod::kPsk) || peer_by_secret;
  const Secret& psk = h.peer.given || peer.psk.empty() ? own.psk : peer.psk;
  if (!needs_secret || !psk.empty()) {
    h.psk = psk;
    return send_auth(now);
  }
  if (const Identity* exact = peer.id.exact(); exact != nullptr && !h.peer.given) remote_ = *exact;
  h.question = ask(now);
  ask_psk(h.question);
}

bool Sa::makes_child() const noexcept {
  const Connection& c = *connection_;
  const bool apart =
      c.childless == Childless::kForce || (c.childless == Childless::kPrefer && handshake_->peer_childless);
  return c.start_children != 0 && !c.children.empty() && !apart;
}

void Sa::send_auth(TimePoint now) {
  Handshake& h = *handshake_;
  const Connection& c = *connection_;
  const LocalAuth& own = own_round();
  const bool by_eap = !h.own.given && own.method == AuthMethod::kEap && !resumes();
  if (by_eap) {
    if (!own.eap || (own.eap_only && !is_safe_alone(*own.eap))) {
      return end(now, reason(Cause::kUnsupported, "no EAP method that may be used here"), false);
    }
    h.eap_peer = std::make_unique<eap::Peer>(*own.eap, host_.random);
  } else {
    mix_in_ppk();
    if (!make_auth(now)) return;
  }
  // The answer to the first request is the peer's first round.
  const bool first = h.peer.current == 0 && !h.peer.given;
  if (first && !makes_child() && !h.peer_childless) {
    return end(now, reason(Cause::kUnsupported, "the responder does not take an IKE SA without a child"), false);
  }
  Buffer inner(1024);
  PayloadWriter out(inner);
  if (!h.own.given) write_claim(out);
  if (first) {
    if (says_initial_contact()) write_notify(out, notify::kInitialContact);
    if (c.request_certificates && !resumes()) write_certificate_requests(out, c);
  }
  if (const Identity* wanted = peer_round().id.exact(); wanted != nullptr && !h.peer.given) {
    write_id(out, PayloadType::kIdResponder, *wanted);
  }
  write_proof(out);
  if (first) {
    if (by_eap && own.eap_only) write_notify(out, notify::kEapOnlyAuthentication);
    if (has_rounds(c) && !resumes()) write_notify(out, notify::kMultipleAuthSupported);
    if (makes_child()) h.child_spi = host_.new_child_spi();
    write_wishes(out);
  }
  send_request(now, {.kind = Task::Kind::kAuth}, Exchange::kAuth, out.first(), inner.span()).child_spi = h.child_spi;
}

// What the first request asks for, to be had with the last answer.
void Sa::write_wishes(PayloadWriter& out) {
  const Handshake& h = *handshake_;
  const Connection& c = *connection_;
  if (!c.request.empty()) write_configuration(out, ConfigurationType::kRequest, wish());
  if (h.child_spi != 0) write_child_offer(out, *c.children.front(), h.child_spi);
  if (c.mobike) write_notify(out, notify::kMobikeSupported);
  if (c.resumption) write_notify(out, notify::kTicketRequest);
  write_ppk(out);
}

// Who takes the place of another IKE SA wants its addresses.
Configuration Sa::wish() const {
  Configuration out = connection_->request;
  for (Prefix& prefix : out.addresses) {
    for (const IpAddress& had : handshake_->had) {
      if (!prefix.address.is_unspecified() || prefix.address.is_v6() != had.is_v6()) continue;
      prefix = {had, static_cast<std::uint8_t>(had.is_v6() ? 128 : 32)};
    }
  }
  return out;
}

void Sa::on_auth_response(TimePoint now, const Contents& contents) {
  Handshake& h = *handshake_;
  const bool ends_eap = h.eap_peer && h.eap_done;
  const NotifyView* const error = contents.error();
  const bool refused = h.peer.given && !h.eap_peer && error != nullptr && !is_of_child(error->type);
  if (const std::string_view missing = missing_in(contents, ends_eap); refused || !missing.empty()) {
    return end(now,
               error != nullptr ? reason(Cause::kRefusedByPeer, "", error->type)
                                : reason(Cause::kMisbehaved, std::string(missing)),
               false);
  }
  absl::Status proved = ppk_answered(contents);
  if (proved.ok()) proved = ends_eap ? verify_eap_auth(contents) : verify_round(contents);
  if (!proved.ok()) {
    say_farewell(notify::kAuthenticationFailed);
    return end(now, reason(Cause::kAuthentication, remote_.to_string() + ": " + std::string(proved.message())), false);
  }
  if (ends_eap) h.eap_peer.reset();
  if (h.eap_peer) {
    h.eap_peer->receive(*contents.eap, step_handler());
    return take_client_step(now);
  }
  if (own_left() > 0 || peer_left() > 0) return prove(now);
  finish_opening(now, contents);
}

// What of an answer has to be there, and is not; empty: nothing.
std::string_view Sa::missing_in(const Contents& contents, bool ends_eap) const {
  const Handshake& h = *handshake_;
  if (ends_eap) return contents.auth ? "" : "an IKE_AUTH response without AUTH";
  if (!h.peer.given && !contents.id_r) return "no IDr";
  if (!h.peer.given && !h.eap_peer && !contents.auth) return "an IKE_AUTH response without AUTH";
  return h.eap_peer && !contents.eap ? "no EAP where there should be" : "";
}

// The peer's round, if one is left. RFC 7296 section 2.16: before EAP it proves itself, but where the method does it as
// well (RFC 5998).
absl::Status Sa::verify_round(const Contents& contents) {
  if (handshake_->peer.given) return absl::OkStatus();
  remote_ = *contents.id_r;
  if (!contents.auth && !own_round().eap_only) {
    return absl::UnauthenticatedError("it begins EAP and has not proved who it is");
  }
  if (absl::Status proved = contents.auth ? verify_auth(contents) : absl::OkStatus(); !proved.ok()) return proved;
  if (!peer_round().id.matches(remote_)) {
    return absl::UnauthenticatedError("it is not " + peer_round().id.to_string());
  }
  return end_peer_round(contents);
}

void Sa::finish_opening(TimePoint now, const Contents& contents) {
  Handshake& h = *handshake_;
  if (redirected(now, contents, std::nullopt)) return;
  mobike_ = connection_->mobike && contents.has(notify::kMobikeSupported);
  if (mobike_) take_addresses(contents);
  Configuration configuration;
  if (contents.configuration_type == ConfigurationType::kReply) configuration = contents.configuration;
  for (const Prefix& prefix : configuration.addresses) assigned_.push_back(prefix.address);
  come_up(now, std::move(configuration), false);
  take_auth_lifetime(now, contents);
  if (h.child_spi != 0) {
    const ChildConfigPtr config = connection_->children.front();
    ChildOutcome outcome{.spi_in = h.child_spi, .initiator = true};
    std::optional<Reason> refused = judge_child_answer(contents, *config, id::kNoKeyExchange, outcome);
    if (!refused) {
      install(now, {}, config, outcome, {}, h.nonce_i, h.nonce_r);
    } else {
      give_up_spi(h.child_spi);
      if (refused->notify == notify::kSinglePairRequired) {
        queue({.kind = Task::Kind::kCreateChild, .config = config, .single_pair = true});
      } else {
        host_.tell(ChildRefused{id, config, *std::move(refused)});
      }
    }
  }
  keep_ticket(now, contents);
  for (std::size_t i = h.child_spi != 0; i < std::min(connection_->start_children, connection_->children.size()); ++i) {
    queue({.kind = Task::Kind::kCreateChild, .config = connection_->children[i]});
  }
  handshake_.reset();
}

// Established: told before the first child.
void Sa::come_up(TimePoint now, Configuration configuration, bool initial_contact) {
  host_.leave_half_open(*this);
  state_ = State::kUp;
  set_ike_timers(now);
  ++(initiator_ ? host_.counters.initiated : host_.counters.accepted);
  if (!initiator_) end_others(now, initial_contact);
  const SaId replaces = handshake_->opening.replaces;
  keys_.pi = keys_.pr = Secret();
  host_.tell(Up{.sa = id,
                .connection = connection_,
                .initiator = initiator_,
                .local = own_identity(),
                .remote = remote_,
                .eap_identity = eap_identity_,
                .path = path_,
                .proposal = proposal_,
                .local_nat = local_nat_,
                .remote_nat = remote_nat_,
                .configuration = std::move(configuration),
                .replaces = replaces});
  if (replaces != SaId{}) host_.retire(now, replaces);
}

// --- Responder

void Sa::on_auth_request(TimePoint now, const Contents& contents) {
  Handshake& h = *handshake_;
  if (h.authenticator) return on_eap_request(now, contents);
  h.own.go_on(own_rounds());
  if (peer_left() == 0) return answer_proofs(now, contents);
  if (!contents.id_i) return fail_auth(now, reason(Cause::kMisbehaved, "no IDi"), notify::kInvalidSyntax);
  if (has_forbidden_nat(contents, pending_->path)) {
    return fail_auth(now, reason(Cause::kUnsupported, "a NAT, which the peer does not want"),
                     notify::kUnexpectedNatDetected);
  }
  remote_ = *contents.id_i;
  if (h.first_request.empty()) take_certificate_requests(contents);
  if (choose_connection(now, contents) && verify_peer(now, contents)) answer_proofs(now, contents);
}

bool Sa::takes(const Connection& connection, const std::optional<Identity>& wanted) const {
  const bool resumed = handshake_->session.has_value();
  const IdentityPattern& peer = resumed ? last_peer_round(connection).id : connection.remote.id;
  const Identity& own = resumed ? last_own_round(connection).id : connection.local.id;
  if (!is_for(connection, path_) || !peer.matches(remote_)) return false;
  // Where we have no name of our own, any will do.
  if (wanted && !own.bytes.empty() && !IdentityPattern(own.to_string()).matches(*wanted)) return false;
  std::size_t index = 0;
  return choose(connection.proposals, {&proposal_, 1}, KeyExchangeRule::kRequired, index).has_value();
}

bool Sa::choose_connection(TimePoint now, const Contents& contents) {
  if (pending_->chosen || !handshake_->first_request.empty()) return true;
  if (host_.options.ask_connection) {
    pending_->asked = Asked::kConnection;
    pending_->question = ask(now);
    host_.tell(AskConnection{pending_->question, id, remote_, contents.id_r, path_});
    return false;
  }
  const auto& all = host_.options.connections;
  const auto& session = handshake_->session;
  auto found = std::ranges::find_if(all, [&](const ConnectionPtr& c) {
    if (session) return c->name == session->connection && c->resumption && takes(*c, contents.id_r);
    return takes(*c, contents.id_r) && fits(*c, contents);
  });
  // Where none fits how the peer proves itself, the first of its name says what it should have done.
  if (found == all.end() && !session) {
    found = std::ranges::find_if(all, [&](const ConnectionPtr& c) { return takes(*c, contents.id_r); });
  }
  if (found == all.end()) {
    fail_auth(now, reason(Cause::kNoConnection, remote_.to_string()), notify::kAuthenticationFailed);
    return false;
  }
  connection_ = *found;
  pending_->chosen = true;
  return true;
}

bool Sa::verify_peer(TimePoint now, const Contents& contents) {
  if (pending_->verified) return true;
  Handshake& h = *handshake_;
  const auto fail = [&](Cause cause, std::string text) {
    fail_auth(now, reason(cause, std::move(text)), notify::kAuthenticationFailed);
    return false;
  };
  if (resumes()) return verify_resumption(contents) || fail(Cause::kAuthentication, "its ticket does not hold");
  if (h.first_request.empty()) {
    std::string trouble = trouble_with_rounds(contents.has(notify::kMultipleAuthSupported));
    if (!trouble.empty()) return fail(Cause::kUnsupported, std::move(trouble));
  }
  h.peer.go_on(peer_rounds());
  if (h.peer.current > 0 && !peer_round().id.matches(remote_)) {
    return fail(Cause::kAuthentication, remote_.to_string() + ": it is not " + peer_round().id.to_string());
  }
  if (peer_round().method == AuthMethod::kEap) {
    if (contents.auth) return fail(Cause::kAuthentication, "the peer does not use EAP");
    begin_eap(now, contents);
    return false;
  }
  if (!contents.auth) return fail(Cause::kUnsupported, "the peer wants EAP, which this connection has not");
  if (!knows_psk(now)) return false;
  absl::Status proved = take_ppk(contents);
  if (proved.ok()) proved = verify_auth(contents);
  if (proved.ok()) proved = end_peer_round(contents);
  if (!proved.ok()) {
    return fail(Cause::kAuthentication, remote_.to_string() + ": " + std::string(proved.message()));
  }
  pending_->verified = true;
  return true;
}

// The secret that the rounds of this request and its answer need; false while the host is asked for it.
bool Sa::knows_psk(TimePoint now) {
  const LocalAuth& own = own_round();
  const RemoteAuth& peer = peer_round();
  const bool of_peer = !handshake_->peer.given && peer.method == AuthMethod::kPsk;
  if (!pending_->psk && of_peer && !peer.psk.empty()) pending_->psk = peer.psk;
  const bool of_own = !handshake_->own.given && own.method == AuthMethod::kPsk && own.psk.empty();
  if ((!of_peer && !of_own) || pending_->psk) return true;
  pending_->asked = Asked::kPsk;
  pending_->question = ask(now);
  ask_psk(pending_->question);
  return false;
}

bool Sa::authorize(TimePoint now, const Contents& contents) {
  if (!may_come_beside_others(contents.has(notify::kInitialContact))) {
    fail_auth(now, reason(Cause::kRefusedByHost, "the peer has an IKE SA already, which is kept"),
              notify::kAuthenticationFailed);
    return false;
  }
  if (!connection_->ask_authorize || pending_->allowed) return true;
  pending_->asked = Asked::kAuthorize;
  pending_->question = ask(now);
  host_.tell(AskAuthorize{pending_->question, id, connection_, remote_, eap_identity_, path_});
  return false;
}

bool Sa::assign_addresses(TimePoint now, const Contents& contents) {
  const bool asked = contents.configuration_type == ConfigurationType::kRequest;
  if (pending_->configuration || !asked || !connection_->pool || contents.configuration.addresses.empty()) return true;
  pending_->asked = Asked::kAddresses;
  pending_->question = ask(now);
  host_.tell(AskAddresses{pending_->question, id, connection_, remote_, eap_identity_, contents.configuration});
  return false;
}

namespace {

Configuration joined(Configuration a, const Configuration& b) {
  a.addresses.insert(a.addresses.end(), b.addresses.begin(), b.addresses.end());
  a.dns.insert(a.dns.end(), b.dns.begin(), b.dns.end());
  a.subnets.insert(a.subnets.end(), b.subnets.begin(), b.subnets.end());
  a.domains.insert(a.domains.end(), b.domains.begin(), b.domains.end());
  return a;
}

}  // namespace

void Sa::answer_auth(TimePoint now, const Contents& contents) {
  Configuration reply;
  const bool asked = contents.configuration_type == ConfigurationType::kRequest;
  if (asked) reply = joined(connection_->reply, pending_->configuration.value_or(Configuration{}));
  assigned_.clear();
  for (const Prefix& prefix : reply.addresses) assigned_.push_back(prefix.address);
  const bool no_address = asked && connection_->pool && !contents.configuration.addresses.empty() && assigned_.empty();
  if (pending_->elsewhere && !redirects_) {
    return fail_auth(now, reason(Cause::kRefusedByHost, "it cannot be redirected"), notify::kAuthenticationFailed);
  }
  ChildAnswer child;
  if (pending_->elsewhere) {
    // No child is made for one who goes.
  } else if (no_address) {
    child.error = notify::kInternalAddressFailure;
  } else if (connection_->pool && contents.configuration.addresses.empty() && !contents.offers.empty()) {
    child.error = notify::kFailedCpRequired;
  } else if (!contents.offers.empty() && connection_->childless == Childless::kForce) {
    return fail_auth(now, reason(Cause::kUnsupported, "an IKE SA with a child at once"), notify::kInvalidSyntax);
  } else if (!contents.offers.empty()) {
    child = negotiate_child(now, contents, KeyExchangeRule::kIgnored, nullptr);
    if (child.waits) return;
  } else if (connection_->childless == Childless::kNever) {
    return fail_auth(now, reason(Cause::kUnsupported, "an IKE SA without a child"), notify::kInvalidSyntax);
  }
  mobike_ = connection_->mobike && contents.has(notify::kMobikeSupported);

  Buffer inner(1024);
  PayloadWriter out(inner);
  write_own_round(out);
  write_ppk(out);
  if (pending_->elsewhere) return send_elsewhere(now, out, inner);
  if (asked && !no_address) write_configuration(out, ConfigurationType::kReply, reply);
  if (child.error != 0) {
    write_notify(out, child.error, child.error_data);
  } else if (child.config) {
    write_child_answer(out, child);
  }
  if (mobike_) {
    write_notify(out, notify::kMobikeSupported);
    write_addresses(out, false);
  }
  write_ticket(now, out, contents);
  write_auth_lifetime(out);
  respond_pending(now, out, inner);

  come_up(now, std::move(reply), contents.has(notify::kInitialContact));
  if (child.config && child.error == 0) {
    install(now, {}, child.config, child.outcome, {}, handshake_->nonce_i, handshake_->nonce_r);
  } else if (child.error != 0) {
    host_.tell(ChildRefused{id, child.config, refusal_of(child, contents)});
  }
  handshake_.reset();
}

}  // namespace winze::ike
