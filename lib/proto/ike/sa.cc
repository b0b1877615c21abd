#include "sa.h"

#include <algorithm>

namespace winze::ike {
namespace {

// An IKE SA that ended answers repeated requests for so long: the last retransmission of a usual peer falls within.
constexpr Duration kLinger{std::chrono::seconds(30)};
// A peer that rekeyed the IKE SA is given so long to delete the old one.
constexpr Duration kRekeyedLinger{std::chrono::seconds(60)};
// After TEMPORARY_FAILURE (RFC 7296 section 2.25: not at once). Who is refused more often waits longer.
constexpr Duration kRetryPause{std::chrono::seconds(1)};
constexpr unsigned kShortPauses = 5, kMostDoublings = 5;

// The kind of answer that stands beside each question (event.h).
bool fits(Asked asked, const Answer& answer) {
  switch (asked) {
    case Asked::kConnection:
      return std::holds_alternative<ConnectionPtr>(answer);
    case Asked::kPsk:
      return std::holds_alternative<Secret>(answer);
    case Asked::kAuthorize:
      return std::holds_alternative<Allow>(answer) || std::holds_alternative<Gateway>(answer);
    case Asked::kAddresses:
      return std::holds_alternative<Configuration>(answer);
    case Asked::kNarrow:
      return std::holds_alternative<ip::SelectorPair>(answer);
    case Asked::kNothing:
      break;
  }
  return false;
}

TimePoint after(TimePoint now, Duration time) { return time <= Duration::zero() ? kNever : now + time; }

}  // namespace

Sa::Sa(Host& host, bool initiator, ConnectionPtr connection, const Path& path)
    : host_(host), initiator_(initiator), client_(initiator), connection_(std::move(connection)), path_(path) {}

Sa::~Sa() {
  host_.deadlines.remove(*this);
  for (const auto& child : children_) host_.by_child_spi.erase(child->spi_in);
  for (const auto& [at, inbound] : leaving_) host_.by_child_spi.erase(inbound.second);
  if (active_ && active_->child_spi != 0) host_.by_child_spi.erase(active_->child_spi);
  if (follow_up_) give_up_spi(follow_up_->outcome.spi_in);
  if (pending_) host_.forget(pending_->question);
  if (handshake_) host_.forget(handshake_->question);
}

Reason Sa::reason(Cause cause, std::string text, std::uint16_t notify) const {
  const Stage stage = state_ == State::kInit ? Stage::kInit : state_ == State::kAuth ? Stage::kAuth : Stage::kUp;
  return {stage, cause, notify, std::move(text), {}, {}};
}

Duration Sa::jitter(Duration most) {
  return Duration(static_cast<Duration::rep>(host_.random.below(static_cast<std::uint64_t>(most.count()) + 1)));
}

SaInfo Sa::info() const {
  SaInfo info;
  info.established = state_ == State::kUp;
  info.initiator = initiator_;
  info.spi_i = spis_.i;
  info.spi_r = spis_.r;
  info.path = path_;
  if (connection_) info.local = own_round().id;
  if (mobility_) info.peer_addresses = mobility_->peer_addresses;
  info.remote = remote_;
  info.proposal = proposal_;
  for (const auto& child : children_) {
    if (std::ranges::find(info.children, child->id) == info.children.end()) info.children.push_back(child->id);
  }
  return info;
}

// --- Tasks

// A pair that was replaced goes before other keys are made: strongSwan 6 loses a child that it rekeys while the pair
// before waits for its deletion, and we for the answer to another rekey.
void Sa::queue(Task task) {
  const auto makes_keys = [](const Task& other) {
    return other.kind == Task::Kind::kCreateChild || other.kind == Task::Kind::kRekeyChild ||
           other.kind == Task::Kind::kRekeyIke;
  };
  const bool deletes = task.kind == Task::Kind::kDeleteChild;
  tasks_.insert(deletes ? std::ranges::find_if(tasks_, makes_keys) : tasks_.end(), std::move(task));
}

// An IKE SA that was replaced, or ends, says nothing any more but that.
bool Sa::may_start(const Task& task) const noexcept {
  if (task.kind == Task::Kind::kDeleteIke) return true;
  if (state_ != State::kUp) return false;
  // Our rekey has given way to the peer's, whose further key exchanges are still to come. Until they have, or until
  // ours is tried again, nothing else is asked: strongSwan takes it for a failure of our rekey, and ends the IKE SA.
  const bool gives_way =
      follow_up_ && follow_up_->config == nullptr && std::ranges::any_of(tasks_, [](const Task& other) {
        return other.kind == Task::Kind::kRekeyIke && other.attempts != 0;
      });
  return !gives_way || task.kind == Task::Kind::kRekeyIke;
}

void Sa::pump(TimePoint now) {
  while (!active_ && !doomed) {
    const auto next =
        std::ranges::find_if(tasks_, [&](const Task& task) { return task.not_before <= now && may_start(task); });
    if (next == tasks_.end()) return;
    Task task = std::move(*next);
    tasks_.erase(next);
    start(now, std::move(task));
  }
}

void Sa::start(TimePoint now, Task task) {
  switch (task.kind) {
    case Task::Kind::kInit:
    case Task::Kind::kIntermediate:
    case Task::Kind::kAuth:
      return;  // are begun where they belong
    case Task::Kind::kCreateChild:
    case Task::Kind::kRekeyChild:
      return send_create_child(now, std::move(task));
    case Task::Kind::kRekeyIke:
      return send_rekey(now, std::move(task));
    case Task::Kind::kDeleteIke:
      if (state_ == State::kUp) return void(close(now));  // it was put off
      return send_informational(now, std::move(task));
    case Task::Kind::kDeleteChild:
    case Task::Kind::kProbe:
    case Task::Kind::kMove:
    case Task::Kind::kCheckWay:
    case Task::Kind::kTellAddresses:
    case Task::Kind::kRedirect:
      return send_informational(now, std::move(task));
  }
}

void Sa::retry_later(TimePoint now, Task task) {
  ++task.attempts;
  const unsigned doublings = std::clamp(task.attempts, kShortPauses, kShortPauses + kMostDoublings) - kShortPauses;
  const Duration pause = kRetryPause * (1u << doublings);
  task.not_before = now + pause + jitter(pause);
  queue(std::move(task));
}

bool Sa::put_off(TimePoint now, const ChildSa& pair, const Task& task) {
  // It is known to have it when it deletes the old pair; at the latest the end of that one's life sees to it.
  if (!pair.waiting_outbound) return false;
  Task later = task;
  later.not_before = now + kRetryPause + jitter(kRetryPause);
  queue(std::move(later));
  return true;
}

// --- Commands

bool Sa::add_child(TimePoint now, ChildConfigPtr config) {
  if (state_ != State::kUp) return false;
  queue({.kind = Task::Kind::kCreateChild, .config = std::move(config)});
  pump(now);
  return true;
}

bool Sa::rekey_child(TimePoint now, ChildId child) {
  ChildSa* const sa = child_by_id(child);
  if (state_ != State::kUp || sa == nullptr || sa->state != ChildSa::State::kUp) return false;
  const auto same = [&](const Task& task) { return task.kind == Task::Kind::kRekeyChild && task.spi == sa->spi_in; };
  if (std::ranges::any_of(tasks_, same) || (active_ && same(active_->task))) return true;
  sa->rekey_at = kNever;
  queue({.kind = Task::Kind::kRekeyChild, .spi = sa->spi_in, .child = child, .config = sa->config});
  pump(now);
  return true;
}

bool Sa::delete_child(TimePoint now, ChildId child, Cause cause) {
  if (state_ != State::kUp || child_by_id(child) == nullptr) return false;
  for (const auto& sa : children_) {
    if (sa->id != child || sa->state == ChildSa::State::kDeleting) continue;
    std::erase_if(tasks_, [&](const Task& task) { return task.spi == sa->spi_in; });
    sa->state = ChildSa::State::kDeleting;
    queue({.kind = Task::Kind::kDeleteChild, .spi = sa->spi_in, .cause = cause});
  }
  if (active_ && active_->task.child == child) active_->task.unwanted = true;
  pump(now);
  return true;
}

bool Sa::rekey(TimePoint now) {
  if (state_ != State::kUp) return false;
  const auto same = [](const Task& task) { return task.kind == Task::Kind::kRekeyIke; };
  if (std::ranges::any_of(tasks_, same) || (active_ && same(active_->task))) return true;
  rekey_at_ = kNever;
  queue({.kind = Task::Kind::kRekeyIke});
  pump(now);
  return true;
}

bool Sa::close(TimePoint now) {
  if (state_ == State::kClosing) return true;
  if (state_ == State::kInit || state_ == State::kAuth) {
    end(now, reason(Cause::kClosedByHost, ""), false);
    return true;
  }
  if (state_ != State::kUp) return false;
  if (active_ && active_->task.kind == Task::Kind::kRekeyIke) {
    // Which IKE SA there is to close shows when the rekey is settled.
    close_when_settled_ = true;
    return true;
  }
  // What is on its way gets no answer that matters any more.
  tasks_.clear();
  if (active_) give_up_spi(active_->child_spi);
  active_.reset();
  state_ = State::kClosing;
  rekey_at_ = reauth_at_ = probe_at_ = kNever;
  queue({.kind = Task::Kind::kDeleteIke});
  pump(now);
  return true;
}

void Sa::heard(TimePoint now) {
  if (state_ != State::kUp) return;
  probe_at_ = after(now, connection_->dpd_delay);
  if (mobility_) mobility_->tried.clear();
}

bool Sa::answer(TimePoint now, QuestionId question, Answer& answer) {
  if (const Secret* const secret = std::get_if<Secret>(&answer); secret != nullptr && secret->empty()) {
    answer = Refuse{"no secret"};
  }
  if (handshake_ && handshake_->question == question) {
    handshake_->question = {};
    if (Secret* const secret = std::get_if<Secret>(&answer)) {
      handshake_->psk = std::move(*secret);
      send_auth(now);
      return true;
    }
    const Refuse* const refuse = std::get_if<Refuse>(&answer);
    end(now, reason(Cause::kRefusedByHost, refuse != nullptr ? refuse->why : "a wrong kind of answer"), false);
    return refuse != nullptr;
  }
  if (!pending_ || pending_->question != question) return false;
  pending_->question = {};
  if (const Refuse* const refuse = std::get_if<Refuse>(&answer)) {
    refused(now, refuse->why);
    return true;
  }
  if (!fits(pending_->asked, answer)) return refused(now, "a wrong kind of answer"), false;
  if (Secret* const secret = std::get_if<Secret>(&answer)) {
    pending_->psk = std::move(*secret);
  } else if (std::holds_alternative<Allow>(answer)) {
    pending_->allowed = true;
  } else if (Gateway* const gateway = std::get_if<Gateway>(&answer)) {
    pending_->elsewhere = std::move(*gateway);
    pending_->allowed = true;
  } else if (Configuration* const configuration = std::get_if<Configuration>(&answer)) {
    pending_->configuration = std::move(*configuration);
  } else if (ip::SelectorPair* const selectors = std::get_if<ip::SelectorPair>(&answer)) {
    pending_->narrowed = std::move(*selectors);
  } else if (ConnectionPtr* const connection = std::get_if<ConnectionPtr>(&answer)) {
    if (*connection == nullptr) return refused(now, "no connection"), true;
    connection_ = std::move(*connection);
    pending_->chosen = true;
  }
  continue_pending(now);
  return true;
}

// --- The host's delays

void Sa::expect_host(TimePoint now) { host_due_ = after(now, host_.options.host_timeout); }

QuestionId Sa::ask(TimePoint now) {
  expect_host(now);
  return host_.ask(*this);
}

bool Sa::waits_for_host() const noexcept {
  if (pending_ && pending_->question != QuestionId{}) return true;
  return handshake_ && (handshake_->question != QuestionId{} || handshake_->signing || handshake_->step);
}

void Sa::give_up_host(TimePoint now) {
  if (pending_ && pending_->header.exchange == Exchange::kCreateChild) {
    host_.forget(pending_->question);
    pending_->question = {};
    pending_->given_up = true;
    return continue_pending(now);
  }
  const bool asked = pending_ ? pending_->question != QuestionId{} : handshake_->question != QuestionId{};
  Reason why = reason(Cause::kHostTimedOut, asked                 ? "a question has no answer"
                                            : handshake_->signing ? "the key does not sign"
                                                                  : "EAP does not go on");
  if (!pending_) return end(now, std::move(why), false);
  fail_auth(now, std::move(why), notify::kAuthenticationFailed);
}

// --- Time

void Sa::set_ike_timers(TimePoint now) {
  const Connection& c = *connection_;
  const auto soft = [&](Duration time) {
    return time <= Duration::zero() ? kNever : now + time - jitter(std::min(c.rand_time, time / 2));
  };
  rekey_at_ = soft(c.rekey_time);
  // A gateway waits for the client, and then ends the IKE SA in order before it expires.
  const Duration reauth = client_ || c.reauth_time <= Duration::zero() ? c.reauth_time : c.reauth_time + c.over_time;
  reauth_at_ = client_ ? soft(reauth) : after(now, reauth);
  const Duration longest = std::max(c.rekey_time, reauth);
  expire_at_ = longest <= Duration::zero() ? kNever : now + longest + c.over_time;
  probe_at_ = after(now, c.dpd_delay);
  set_keepalive(now);
}

TimePoint Sa::next_due() const {
  TimePoint next = std::min({rekey_at_, reauth_at_, expire_at_, keepalive_at_});
  if (waits_for_host()) next = std::min(next, host_due_);
  if (active_) {
    next = std::min(next, active_->resend_at);
  } else {
    next = std::min(next, probe_at_);
    for (const Task& task : tasks_) {
      if (may_start(task)) next = std::min(next, task.not_before);
    }
  }
  for (const auto& child : children_) next = std::min({next, child->rekey_at, child->expire_at, child->idle_at});
  for (const auto& [at, inbound] : leaving_) next = std::min(next, at);
  return next;
}

void Sa::on_time(TimePoint now) {
  if (waits_for_host() && (now >= host_due_ || (half_open() && now >= expire_at_))) return give_up_host(now);
  if (now >= expire_at_) {
    expire_at_ = kNever;
    if (state_ == State::kGone || state_ == State::kRekeyed) return host_.doom(*this);
    return end(now, reason(Cause::kExpired, ""), false);
  }
  if (active_ && now >= active_->resend_at) {
    resend(now);
    if (doomed) return;
  }
  if (now >= keepalive_at_) {
    Buffer keepalive(8, 4);
    *keepalive.append(1) = 0xff;
    host_.transmits.push_back({path_, std::move(keepalive)});
    keepalive_at_ = after(now, connection_->keepalive);
  }
  std::erase_if(leaving_, [&](const auto& entry) {
    if (now < entry.first) return false;
    host_.tell(ChildInboundGone{entry.second.first, entry.second.second});
    host_.by_child_spi.erase(entry.second.second);
    return true;
  });
  on_child_time(now);
  if (state_ == State::kUp) {
    if (now >= rekey_at_) rekey(now);
    if (now >= reauth_at_) {
      reauth_at_ = kNever;
      if (client_) {
        host_.reauthenticate(now, *this, {path_, std::nullopt});
      } else {
        closing_cause_ = Cause::kExpired;  // the client was told in time
        close(now);
      }
    }
    if (!active_ && now >= probe_at_) probe(now);
  }
  pump(now);
}

void Sa::probe(TimePoint now) {
  if (host_.options.last_heard) {
    const TimePoint next = after(host_.options.last_heard(id), connection_->dpd_delay);
    if (next > now) {
      probe_at_ = next;
      return;
    }
  }
  probe_at_ = kNever;
  queue({.kind = Task::Kind::kProbe});
}

void Sa::on_child_time(TimePoint now) {
  if (state_ != State::kUp && state_ != State::kClosing) return;
  std::vector<ChildId> rekeys, idle;
  std::vector<std::uint32_t> expired;
  for (const auto& child : children_) {
    if (now >= child->expire_at) {
      expired.push_back(child->spi_in);
    } else if (now >= child->idle_at && is_idle(now, *child)) {
      idle.push_back(child->id);
    } else if (now >= child->rekey_at) {
      child->rekey_at = kNever;
      rekeys.push_back(child->id);
    }
  }
  for (const ChildId child : rekeys) rekey_child(now, child);
  for (const ChildId child : idle) delete_child(now, child, Cause::kInactive);
  for (const std::uint32_t spi : expired) {
    ChildSa* const child = child_by_in(spi);
    if (child == nullptr) continue;
    child->expire_at = kNever;
    // The peer has its own clock: it is told, so that both ends forget the pair.
    if (child->state != ChildSa::State::kDeleting && state_ == State::kUp) {
      child->state = ChildSa::State::kDeleting;
      queue({.kind = Task::Kind::kDeleteChild, .spi = spi, .cause = Cause::kExpired});
    }
  }
}

bool Sa::is_idle(TimePoint now, ChildSa& child) {
  const TimePoint end = host_.options.last_traffic(child.id) + child.config->inactivity;
  const bool in_use = child.state == ChildSa::State::kUp;
  child.idle_at = in_use && end > now ? end : kNever;
  return in_use && end <= now;
}

// --- The end

void Sa::end(TimePoint now, Reason why, bool linger) {
  host_.leave_half_open(*this);
  while (!children_.empty()) remove_child(now, *children_.back(), why);
  for (const auto& [at, inbound] : leaving_) host_.by_child_spi.erase(inbound.second);
  leaving_.clear();
  if (id != SaId{}) {
    if (state_ != State::kUp && state_ != State::kClosing) ++host_.counters.failed;
    host_.tell(Closed{id, connection_, path_, remote_, std::move(why)});
    host_.by_id.erase(id);
    id = {};
  }
  // What was to take its place in a collision, and has not, goes with it; one that goes itself takes nobody's place.
  if (Sa* const beside = parked()) host_.doom(*beside);
  parked_beside_ = 0;
  if (active_ && active_->child_spi != 0) host_.by_child_spi.erase(active_->child_spi);
  active_.reset();
  if (follow_up_) give_up_spi(follow_up_->outcome.spi_in);
  follow_up_.reset();
  tasks_.clear();
  if (pending_) host_.forget(pending_->question);
  pending_.reset();
  if (handshake_) {
    host_.forget(handshake_->question);
    if (handshake_->child_spi != 0) host_.by_child_spi.erase(handshake_->child_spi);
  }
  handshake_.reset();
  rekey_at_ = reauth_at_ = probe_at_ = keepalive_at_ = kNever;
  state_ = State::kGone;
  if (linger) {
    expire_at_ = now + kLinger;
  } else {
    host_.doom(*this);
  }
}

void Sa::wait_for_deletion(TimePoint now) {
  state_ = State::kRekeyed;
  rekey_at_ = reauth_at_ = probe_at_ = keepalive_at_ = kNever;
  expire_at_ = now + kRekeyedLinger;
  host_.touch(*this);
}

}  // namespace winze::ike
