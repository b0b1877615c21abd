// Moves of an IKE SA and its children to another path (RFC 4555).
#include <algorithm>

#include "nat.h"
#include "sa.h"

namespace winze::ike {
namespace {

constexpr std::size_t kCookieSize = 16;
constexpr std::size_t kMostAddresses = 16;  // of one end

bool answers(const Task& task, const Contents& contents) {
  const NotifyView* const cookie = contents.find(notify::kCookie2);
  return cookie != nullptr && std::ranges::equal(cookie->data, task.cookie);
}

void add_address(std::vector<IpAddress>& list, const IpAddress& address) {
  if (std::ranges::find(list, address) == list.end() && list.size() < kMostAddresses) list.push_back(address);
}

}  // namespace

Mobility& Sa::mobility() {
  if (!mobility_) mobility_ = std::make_unique<Mobility>();
  return *mobility_;
}

Way Sa::way_of_children() const {
  return mobility_ && mobility_->settled ? *mobility_->settled : Way{path_, local_nat_, remote_nat_};
}

bool Sa::waits(Task::Kind kind) const noexcept { return std::ranges::find(tasks_, kind, &Task::kind) != tasks_.end(); }

void Sa::go_by(TimePoint now, const Path& path) {
  if (!mobility().settled) mobility_->settled = Way{path_, local_nat_, remote_nat_};
  path_ = path;
  if (!active_) return;
  send_packets(path_, active_->packets);
  active_->tries = 0;
  active_->resend_at = now + retransmission_pause(0);
}

void Sa::settle(TimePoint now) {
  mobility().settled.reset();
  set_keepalive(now);
  tell_migrated();
}

void Sa::tell_migrated() {
  Migrated event{id, path_, {}};
  for (const auto& child : children_) {
    const auto same = [&](const Migrated::Child& known) { return known.child == child->id; };
    if (std::ranges::any_of(event.children, same)) continue;
    event.children.push_back({child->id, encapsulation(*child)});
  }
  host_.tell(std::move(event));
}

void Sa::set_keepalive(TimePoint now) {
  const bool wanted = local_nat_ && path_.marker && !path_.stream && connection_->keepalive > Duration::zero();
  keepalive_at_ = wanted ? now + connection_->keepalive : kNever;
}

// --- Ours

bool Sa::move(TimePoint now, const Route& route) {
  if (state_ != State::kUp) return false;
  if (!mobike_ || !client_) return host_.reauthenticate(now, *this, route) != nullptr;
  go_by(now, route.first);
  std::erase_if(tasks_, [](const Task& task) { return task.kind == Task::Kind::kMove; });
  tasks_.insert(tasks_.begin(), {.kind = Task::Kind::kMove});
  pump(now);
  return true;
}

// A move, or the check of one. libreswan answers a cookie only beside NAT detection.
void Sa::write_move(PayloadWriter& out, Task& task) {
  if (task.kind == Task::Kind::kMove) write_notify(out, notify::kUpdateSaAddresses);
  write_nat_detection(out, spis_.i, spis_.r, path_, connection_->force_encapsulation, host_.random);
  task.cookie.resize(kCookieSize);
  host_.random.fill(task.cookie);
  write_notify(out, notify::kCookie2, task.cookie);
}

void Sa::on_move_response(TimePoint now, const Active& active, const Contents& contents) {
  // A move that was asked for since goes to another path, or by another IKE SA.
  if (state_ != State::kUp || waits(Task::Kind::kMove)) return;
  if (const NotifyView* const error = contents.error()) {
    const Path refused = path_;
    const Way back = way_of_children();
    path_ = back.path;
    mobility().settled.reset();
    host_.tell(MoveRefused{id, refused, path_, error->type});
    // Whether there is still a way back shows at once.
    return queue({.kind = Task::Kind::kProbe});
  }
  if (!answers(active.task, contents)) {
    closing_cause_ = Cause::kMisbehaved;
    return void(close(now));
  }
  if (const auto nat = detect_nat(contents, spis_.i, spis_.r, path_)) {
    local_nat_ = nat->local;
    remote_nat_ = nat->remote;
  }
  settle(now);
}

// The peer does not answer any more.
void Sa::tell_failing_path() {
  if (!client_ || !mobike_ || state_ != State::kUp || !mobility_ || path_.stream) return;
  add_address(mobility_->tried, path_.remote.address);
  PathFailing event{id, path_, {}};
  for (const IpAddress& address : mobility_->peer_addresses) {
    if (std::ranges::find(mobility_->tried, address) == mobility_->tried.end()) event.others.push_back(address);
  }
  if (!event.others.empty()) host_.tell(std::move(event));
}

// --- The peer's

void Sa::on_move_request(TimePoint now, const Path& path, const Contents& contents, PayloadWriter& out) {
  const NotifyView* const cookie = contents.find(notify::kCookie2);
  if (cookie != nullptr) write_notify(out, notify::kCookie2, cookie->data);
  if (mobike_ && has_forbidden_nat(contents, path)) return write_notify(out, notify::kUnexpectedNatDetected);
  if (mobike_ && client_) take_addresses(contents);
  const bool moves = mobike_ && state_ == State::kUp && !client_ && contents.has(notify::kUpdateSaAddresses);
  if (moves && !takes_from(*connection_, path.remote.address)) {
    return write_notify(out, notify::kUnacceptableAddresses);
  }
  if (moves || contents.has(notify::kNatDetectionSource)) {
    write_nat_detection(out, spis_.i, spis_.r, path, connection_->force_encapsulation, host_.random);
  }
  if (moves) follow(now, path, contents);
}

// Who is behind the address is known, for the request is authentic; not, whether packets for it arrive there, or at
// somebody whom they would flood (section 3.7).
void Sa::follow(TimePoint now, const Path& path, const Contents& contents) {
  go_by(now, path);
  if (const auto nat = detect_nat(contents, spis_.i, spis_.r, path_)) {
    local_nat_ = nat->local;
    remote_nat_ = nat->remote;
  }
  std::erase_if(tasks_, [](const Task& task) { return task.kind == Task::Kind::kCheckWay; });
  if (path.stream || path.remote.address == mobility_->settled->path.remote.address) return settle(now);
  tasks_.insert(tasks_.begin(), {.kind = Task::Kind::kCheckWay});
}

void Sa::on_way_checked(TimePoint now, const Active& active, const Contents& contents) {
  if (state_ != State::kUp) return;
  if (!answers(active.task, contents)) {
    closing_cause_ = Cause::kMisbehaved;
    return void(close(now));
  }
  const bool wanted = mobility_ && mobility_->settled && !waits(Task::Kind::kCheckWay);
  if (wanted) settle(now);
}

// --- Further addresses of a gateway

void Sa::tell_addresses(TimePoint now) {
  if (state_ != State::kUp || client_ || !mobike_ || waits(Task::Kind::kTellAddresses)) return;
  queue({.kind = Task::Kind::kTellAddresses});
  pump(now);
}

void Sa::write_addresses(PayloadWriter& out, bool none_too) const {
  std::size_t told = 0;
  for (const IpAddress& address : host_.addresses) {
    if (address == path_.local.address || !is_at(*connection_, address) || told == kMostAddresses) continue;
    ++told;
    write_notify(out, address.is_v6() ? notify::kAdditionalIp6Address : notify::kAdditionalIp4Address, address.bytes());
  }
  if (told == 0 && none_too) write_notify(out, notify::kNoAdditionalAddresses);
}

void Sa::take_addresses(const Contents& contents) {
  std::vector<IpAddress> told;
  for (const NotifyView& notify : contents.notifies) {
    IpAddress address;
    if (notify.type == notify::kAdditionalIp4Address && notify.data.size() == 4) {
      address = IpAddress::v4(notify.data.first<4>());
    } else if (notify.type == notify::kAdditionalIp6Address && notify.data.size() == 16) {
      address = IpAddress::v6(notify.data.first<16>());
    } else {
      continue;
    }
    if (address.is_unspecified() || address.is_multicast()) continue;
    add_address(told, address);
  }
  if (told.empty() && !contents.has(notify::kNoAdditionalAddresses)) return;
  add_address(told, path_.remote.address);
  mobility().peer_addresses = std::move(told);
}

}  // namespace winze::ike
