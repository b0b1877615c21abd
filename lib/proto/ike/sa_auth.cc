// IKE_AUTH (RFC 7296 sections 1.2, 2.15, 2.16): who the peers are, and the first child SA.
#include <absl/status/status.h>

#include <algorithm>

#include "nat.h"
#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::uint8_t kSharedKey = 2;  // authentication method

// Whether a peer that opens so means to prove itself by `method`.
bool fits(AuthMethod method, const Contents& contents) {
  if (!contents.auth) return method == AuthMethod::kEap;
  return method == (contents.auth->method == kSharedKey ? AuthMethod::kPsk : AuthMethod::kPublicKey);
}

// RFC 5998 section 4: only methods that prove the server as well.
bool is_safe_alone(const eap::PeerOptions& options) {
  return !options.methods.empty() &&
         std::ranges::all_of(options.methods, [](eap::Method m) { return eap::is_safe_alone(m); });
}

}  // namespace

Identity Sa::own_identity() const {
  if (handshake_ && handshake_->opening.ticket) return handshake_->opening.ticket->local;
  if (handshake_ && handshake_->session) return handshake_->session->gateway;
  const Identity& own = connection_->local.id;
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

// --- Proofs

bool Sa::make_auth(TimePoint now) {
  Handshake& h = *handshake_;
  return make_proof(now, true, h.own_auth) &&
         (!offers_way_without_ppk() || make_proof(now, false, h.own_auth_without_ppk));
}

bool Sa::make_proof(TimePoint now, bool with_ppk, std::optional<OwnAuth>& proof) {
  if (proof) return true;
  if (resumes()) return proof = resumed_auth(initiator_), true;
  const ByteVector octets = auth_octets(initiator_, own_identity(), with_ppk);
  if (connection_->local.method == AuthMethod::kPublicKey) return sign(now, octets, proof);
  const Secret& own = connection_->local.psk;
  const Secret mac = shared_secret_auth(suite_.prf, own.empty() ? known_psk()->span() : own.span(), octets);
  proof = OwnAuth{kSharedKey, {mac.span().begin(), mac.span().end()}};
  return true;
}

bool Sa::sign(TimePoint now, Bytes octets, std::optional<OwnAuth>& proof) {
  Handshake& h = *handshake_;
  const auto& own = connection_->local.certificate;
  if (!own) return fail_to_prove(now, "the connection has no certificate"), false;
  if (!h.signing) {
    const auto method = choose_signature(*own->key, h.peer_hashes, {connection_->local.schemes, connection_->legacy});
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
  }
  const Signing& done = *h.signing;
  if (!done.result) return false;
  if (!done.result->ok()) return fail_to_prove(now, std::string(done.result->status().message())), false;
  proof = OwnAuth{done.method.method, encode_signature(done.method, own->key->public_key(), **done.result)};
  h.signing.reset();
  return true;
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
  const RemoteAuth& expected = connection_->remote;
  if (expected.method == AuthMethod::kPsk) {
    if (auth.method != kSharedKey) return absl::UnauthenticatedError("it does not use the shared secret");
    const Secret mac = shared_secret_auth(suite_.prf, known_psk()->span(), octets);
    return constant_time_equal(auth.data, mac.span()) ? absl::OkStatus()
                                                      : absl::UnauthenticatedError("it has another secret");
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
  return verify_signature(auth, leaf->public_key(), octets, {expected.schemes, connection_->legacy});
}

// --- Initiator

void Sa::prove(TimePoint now) {
  const bool needs_secret =
      connection_->local.method == AuthMethod::kPsk || connection_->remote.method == AuthMethod::kPsk;
  const Secret& psk = connection_->remote.psk.empty() ? connection_->local.psk : connection_->remote.psk;
  if (!needs_secret || !psk.empty()) {
    handshake_->psk = psk;
    return send_auth(now);
  }
  if (const Identity* exact = connection_->remote.id.exact()) remote_ = *exact;
  handshake_->question = host_.ask(*this);
  ask_psk(handshake_->question);
}

void Sa::send_auth(TimePoint now) {
  Handshake& h = *handshake_;
  const Connection& c = *connection_;
  const bool by_eap = c.local.method == AuthMethod::kEap && !resumes();
  if (by_eap) {
    if (!c.local.eap || (c.local.eap_only && !is_safe_alone(*c.local.eap))) {
      return end(now, reason(Cause::kUnsupported, "no EAP method that may be used here"), false);
    }
    h.eap_peer = std::make_unique<eap::Peer>(*c.local.eap, host_.random);
  } else {
    mix_in_ppk();
    if (!make_auth(now)) return;
  }
  Buffer inner(1024);
  PayloadWriter out(inner);
  write_id(out, PayloadType::kIdInitiator, own_identity());
  if (!resumes()) show_certificates(out);
  if (says_initial_contact()) write_notify(out, notify::kInitialContact);
  if (c.remote.verifier && c.request_certificates && !resumes()) write_certificate_request(out, *c.remote.verifier);
  if (const Identity* wanted = c.remote.id.exact()) write_id(out, PayloadType::kIdResponder, *wanted);
  if (!by_eap) write_auth(out, h.own_auth->method, h.own_auth->data);
  if (by_eap && c.local.eap_only) write_notify(out, notify::kEapOnlyAuthentication);
  const bool apart = c.childless == Childless::kForce || (c.childless == Childless::kPrefer && h.peer_childless);
  const bool child = c.start_children != 0 && !c.children.empty() && !apart;
  if (!child && !h.peer_childless) {
    return end(now, reason(Cause::kUnsupported, "the responder does not take an IKE SA without a child"), false);
  }
  if (!c.request.empty()) write_configuration(out, ConfigurationType::kRequest, wish());
  if (child) {
    h.child_spi = host_.new_child_spi();
    write_child_offer(out, *c.children.front(), h.child_spi, KeyExchangeRule::kIgnored);
  }
  if (c.mobike) write_notify(out, notify::kMobikeSupported);
  if (c.resumption) write_notify(out, notify::kTicketRequest);
  write_ppk(out);
  send_request(now, {.kind = Task::Kind::kAuth}, Exchange::kAuth, out.first(), inner.span()).child_spi = h.child_spi;
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
  const bool by_eap = h.eap_peer != nullptr;
  if (by_eap && !h.eap_done) return on_eap_response(now, contents);
  if (!contents.auth || (!contents.id_r && !by_eap)) {
    const NotifyView* const error = contents.error();
    give_up_spi(h.child_spi);
    if (error == nullptr) return end(now, reason(Cause::kMisbehaved, "an IKE_AUTH response without AUTH"), false);
    return end(now, reason(Cause::kRefusedByPeer, "", error->type), false);
  }
  if (!by_eap) remote_ = *contents.id_r;
  absl::Status proved = ppk_answered(contents);
  if (proved.ok()) proved = by_eap ? verify_eap_auth(contents) : verify_auth(contents);
  if (proved.ok() && !connection_->remote.id.matches(remote_)) {
    proved = absl::UnauthenticatedError("it is not " + connection_->remote.id.to_string());
  }
  if (!proved.ok()) {
    give_up_spi(h.child_spi);
    say_farewell(notify::kAuthenticationFailed);
    return end(now, reason(Cause::kAuthentication, remote_.to_string() + ": " + std::string(proved.message())), false);
  }
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
    std::optional<Reason> refused = judge_child_answer(contents, *config, KeyExchangeRule::kIgnored, outcome);
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
  if (!handshake_->first_request.empty()) return on_eap_request(now, contents);
  if (!contents.id_i) return fail_auth(now, reason(Cause::kMisbehaved, "no IDi"), notify::kInvalidSyntax);
  if (has_forbidden_nat(contents, pending_->path)) {
    return fail_auth(now, reason(Cause::kUnsupported, "a NAT, which the peer does not want"),
                     notify::kUnexpectedNatDetected);
  }
  remote_ = *contents.id_i;
  handshake_->certificate_wanted = !contents.certificate_requests.empty();
  if (!choose_connection(now, contents) || !verify_peer(now, contents) || !authorize(now, contents)) return;
  if (!assign_addresses(now, contents) || !make_auth(now)) return;
  answer_auth(now, contents);
}

bool Sa::takes(const Connection& connection, const std::optional<Identity>& wanted) const {
  if (!is_for(connection, path_) || !connection.remote.id.matches(remote_)) return false;
  // Where we have no name of our own, any will do.
  if (wanted && !connection.local.id.bytes.empty() &&
      !IdentityPattern(connection.local.id.to_string()).matches(*wanted)) {
    return false;
  }
  std::size_t index = 0;
  return choose(connection.proposals, {&proposal_, 1}, KeyExchangeRule::kRequired, index).has_value();
}

bool Sa::choose_connection(TimePoint now, const Contents& contents) {
  if (pending_->chosen) return true;
  if (host_.options.ask_connection) {
    pending_->asked = Asked::kConnection;
    pending_->question = host_.ask(*this);
    host_.tell(AskConnection{pending_->question, id, remote_, contents.id_r, path_});
    return false;
  }
  const auto& all = host_.options.connections;
  const auto& session = handshake_->session;
  auto found = std::ranges::find_if(all, [&](const ConnectionPtr& c) {
    if (session) return c->name == session->connection && c->resumption && takes(*c, contents.id_r);
    return takes(*c, contents.id_r) && fits(c->remote.method, contents);
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
  const auto fail = [&](Cause cause, std::string text) {
    fail_auth(now, reason(cause, std::move(text)), notify::kAuthenticationFailed);
    return false;
  };
  if (resumes()) return verify_resumption(contents) || fail(Cause::kAuthentication, "its ticket does not hold");
  if (connection_->remote.method == AuthMethod::kEap) {
    if (contents.auth) return fail(Cause::kAuthentication, "the peer does not use EAP");
    begin_eap(now, contents);
    return false;
  }
  if (!contents.auth) return fail(Cause::kUnsupported, "the peer wants EAP, which this connection has not");
  if (!pending_->psk && !connection_->remote.psk.empty()) pending_->psk = connection_->remote.psk;
  const bool by_secret = connection_->remote.method == AuthMethod::kPsk ||
                         (connection_->local.method == AuthMethod::kPsk && connection_->local.psk.empty());
  if (by_secret && !pending_->psk) {
    pending_->asked = Asked::kPsk;
    pending_->question = host_.ask(*this);
    ask_psk(pending_->question);
    return false;
  }
  absl::Status proved = take_ppk(contents);
  if (proved.ok()) proved = verify_auth(contents);
  if (!proved.ok()) {
    return fail(Cause::kAuthentication, remote_.to_string() + ": " + std::string(proved.message()));
  }
  pending_->verified = true;
  return true;
}

bool Sa::authorize(TimePoint now, const Contents& contents) {
  if (!may_come_beside_others(contents.has(notify::kInitialContact))) {
    fail_auth(now, reason(Cause::kRefusedByHost, "the peer has an IKE SA already, which is kept"),
              notify::kAuthenticationFailed);
    return false;
  }
  if (!connection_->ask_authorize || pending_->allowed) return true;
  pending_->asked = Asked::kAuthorize;
  pending_->question = host_.ask(*this);
  host_.tell(AskAuthorize{pending_->question, id, connection_, remote_, eap_identity_, path_});
  return false;
}

bool Sa::assign_addresses(TimePoint, const Contents& contents) {
  const bool asked = contents.configuration_type == ConfigurationType::kRequest;
  if (pending_->configuration || !asked || !connection_->pool || contents.configuration.addresses.empty()) return true;
  pending_->asked = Asked::kAddresses;
  pending_->question = host_.ask(*this);
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
    child = negotiate_child(contents, KeyExchangeRule::kIgnored, nullptr);
    if (child.waits) return;
  } else if (connection_->childless == Childless::kNever) {
    return fail_auth(now, reason(Cause::kUnsupported, "an IKE SA without a child"), notify::kInvalidSyntax);
  }
  mobike_ = connection_->mobike && contents.has(notify::kMobikeSupported);

  Buffer inner(1024);
  PayloadWriter out(inner);
  const Identity own = own_identity();
  if (!handshake_->authenticator) {
    write_id(out, PayloadType::kIdResponder, own);
    if (!resumes()) show_certificates(out);
  }
  write_auth(out, handshake_->own_auth->method, handshake_->own_auth->data);
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
