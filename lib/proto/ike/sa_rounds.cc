// Several rounds of authentication (RFC 4739). Each is as if it were the only one: it names who proves itself, and its
// AUTH covers that name. The ends go on independently: each message of an end brings its next round and announces the
// one behind it; what the first request asks for is in the last answer.
//
//   IDi, AUTH, ANOTHER_AUTH_FOLLOWS, MULTIPLE_AUTH_SUPPORTED, SAi2, TSi, TSr  -->
//                                                                            <--  IDr, AUTH
//   IDi                                                                       -->
//                                                                            <--  EAP ... success
//   AUTH                                                                      -->
//                                                                            <--  AUTH, SAr2, TSi, TSr
#include <absl/status/status.h>

#include "sa.h"

namespace winze::ike {
namespace {

// Which they are.
template <typename Auth>
std::vector<std::size_t> rounds_by_eap(const Auth& first, const std::vector<Auth>& further) {
  std::vector<std::size_t> out;
  if (first.method == AuthMethod::kEap) out.push_back(0);
  for (std::size_t i = 0; i < further.size(); ++i) {
    if (further[i].method == AuthMethod::kEap) out.push_back(i + 1);
  }
  return out;
}

}  // namespace

bool has_rounds(const Connection& connection) noexcept {
  return !connection.further_local.empty() || !connection.further_remote.empty();
}

const LocalAuth& last_own_round(const Connection& connection) noexcept {
  return connection.further_local.empty() ? connection.local : connection.further_local.back();
}

const RemoteAuth& last_peer_round(const Connection& connection) noexcept {
  return connection.further_remote.empty() ? connection.remote : connection.further_remote.back();
}

// A ticket stands for all of them.
std::size_t Sa::own_rounds() const noexcept { return resumes() ? 1 : 1 + connection_->further_local.size(); }
std::size_t Sa::peer_rounds() const noexcept { return resumes() ? 1 : 1 + connection_->further_remote.size(); }

const LocalAuth& Sa::own_round() const noexcept {
  if (!handshake_ || resumes()) return last_own_round(*connection_);
  const std::size_t round = handshake_->own.current;
  return round == 0 ? connection_->local : connection_->further_local[round - 1];
}

const RemoteAuth& Sa::peer_round() const noexcept {
  if (!handshake_ || resumes()) return last_peer_round(*connection_);
  const std::size_t round = handshake_->peer.current;
  return round == 0 ? connection_->remote : connection_->further_remote[round - 1];
}

std::string Sa::trouble_with_rounds(bool peer_takes_them) const {
  const Connection& c = *connection_;
  if (!has_rounds(c)) return {};
  if (!peer_takes_them) return "the peer does not take several rounds of authentication (RFC 4739)";
  if (!c.ppk_id.empty() || c.ppk_required) return "a PPK with several rounds of authentication";
  const auto own = rounds_by_eap(c.local, c.further_local), peer = rounds_by_eap(c.remote, c.further_remote);
  const auto &of_initiator = initiator_ ? own : peer, &of_responder = initiator_ ? peer : own;
  if (own.size() > 1 || peer.size() > 1) return "several rounds by EAP";
  if (!of_responder.empty()) return "EAP of the responder with several rounds of authentication";
  // The responder proves all before EAP begins, a round with each answer.
  const std::size_t responder_rounds = initiator_ ? peer_rounds() : own_rounds();
  return !of_initiator.empty() && of_initiator.front() + 1 < responder_rounds
             ? "EAP before the responder has proved itself in all of its rounds"
             : "";
}

absl::Status Sa::end_peer_round(const Contents& contents) {
  Rounds& rounds = handshake_->peer;
  rounds.given = true;
  const bool follows = contents.has(notify::kAnotherAuthFollows);
  if (follows == (rounds.left(peer_rounds()) > 0)) return absl::OkStatus();
  if (follows) return absl::UnauthenticatedError("it wants to prove itself once more, which is not asked of it");
  return absl::UnauthenticatedError("it has ended with round " + std::to_string(rounds.current + 1) + " of " +
                                    std::to_string(peer_rounds()) + " of its authentication");
}

// --- Responder

// All that the peer had to say in this request is right.
void Sa::answer_proofs(TimePoint now, const Contents& contents) {
  Handshake& h = *handshake_;
  if (peer_left() > 0 || own_left() > 1) {
    if (make_auth(now)) answer_round(now);
    return;
  }
  const ByteVector first = h.first_request;
  PayloadChain chain;
  Contents asked;
  if (!first.empty() && (!chain.decode(h.first_type, first) || !asked.decode(chain))) return;
  const Contents& wishes = first.empty() ? contents : asked;
  if (!authorize(now, wishes) || !assign_addresses(now, wishes) || !make_auth(now)) return;
  answer_auth(now, wishes);
}

void Sa::answer_round(TimePoint now) {
  keep_first_request();
  Buffer inner(1024);
  PayloadWriter out(inner);
  write_own_round(out);
  respond_pending(now, out, inner);
}

void Sa::write_own_round(PayloadWriter& out) {
  const auto& proof = handshake_->own_auth;
  if (proof && !proof->of_eap) write_claim(out);
  write_proof(out);
}

void Sa::keep_first_request() {
  Handshake& h = *handshake_;
  if (!h.first_request.empty()) return;
  h.first_request = pending_->payloads;
  h.first_type = pending_->first;
}

}  // namespace winze::ike
