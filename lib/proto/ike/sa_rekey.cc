// A rekeyed IKE SA: new keys, the same children (RFC 7296 sections 1.3.2, 2.8.2, 2.18, 2.25.2).
#include <algorithm>

#include "choice.h"
#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::size_t kNonceSize = 32;

Bytes lower_of(Bytes a, Bytes b) { return std::ranges::lexicographical_compare(a, b) ? a : b; }

}  // namespace

void Sa::send_rekey(TimePoint now, Task task) {
  const Transform* const used = proposal_.find(TransformType::kKeyExchange);
  auto active = std::make_unique<Active>();
  active->group = task.group != 0 ? task.group : used->id;
  auto exchange = KeyExchange::create(static_cast<KeyExchangeMethod>(active->group), host_.random);
  if (!exchange.ok()) return;
  active->key_exchange = *std::move(exchange);
  active->nonce.resize(kNonceSize);
  host_.random.fill(active->nonce);
  active->ike_spi = host_.new_spi();
  std::uint8_t spi[8];
  store_u64(spi, active->ike_spi);
  Buffer inner(512);
  PayloadWriter out(inner);
  write_sa(out, connection_->proposals, spi);
  out.add(PayloadType::kNonce, active->nonce);
  write_key_exchange(out, active->group, active->key_exchange->public_value());
  active_ = std::move(active);
  send_request(now, std::move(task), Exchange::kCreateChild, out.first(), inner.span());
}

void Sa::on_rekey_response(TimePoint now, Active active, const Contents& contents) {
  const NotifyView* const error = contents.error();
  if (error != nullptr && error->type == notify::kInvalidKePayload && error->data.size() == 2 &&
      active.task.group == 0) {
    active.task.group = load_u16(error->data.data());
    const Transform wanted{TransformType::kKeyExchange, active.task.group, 0};
    const auto& ours = connection_->proposals;
    if (std::ranges::any_of(ours, [&](const Proposal& p) { return p.has(wanted); })) {
      return send_rekey(now, std::move(active.task));
    }
  }
  const ProposalList answered = contents.offered();
  std::size_t index = 0;
  const auto chosen = choose(connection_->proposals, answered, KeyExchangeRule::kRequired, index);
  const bool whole = error == nullptr && chosen && Suite::of(*chosen) && answered.size() == 1 &&
                     chosen->transforms.size() == answered[0].transforms.size() && contents.offers[0].spi.size() == 8 &&
                     contents.nonce && contents.key_exchange && contents.key_exchange->method == active.group &&
                     chosen->find(TransformType::kKeyExchange)->id == active.group;
  auto shared = whole ? active.key_exchange->derive(contents.key_exchange->value)
                      : absl::StatusOr<Secret>(absl::InvalidArgumentError("refused"));
  const std::uint64_t peer_spi = whole ? load_u64(contents.offers[0].spi.data()) : 0;
  if (error != nullptr) return rekey_refused(now, std::move(active));
  if (!shared.ok() || peer_spi == 0) return rekey_unusable(now, std::move(active));
  const bool follows = has_additional({&*chosen, 1});
  active.follow_up = std::make_unique<FollowUp>(FollowUp{.proposal = *chosen,
                                                         .nonce_i = active.nonce,
                                                         .nonce_r = {contents.nonce->begin(), contents.nonce->end()},
                                                         .shared = *std::move(shared),
                                                         .ike = {active.ike_spi, peer_spi}});
  if (!follows) return finish(now, std::move(active));
  // The peer's goes on, and ends this IKE SA: unless it breaks off.
  if (!follows_up_after(active)) {
    return parked(&active) != nullptr ? rekey_refused(now, std::move(active))
                                      : retry_later(now, std::move(active.task));
  }
  if (!send_follow_up(now, active, contents)) rekey_refused(now, std::move(active));
}

void Sa::rekey_refused(TimePoint now, Active active) {
  // What the peer has made in its place serves; else we try again, until the end of time.
  if (Sa* const made = parked(&active)) {
    hand_over(now, *made);
    return wait_for_deletion(now);
  }
  if (close_when_settled_) return void(close(now));
  retry_later(now, std::move(active.task));
}

// The peer has keys by now that nobody here has, and ends that do not have the same state start over (RFC 7296 section
// 2.21.3). Only a client can do so without a gap.
void Sa::rekey_unusable(TimePoint now, Active active) {
  if (parked(&active) != nullptr || close_when_settled_) return rekey_refused(now, std::move(active));
  if (host_.reauthenticate(now, *this, {path_, std::nullopt}) != nullptr) return;
  closing_cause_ = Cause::kMisbehaved;
  close(now);
}

void Sa::finish_rekey(TimePoint now, Active active, const FollowUp& settled) {
  Sa& ours = make_successor(now, true, settled.ike, settled.proposal,
                            skeyseed_of_rekey(suite_.prf, keys_.d, settled.shared.span(), settled.nonce_i,
                                              settled.nonce_r, settled.further.span()),
                            settled.nonce_i, settled.nonce_r);
  Sa* const theirs = parked(&active);
  if (theirs == nullptr) {
    hand_over(now, ours);
    return delete_replaced(now);
  }
  ++host_.counters.collisions;
  theirs->parked_beside_ = 0;
  const Bytes lowest = lower_of(settled.nonce_i, settled.nonce_r);
  if (std::ranges::lexicographical_compare(lowest, active.crossing->lowest_nonce)) {
    hand_over(now, *theirs);
    ours.delete_replaced(now);
    return wait_for_deletion(now);
  }
  hand_over(now, ours);
  theirs->wait_for_deletion(now);
  delete_replaced(now);
}

bool Sa::is_busy_with_children() const noexcept {
  return active_ && (active_->task.kind == Task::Kind::kCreateChild || active_->task.kind == Task::Kind::kRekeyChild ||
                     active_->task.kind == Task::Kind::kDeleteChild);
}

void Sa::on_rekey_request(TimePoint now, const Contents& contents) {
  const auto refuse = [&](std::uint16_t type, Bytes data = {}) {
    Buffer inner(64);
    PayloadWriter out(inner);
    write_notify(out, type, data);
    respond_pending(now, out, inner);
  };
  // In the middle of ours the peer's comes late: it has answered ours already.
  const bool late = active_ && active_->task.kind == Task::Kind::kRekeyIke && active_->follow_up;
  // And one of its own is enough.
  if (late || parked() != nullptr || is_busy_with_children()) return refuse(notify::kTemporaryFailure);
  auto choice = choose_offer(connection_->proposals, contents, KeyExchangeRule::kRequired);
  if (!choice || !Suite::of(choice->proposal) || choice->spi.size() != 8 || load_u64(choice->spi.data()) == 0) {
    return refuse(notify::kNoProposalChosen);
  }
  if (choice->wrong_group) {
    std::uint8_t wanted[2];
    store_u16(wanted, choice->group);
    return refuse(notify::kInvalidKePayload, wanted);
  }
  auto exchange =
      answer_key_exchange(static_cast<KeyExchangeMethod>(choice->group), contents.key_exchange->value, host_.random);
  if (!exchange.ok()) return refuse(notify::kInvalidSyntax);
  ByteVector nonce(kNonceSize);
  host_.random.fill(nonce);
  const std::uint64_t spi_i = load_u64(choice->spi.data()), spi_r = host_.new_spi();
  std::uint8_t spi[8];
  store_u64(spi, spi_r);
  Buffer inner(512);
  PayloadWriter out(inner);
  write_sa(out, {&choice->proposal, 1}, spi, choice->number);
  out.add(PayloadType::kNonce, nonce);
  write_key_exchange(out, choice->group, exchange->public_value);
  if (active_ && active_->task.kind == Task::Kind::kRekeyIke) {
    const Bytes lowest = lower_of(*contents.nonce, nonce);
    active_->crossing = std::make_unique<Crossing>(Crossing{{lowest.begin(), lowest.end()}, 0, spi_r});
  }
  FollowUp settled{.proposal = choice->proposal,
                   .nonce_i = {contents.nonce->begin(), contents.nonce->end()},
                   .nonce_r = std::move(nonce),
                   .shared = std::move(exchange->shared),
                   .ike = {spi_i, spi_r}};
  const bool follows = has_additional({&settled.proposal, 1});
  if (follows) await_follow_up(std::move(settled), out);
  respond_pending(now, out, inner);
  if (!follows) finish_rekey_answer(now, settled);
}

void Sa::finish_rekey_answer(TimePoint now, const FollowUp& settled) {
  Sa& successor = make_successor(now, false, settled.ike, settled.proposal,
                                 skeyseed_of_rekey(suite_.prf, keys_.d, settled.shared.span(), settled.nonce_i,
                                                   settled.nonce_r, settled.further.span()),
                                 settled.nonce_i, settled.nonce_r);
  if (active_ && active_->crossing && active_->crossing->ike_spi == settled.ike.r) {
    successor.parked_beside_ = own_spi();
    successor.expire_at_ = expire_at_;
    return;
  }
  hand_over(now, successor);
  wait_for_deletion(now);
}

Sa& Sa::make_successor(TimePoint now, bool initiator, const SpiPair& spis, const Proposal& proposal, Secret seed,
                       Bytes nonce_i, Bytes nonce_r) {
  auto made = std::make_unique<Sa>(host_, initiator, connection_, path_);
  made->state_ = State::kUp;
  made->spis_ = spis;
  made->proposal_ = proposal;
  made->suite_ = *Suite::of(proposal);
  made->fragmentation_ = fragmentation_;
  made->local_nat_ = local_nat_;
  made->remote_nat_ = remote_nat_;
  made->mobike_ = mobike_;
  made->redirects_ = redirects_;
  if (came_) made->came_ = std::make_unique<Redirection>(*came_);
  made->client_ = client_;
  made->remote_ = remote_;
  made->eap_identity_ = eap_identity_;
  made->assigned_ = assigned_;
  made->take_keys(std::move(seed), nonce_i, nonce_r);
  made->keys_.pi = made->keys_.pr = Secret();
  Sa& added = host_.add(std::move(made));
  (void)now;
  return added;
}

void Sa::hand_over(TimePoint now, Sa& successor) {
  successor.parked_beside_ = 0;
  successor.path_ = path_;
  successor.local_nat_ = local_nat_;
  successor.remote_nat_ = remote_nat_;
  successor.mobility_ = std::move(mobility_);
  successor.id = id;
  id = {};
  host_.by_id[successor.id] = &successor;
  for (auto& child : children_) {
    host_.by_child[child->id] = &successor;
    host_.by_child_spi[child->spi_in] = {&successor, child->id};
    successor.children_.push_back(std::move(child));
  }
  children_.clear();
  for (auto& leaving : leaving_) {
    host_.by_child_spi[leaving.second.second] = {&successor, leaving.second.first};
    successor.leaving_.push_back(leaving);
  }
  leaving_.clear();
  // A move whose answer is still to come is made once more by the new one.
  const auto moves = [](const Task& task) {
    return task.kind == Task::Kind::kMove || task.kind == Task::Kind::kCheckWay;
  };
  if (active_ && moves(active_->task)) successor.tasks_.push_back({.kind = active_->task.kind});
  for (Task& task : tasks_) {
    if (task.kind != Task::Kind::kRekeyIke && task.kind != Task::Kind::kProbe)
      successor.tasks_.push_back(std::move(task));
  }
  tasks_.clear();
  successor.set_ike_timers(now);
  // Authentication does not become newer by new keys.
  successor.reauth_at_ = reauth_at_;
  ++host_.counters.ike_rekeys;
  host_.tell(Rekeyed{successor.id});
  successor.closing_cause_ = closing_cause_;
  if (close_when_settled_) successor.close(now);
  successor.pump(now);
  host_.touch(successor);
}

void Sa::delete_replaced(TimePoint now) {
  active_.reset();
  wait_for_deletion(now);
  expire_at_ = kNever;  // the retransmissions end by themselves
  queue({.kind = Task::Kind::kDeleteIke});
  pump(now);
  host_.touch(*this);
}

Sa* Sa::parked(const Active* rekey) const {
  if (rekey == nullptr || !rekey->crossing || rekey->crossing->ike_spi == 0) return nullptr;
  const auto found = host_.sas.find(rekey->crossing->ike_spi);
  const bool waits = found != host_.sas.end() && !found->second->doomed && found->second->parked_beside_ == own_spi();
  return waits ? found->second.get() : nullptr;
}

// The peer goes on with the IKE SA that it made, and so does not wait for the answer to ours.
void Sa::adopt_crossing(TimePoint now) {
  Sa* const made = parked();
  if (made == nullptr) return;
  active_.reset();
  hand_over(now, *made);
}

// An authentic request has come by an IKE SA that was made in a collision: unless it is its deletion, the peer takes it
// for the one that stays.
void Sa::adopt_self(TimePoint now) {
  const auto found = host_.sas.find(parked_beside_);
  parked_beside_ = 0;
  if (found == host_.sas.end() || found->second->doomed) return;
  Sa& old = *found->second;
  old.active_.reset();
  old.hand_over(now, *this);
  old.wait_for_deletion(now);
  host_.touch(old);
}

}  // namespace winze::ike
