// Further key exchanges of a new child SA, or of a new IKE SA that takes the place of this one (RFC 9370
// section 2.2.4): one IKE_FOLLOWUP_KE each, behind CREATE_CHILD_SA. Each answer but the last names by a link what goes
// on.
//
//   SA, Ni, KEi, ...            -->  <--  SA, Nr, KEr, ADDITIONAL_KEY_EXCHANGE(link)    CREATE_CHILD_SA
//   KEi(n), ADDITIONAL...(link) -->  <--  KEr(n), [ADDITIONAL_KEY_EXCHANGE(link)]       IKE_FOLLOWUP_KE
//
// Where both ends rekey the same at once, the nonces of CREATE_CHILD_SA say which of the two goes on.
#include <algorithm>

#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::size_t kLinkSize = 8;

void append(Secret& all, const Secret& next) {
  Secret joined(all.size() + next.size());
  const auto middle = std::ranges::copy(std::as_const(all).span(), joined.span().begin()).out;
  std::ranges::copy(next.span(), middle);
  all = std::move(joined);
}

}  // namespace

// --- Ours

bool Sa::follows_up_after(Active& active) {
  if (!active.crossing) return true;
  ++host_.counters.collisions;
  const FollowUp& settled = *active.follow_up;
  const ByteVector& lowest = std::min(settled.nonce_i, settled.nonce_r);
  if (lowest < active.crossing->lowest_nonce) return false;
  // The peer comes to the same, and leaves its own.
  if (follow_up_) give_up_spi(follow_up_->outcome.spi_in);
  follow_up_.reset();
  if (Sa* const made = parked(&active)) host_.doom(*made);
  active.crossing.reset();
  return true;
}

bool Sa::send_follow_up(TimePoint now, Active& active, const Contents& contents) {
  const NotifyView* const link = contents.find(notify::kAdditionalKeyExchange);
  FollowUp& settled = *active.follow_up;
  auto exchange = KeyExchange::create(static_cast<KeyExchangeMethod>(additional_method(settled.proposal, settled.done)),
                                      host_.random);
  if (link == nullptr || link->data.empty() || !exchange.ok()) return false;
  active.key_exchange = *std::move(exchange);
  active.group = static_cast<std::uint16_t>(active.key_exchange->method());
  Buffer inner(2048);
  PayloadWriter out(inner);
  write_key_exchange(out, active.group, active.key_exchange->public_value());
  write_notify(out, notify::kAdditionalKeyExchange, link->data);
  Task task = std::move(active.task);
  active_ = std::make_unique<Active>(std::move(active));
  send_request(now, std::move(task), Exchange::kFollowUp, out.first(), inner.span());
  return true;
}

void Sa::on_follow_up_response(TimePoint now, Active active, const Contents& contents) {
  const NotifyView* const error = contents.error();
  const bool whole = error == nullptr && contents.key_exchange && contents.key_exchange->method == active.group;
  auto shared = whole ? active.key_exchange->derive(contents.key_exchange->value)
                      : absl::StatusOr<Secret>(absl::InvalidArgumentError("no key exchange"));
  FollowUp& settled = *active.follow_up;
  bool goes_on = shared.ok();
  if (goes_on) {
    append(settled.further, *shared);
    ++settled.done;
    if (additional_method(settled.proposal, settled.done) == id::kNoKeyExchange) return finish(now, std::move(active));
    goes_on = send_follow_up(now, active, contents);
  }
  if (goes_on) return;
  if (active.task.kind == Task::Kind::kRekeyIke) {
    const bool last = additional_method(settled.proposal, settled.done + 1) == id::kNoKeyExchange;
    return error == nullptr && last ? rekey_unusable(now, std::move(active)) : rekey_refused(now, std::move(active));
  }
  Reason why = error != nullptr ? reason(Cause::kRefusedByPeer, "", error->type)
                                : reason(Cause::kMisbehaved, "an IKE_FOLLOWUP_KE response without its key exchange");
  child_refused(now, std::move(active), error, std::move(why));
}

void Sa::finish(TimePoint now, Active active) {
  const std::unique_ptr<FollowUp> settled = std::move(active.follow_up);
  if (active.task.kind == Task::Kind::kRekeyIke) return finish_rekey(now, std::move(active), *settled);
  finish_child(now, std::move(active), *settled);
}

// --- The peer's

void Sa::await_follow_up(FollowUp settled, PayloadWriter& out) {
  settled.link.resize(kLinkSize);
  host_.random.fill(settled.link);
  write_notify(out, notify::kAdditionalKeyExchange, settled.link);
  // One that the peer has left is not waited for.
  if (follow_up_) give_up_spi(follow_up_->outcome.spi_in);
  follow_up_ = std::make_unique<FollowUp>(std::move(settled));
}

void Sa::on_follow_up_request(TimePoint now, const Path& path, const Header& header, const Contents& contents) {
  const std::unique_ptr<FollowUp> settled = std::move(follow_up_);
  const auto refuse = [&](std::uint16_t type) {
    if (settled) give_up_spi(settled->outcome.spi_in);
    respond_notify(now, header, path, type);
  };
  const NotifyView* const link = contents.find(notify::kAdditionalKeyExchange);
  if (!settled || link == nullptr || !std::ranges::equal(link->data, settled->link)) {
    return refuse(notify::kStateNotFound);
  }
  const ChildSa* const old = child_by_in(settled->replaced);
  const bool of_child = settled->config != nullptr;
  if (settled->replaced != 0 && (old == nullptr || old->state != ChildSa::State::kUp)) {
    return refuse(old == nullptr ? notify::kChildSaNotFound : notify::kTemporaryFailure);
  }
  if (!of_child && is_busy_with_children()) return refuse(notify::kTemporaryFailure);
  const std::uint16_t method = additional_method(settled->proposal, settled->done);
  if (!contents.key_exchange || contents.key_exchange->method != method) return refuse(notify::kInvalidSyntax);
  const auto answer =
      answer_key_exchange(static_cast<KeyExchangeMethod>(method), contents.key_exchange->value, host_.random);
  if (!answer.ok()) return refuse(notify::kInvalidSyntax);
  append(settled->further, answer->shared);
  ++settled->done;
  Buffer inner(2048);
  PayloadWriter out(inner);
  write_key_exchange(out, method, answer->public_value);
  const bool last = additional_method(settled->proposal, settled->done) == id::kNoKeyExchange;
  if (!last) await_follow_up(std::move(*settled), out);
  respond(now, header, path, out.first(), inner.span());
  if (!last) return;
  if (of_child) return finish_child_answer(now, *settled);
  finish_rekey_answer(now, *settled);
}

}  // namespace winze::ike
