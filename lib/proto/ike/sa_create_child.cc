// CREATE_CHILD_SA for child SAs, and rekeys of both ends at once (RFC 7296 sections 1.3, 2.8, 2.25.1).
#include <algorithm>

#include "choice.h"
#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::size_t kNonceSize = 32;
constexpr unsigned kMostAttempts = 10;  // for a new child; a rekey is tried for as long as the pair lives
constexpr unsigned kMostRepeats = 3;    // an offer without a group, of one pair of addresses, with another group

Bytes lower_of(Bytes a, Bytes b) { return std::ranges::lexicographical_compare(a, b) ? a : b; }

}  // namespace

// --- CREATE_CHILD_SA, ours

void Sa::send_create_child(TimePoint now, Task task) {
  const ChildConfig& config = *task.config;
  ChildSa* const old = task.kind == Task::Kind::kRekeyChild ? child_by_in(task.spi) : nullptr;
  if (task.kind == Task::Kind::kRekeyChild && (old == nullptr || old->state != ChildSa::State::kUp)) return;
  if (old != nullptr && put_off(now, *old, task)) return;
  auto active = std::make_unique<Active>();
  active->group = task.group != 0 ? task.group : first_group(config);
  if (active->group == 0 && old != nullptr) active->group = old->group;
  if (active->group != 0) {
    auto exchange = KeyExchange::create(static_cast<KeyExchangeMethod>(active->group), host_.random);
    if (exchange.ok()) active->key_exchange = *std::move(exchange);
  }
  active->nonce.resize(kNonceSize);
  host_.random.fill(active->nonce);
  active->child_spi = host_.new_child_spi();
  Buffer inner(512);
  PayloadWriter out(inner);
  if (old != nullptr) {
    std::uint8_t spi[4];
    store_u32(spi, old->spi_in);
    write_notify(out, notify::kRekeySa, {}, Protocol::kEsp, spi);
  }
  write_child_offer(out, config, active->child_spi, task.single_pair, active->nonce, active->key_exchange.get());
  active_ = std::move(active);
  send_request(now, std::move(task), Exchange::kCreateChild, out.first(), inner.span());
}

// The group that the peer may take the same offer with; 0: none. One that wants PFS refuses an offer without.
std::uint16_t Sa::group_wanted(const Active& active, const NotifyView& error) const {
  const bool without = active.group == 0;
  if (error.type == notify::kNoProposalChosen) {
    const Transform* const own = proposal_.find(TransformType::kKeyExchange);
    return without && own != nullptr ? own->id : id::kNoKeyExchange;
  }
  if (error.type != notify::kInvalidKePayload || error.data.size() != 2) return 0;
  const Transform wanted{TransformType::kKeyExchange, load_u16(error.data.data()), 0};
  const auto has_it = [&](const Proposal& proposal) { return proposal.has(wanted); };
  const bool takes = std::ranges::any_of(active.task.config->proposals, has_it) ||
                     (without && std::ranges::any_of(connection_->proposals, has_it));
  return takes ? wanted.id : 0;
}

bool Sa::repeat_as_wanted(TimePoint now, Active& active, const NotifyView& error) {
  Task& task = active.task;
  const bool single_pair = error.type == notify::kSinglePairRequired && !task.single_pair;
  const std::uint16_t group = group_wanted(active, error);
  if (!single_pair && (group == 0 || group == active.group)) return false;
  if (++task.repeats > kMostRepeats) return false;
  if (single_pair) {
    task.single_pair = true;
  } else {
    task.group = group;
  }
  send_create_child(now, std::move(task));
  return true;
}

void Sa::on_create_child_response(TimePoint now, Active active, const Contents& contents) {
  ChildOutcome outcome{.spi_in = active.child_spi, .initiator = true};
  const ChildConfigPtr config = active.task.config;
  const std::uint16_t group = active.key_exchange != nullptr ? active.group : id::kNoKeyExchange;
  const NotifyView* const error = contents.error();
  if (error != nullptr) give_up_spi(active.child_spi);
  // Where the peer has rekeyed it meanwhile, that settles it.
  if (error != nullptr && !active.crossing && repeat_as_wanted(now, active, *error)) return;
  std::optional<Reason> refused = judge_child_answer(contents, *config, group, outcome);
  if (refused) return child_refused(now, std::move(active), error, *std::move(refused));
  Secret shared;
  const bool answered = outcome.proposal.find(TransformType::kKeyExchange) != nullptr;
  if (answered) {
    auto derived = contents.key_exchange && contents.key_exchange->method == active.group
                       ? active.key_exchange->derive(contents.key_exchange->value)
                       : absl::InvalidArgumentError("a key exchange of another group");
    if (!derived.ok()) {
      return child_refused(now, std::move(active), nullptr,
                           reason(Cause::kMisbehaved, std::string(derived.status().message())));
    }
    shared = *std::move(derived);
  }
  if (!contents.nonce) {
    return child_refused(now, std::move(active), nullptr, reason(Cause::kMisbehaved, "no nonce"));
  }
  const bool follows = has_additional({&outcome.proposal, 1});
  active.follow_up = std::make_unique<FollowUp>(FollowUp{.proposal = outcome.proposal,
                                                         .nonce_i = active.nonce,
                                                         .nonce_r = {contents.nonce->begin(), contents.nonce->end()},
                                                         .shared = std::move(shared),
                                                         .config = config,
                                                         .outcome = std::move(outcome)});
  if (!follows) return finish(now, std::move(active));
  if (!follows_up_after(active)) {
    // The peer's goes on; ours is tried again if that breaks off.
    give_up_spi(active.child_spi);
    return retry_later(now, std::move(active.task));
  }
  if (answered && send_follow_up(now, active, contents)) return;
  child_refused(now, std::move(active), nullptr, reason(Cause::kMisbehaved, "nothing to go on with"));
}

void Sa::finish_child(TimePoint now, Active active, const FollowUp& settled) {
  const auto make = [&](ChildId child) {
    return install(now, child, settled.config, settled.outcome, settled.shared.span(), settled.nonce_i, settled.nonce_r,
                   settled.further.span());
  };
  if (active.task.kind == Task::Kind::kCreateChild) return void(make({}));
  ++host_.counters.child_rekeys;
  const ChildId child = active.task.child;
  if (host_.by_child.find(child) == host_.by_child.end()) {
    // The child was deleted meanwhile: what was made for it goes too.
    if (ChildSa* const ours = make({})) queue({.kind = Task::Kind::kDeleteChild, .spi = ours->spi_in});
    return;
  }
  ChildSa* const ours = make(child);
  if (ours == nullptr) return;
  settle_child_rekey(now, active, *ours, settled.nonce_r);
  if (active.task.unwanted) delete_child(now, child);
}

// RFC 7296 section 2.8.1: of two new pairs, the one made with the lowest of the four nonces goes, by its maker; the
// maker of the other deletes the old one.
void Sa::settle_child_rekey(TimePoint now, const Active& active, ChildSa& ours, Bytes peer_nonce) {
  ChildSa* const old = child_by_in(active.task.spi);
  ChildSa* const theirs = active.crossing ? child_by_in(active.crossing->child_spi) : nullptr;
  const auto retire = [&](ChildSa& pair) {
    pair.state = ChildSa::State::kRekeyed;
    pair.rekey_at = kNever;
    queue({.kind = Task::Kind::kDeleteChild, .spi = pair.spi_in});
  };
  if (active.crossing) {
    ++host_.counters.collisions;
    const Bytes lowest = lower_of(active.nonce, peer_nonce);
    if (std::ranges::lexicographical_compare(lowest, active.crossing->lowest_nonce)) {
      // Also where theirs has been rekeyed again, and is not here any more.
      ours.waiting_outbound.reset();
      if (old != nullptr) {
        old->state = ChildSa::State::kRekeyed;
        old->rekey_at = kNever;
      }
      return retire(ours);
    }
    // The peer deletes its own; nothing was ever sent by it.
    if (theirs != nullptr) {
      theirs->waiting_outbound.reset();
      theirs->state = ChildSa::State::kRekeyed;
      theirs->rekey_at = kNever;
    }
  }
  send_by(ours);
  if (old != nullptr && old->state == ChildSa::State::kUp) retire(*old);
  (void)now;
}

void Sa::child_refused(TimePoint now, Active active, const NotifyView* error, Reason why) {
  give_up_spi(active.child_spi);
  const std::uint16_t type = error != nullptr ? error->type : std::uint16_t{0};
  // The peer takes it for made.
  if (error == nullptr) queue({.kind = Task::Kind::kDeleteChild, .spi = active.child_spi, .unmade = true});
  if (active.task.kind == Task::Kind::kCreateChild) {
    if ((type == notify::kTemporaryFailure || type == notify::kStateNotFound) && active.task.attempts < kMostAttempts)
      return retry_later(now, std::move(active.task));
    host_.tell(ChildRefused{id, active.task.config, std::move(why)});
    return;
  }
  ChildSa* const old = child_by_in(active.task.spi);
  if (old == nullptr || old->state != ChildSa::State::kUp) return;
  if (active.crossing && child_by_in(active.crossing->child_spi) != nullptr) {
    // What the peer made in its place serves, and it deletes the old one.
    old->state = ChildSa::State::kRekeyed;
    old->rekey_at = kNever;
    return;
  }
  // RFC 7296 section 1.3: a peer that has no more than one, and makes no other, is left for a new IKE SA.
  if (type == notify::kNoAdditionalSas && host_.reauthenticate(now, *this, {path_, std::nullopt}) != nullptr) return;
  if (type == notify::kChildSaNotFound) {
    // RFC 7296 section 2.25.1: the peer has it no more. It is made anew by whom it was made.
    const ChildConfigPtr config = old->config;
    const bool again = old->initiator && old->spi_in == active.task.spi;
    remove_child(now, *old, why);
    if (again) queue({.kind = Task::Kind::kCreateChild, .config = config});
    return;
  }
  retry_later(now, std::move(active.task));
}

// --- CREATE_CHILD_SA, the peer's

void Sa::on_create_child_request(TimePoint now, const Contents& contents) {
  const auto refuse = [&](std::uint16_t type, Protocol protocol = Protocol::kNone, Bytes spi = {}) {
    Buffer inner(64);
    PayloadWriter out(inner);
    write_notify(out, type, {}, protocol, spi);
    respond_pending(now, out, inner);
  };
  // The host has taken its time.
  if (state_ != State::kUp) return refuse(notify::kTemporaryFailure);
  if (!contents.nonce || contents.offers.empty()) return refuse(notify::kInvalidSyntax);
  if (contents.offers[0].proposal.protocol == Protocol::kIke) return on_rekey_request(now, contents);
  // Section 2.25.2.
  if (active_ && active_->task.kind == Task::Kind::kRekeyIke) return refuse(notify::kTemporaryFailure);
  const NotifyView* const rekey = contents.find(notify::kRekeySa);
  ChildSa* old = nullptr;
  if (rekey != nullptr) {
    old = rekey->protocol == Protocol::kEsp && rekey->spi.size() == 4 ? child_by_out(load_u32(rekey->spi.data()))
                                                                      : nullptr;
    if (old == nullptr) return refuse(notify::kChildSaNotFound, rekey->protocol, rekey->spi);
    if (old->state != ChildSa::State::kUp) return refuse(notify::kTemporaryFailure);
    // The peer has answered ours already, and its own comes late.
    const bool crosses = active_ && active_->task.kind == Task::Kind::kRekeyChild && active_->task.spi == old->spi_in;
    const bool late = crosses && active_->follow_up;
    // And one pair of its own is enough.
    const bool again = crosses && active_->crossing && child_by_in(active_->crossing->child_spi) != nullptr;
    // Of pairs that were replaced, and that the peer does not delete, not many are kept either.
    const bool many = children_.size() >= 2 * host_.options.child_limit;
    if (late || again || many) return refuse(notify::kTemporaryFailure);
  } else if (children_.size() >= host_.options.child_limit) {
    return refuse(notify::kNoAdditionalSas);
  }
  answer_child_request(now, contents, old);
}

void Sa::answer_child_request(TimePoint now, const Contents& contents, ChildSa* old) {
  ChildAnswer child =
      negotiate_child(now, contents, KeyExchangeRule::kOptional, old != nullptr ? old->config : nullptr);
  if (child.waits) return;
  KeyExchangeAnswer exchange;
  if (child.error == 0 && child.group != 0) {
    auto made =
        answer_key_exchange(static_cast<KeyExchangeMethod>(child.group), contents.key_exchange->value, host_.random);
    if (made.ok()) {
      exchange = *std::move(made);
    } else {
      child.error = notify::kInvalidSyntax;
      give_up_spi(child.outcome.spi_in);
    }
  }
  Buffer inner(512);
  PayloadWriter out(inner);
  if (child.error != 0) {
    write_notify(out, child.error, child.error_data);
    if (child.error != notify::kInvalidKePayload) {
      host_.tell(ChildRefused{id, child.config, refusal_of(child, contents)});
    }
    return respond_pending(now, out, inner);
  }
  ByteVector nonce(kNonceSize);
  host_.random.fill(nonce);
  write_child_answer(out, child, nonce, exchange.public_value);
  if (old != nullptr && active_ && active_->task.kind == Task::Kind::kRekeyChild && active_->task.spi == old->spi_in) {
    const Bytes lowest = lower_of(*contents.nonce, nonce);
    active_->crossing = std::make_unique<Crossing>(Crossing{{lowest.begin(), lowest.end()}, child.outcome.spi_in, 0});
  }
  FollowUp settled{.proposal = child.outcome.proposal,
                   .nonce_i = {contents.nonce->begin(), contents.nonce->end()},
                   .nonce_r = std::move(nonce),
                   .shared = std::move(exchange.shared),
                   .config = child.config,
                   .outcome = std::move(child.outcome),
                   .child = old != nullptr ? old->id : ChildId{},
                   .replaced = old != nullptr ? old->spi_in : 0};
  const bool follows = has_additional({&settled.proposal, 1});
  if (follows) await_follow_up(std::move(settled), out);
  respond_pending(now, out, inner);
  if (!follows) finish_child_answer(now, settled);
}

void Sa::finish_child_answer(TimePoint now, const FollowUp& settled) {
  ChildSa* const made = install(now, settled.child, settled.config, settled.outcome, settled.shared.span(),
                                settled.nonce_i, settled.nonce_r, settled.further.span());
  ChildSa* const old = child_by_in(settled.replaced);
  if (settled.replaced == 0 || made == nullptr || old == nullptr) return;
  ++host_.counters.child_rekeys;
  if (active_ && active_->crossing && active_->crossing->child_spi == made->spi_in) return;
  // The peer deletes it; until then it is sent by.
  old->state = ChildSa::State::kRekeyed;
  old->rekey_at = kNever;
  std::erase_if(tasks_, [&](const Task& task) { return task.spi == old->spi_in; });
}

}  // namespace winze::ike
