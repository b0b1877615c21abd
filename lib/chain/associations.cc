#include "winze/chain/associations.h"

#include <absl/container/flat_hash_set.h>

#include <asio/post.hpp>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "lease.h"
#include "winze/base/error.h"

namespace winze::chain {
namespace {

using Flow = Associations::Flow;
using LeasePtr = std::shared_ptr<Lease>;

struct Association;
using AssociationPtr = std::shared_ptr<Association>;
using Leases = std::vector<LeasePtr>;

}  // namespace

// Of one executor.
struct Associations::Home : std::enable_shared_from_this<Home> {
  Home(Environment& env, std::shared_ptr<AssociationTable> shared)
      : environment(env), table(std::move(shared)), timer(env.clock.make_timer()) {}

  void keep(Association& association);
  // Puts the timer to the end of the time of the one kept longest.
  void watch();
  void stop();
  void close();

  Environment& environment;
  std::shared_ptr<AssociationTable> table;
  TimerPtr timer;  // null: closed
  absl::flat_hash_set<AssociationPtr> all;
  std::list<Association*> kept;  // the longest first
  bool stopped = false;
};

namespace {

// Belongs to its home's executor, but for what the table's mutex guards.
struct Association final : Lessor, std::enable_shared_from_this<Association> {
  Association(std::shared_ptr<Associations::Home> of_home, Flow of_flow)
      : home(std::move(of_home)), flow(std::move(of_flow)) {}

  void start(const LeasePtr& lease, DialerPtr dialer);
  std::error_code admit();
  void opened(const DialError& error, ConduitPtr opened_conduit);
  void pump();
  // Those who have asked for it; the last of them gets it.
  void serve();
  void released(const Lease& lease) override;
  PacketConduit& conduit() override { return *outside; }
  // The user is not served any longer: who holds it now is told so as a session.
  void dismiss();
  void unkeep();
  void close(const DialError& error = Errc::kAborted);

  std::shared_ptr<Associations::Home> home;
  const Flow flow;
  std::unique_ptr<Admission> admission;
  Pending dialing;
  ConduitPtr outside;  // null: being opened
  LeasePtr holder;     // null: kept
  bool dismissed = false;
  bool closed = false;
  TimePoint due;                                           // while kept
  std::optional<std::list<Association*>::iterator> place;  // ... in the home's list

  // The table's.
  Leases asking;
  std::optional<std::list<AssociationPtr>::iterator> place_in_table;
};

using Owner = std::tuple<const Users*, std::string, std::string>;
Owner owner_of(const Flow& flow) { return {flow.users.get(), flow.inbound, flow.user}; }

}  // namespace

// An association is in here while it can be found. As long as it is, its executor is there.
class AssociationTable {
 public:
  explicit AssociationTable(const AssociationLimits& table_limits) : limits(table_limits) {}

  // Has `lease` ask for the flow's association; otherwise makes it, of `home`, and returns it.
  AssociationPtr ask(const Flow& flow, const LeasePtr& lease, const std::shared_ptr<Associations::Home>& home) {
    const std::lock_guard lock(mutex_);
    AssociationPtr& found = flows_[flow];
    const bool is_new = found == nullptr;
    if (is_new) found = std::make_shared<Association>(home, flow);
    const Executor& executor = found->home->environment.executor;
    lease->ask(executor);
    if (is_new) return found;
    found->asking.push_back(lease);
    asio::post(executor, [association = found] { association->serve(); });
    return nullptr;
  }

  Leases take_asking(Association& association) {
    const std::lock_guard lock(mutex_);
    return std::exchange(association.asking, {});
  }

  // Notes that nobody holds it, and closes others that are then too many.
  void keep(Association& association) {
    const std::lock_guard lock(mutex_);
    association.place_in_table = kept_.insert(kept_.end(), association.shared_from_this());
    const Owner owner = owner_of(association.flow);
    if (++kept_of_[owner] > limits.per_user) {
      evict([&](const Association& other) { return owner_of(other.flow) == owner; });
    } else if (kept_.size() > limits.all) {
      evict([](const Association&) { return true; });
    }
  }

  void unkeep(Association& association) {
    const std::lock_guard lock(mutex_);
    remove_kept(association);
  }

  // Nobody finds it any more. Returns those who still asked.
  Leases forget(Association& association) {
    const std::lock_guard lock(mutex_);
    remove_kept(association);
    const auto found = flows_.find(association.flow);
    if (found != flows_.end() && found->second.get() == &association) flows_.erase(found);
    return std::exchange(association.asking, {});
  }

  bool is_held(const Flow& flow) {
    const std::lock_guard lock(mutex_);
    const auto found = flows_.find(flow);
    return found != flows_.end() && (!found->second->place_in_table || !found->second->asking.empty());
  }

  // Whether somebody is about to hold it again.
  bool is_wanted(const Association& association) {
    const std::lock_guard lock(mutex_);
    return !association.asking.empty();
  }

  const AssociationLimits limits;

 private:
  template <typename Which>
  void evict(Which which) {
    for (const AssociationPtr& oldest : kept_) {
      if (!oldest->asking.empty() || !which(*oldest)) continue;
      const AssociationPtr leaving = oldest;
      remove_kept(*leaving);
      flows_.erase(leaving->flow);
      return asio::post(leaving->home->environment.executor, [leaving] { leaving->close(); });
    }
  }

  void remove_kept(Association& association) {
    const auto place = std::exchange(association.place_in_table, std::nullopt);
    if (!place) return;
    const auto count = kept_of_.find(owner_of(association.flow));
    if (--count->second == 0) kept_of_.erase(count);
    kept_.erase(*place);
  }

  std::mutex mutex_;
  std::map<Flow, AssociationPtr> flows_;
  std::list<AssociationPtr> kept_;  // the longest first
  std::map<Owner, std::size_t> kept_of_;
};

std::shared_ptr<AssociationTable> make_association_table(const AssociationLimits& limits) {
  return std::make_shared<AssociationTable>(limits);
}

// --- one association ---

namespace {

void Association::start(const LeasePtr& lease, DialerPtr dialer) {
  home->all.insert(shared_from_this());
  lease->attach(shared_from_this());
  holder = lease;
  if (const std::error_code error = admit()) return close(error);
  Dialer& through = *dialer;
  dialing = through.open_conduit(everyone(), [weak = weak_from_this(), keep = std::move(dialer)](
                                                 const DialError& error, ConduitPtr opened_conduit) {
    if (const auto self = weak.lock()) self->opened(error, std::move(opened_conduit));
  });
}

std::error_code Association::admit() {
  if (!flow.users || flow.user.empty()) return {};
  Users::Decision decision = flow.users->admit(
      home->environment, flow.user, {},
      [weak = weak_from_this()](std::error_code) {
        if (const auto self = weak.lock()) self->dismiss();
      },
      Asking::kAssociation);
  admission = std::move(decision.admission);
  return decision.error;
}

void Association::opened(const DialError& error, ConduitPtr opened_conduit) {
  dialing.detach();
  if (closed) return;
  if (error) return close(error);
  outside = std::move(opened_conduit);
  pump();
  if (holder) holder->grant();
}

void Association::pump() {
  outside->receive([weak = weak_from_this()](std::error_code error, std::span<Datagram> datagrams) {
    const auto self = weak.lock();
    if (!self || self->closed) return;
    if (error) return self->close(error);
    if (self->holder) self->holder->deliver(datagrams);
    self->pump();
  });
}

void Association::serve() {
  for (const LeasePtr& lease : home->table->take_asking(*this)) {
    if (!lease->attach(shared_from_this())) continue;
    unkeep();
    if (const LeasePtr last = std::exchange(holder, lease)) last->end(Errc::kEof);
    if (outside) lease->grant();
  }
}

void Association::released(const Lease& lease) {
  if (closed || holder.get() != &lease) return;
  holder.reset();
  if (!outside || dismissed || home->stopped) return close();
  home->keep(*this);
}

void Association::dismiss() {
  dismissed = true;
  for (const LeasePtr& lease : home->table->forget(*this)) lease->end({}, true);
  if (!holder) close();
}

void Association::unkeep() {
  home->table->unkeep(*this);
  if (!place) return;
  home->kept.erase(*place);
  place.reset();
  home->watch();
}

void Association::close(const DialError& error) {
  if (std::exchange(closed, true)) return;
  const AssociationPtr self = shared_from_this();
  for (const LeasePtr& lease : home->table->forget(*this)) lease->end({}, true);
  unkeep();
  home->all.erase(self);
  dialing.cancel();
  admission.reset();
  outside.reset();
  if (const LeasePtr last = std::exchange(holder, nullptr)) last->end(error);
}

}  // namespace

// --- those of one executor ---

void Associations::Home::keep(Association& association) {
  association.due = environment.clock.now() + table->limits.keep;
  association.place = kept.insert(kept.end(), &association);
  table->keep(association);
  if (kept.size() == 1) watch();
}

void Associations::Home::watch() {
  if (!timer) return;
  if (kept.empty()) return timer->disarm();
  timer->arm(kept.front()->due, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    const TimePoint now = self->environment.clock.now();
    const auto due = self->kept;
    for (Association* association : due) {
      if (association->due > now) break;
      if (!self->table->is_wanted(*association)) association->close();
    }
    self->watch();
  });
}

void Associations::Home::stop() {
  stopped = true;
  while (!kept.empty()) kept.front()->close();
}

void Associations::Home::close() {
  stop();
  while (!all.empty()) (*all.begin())->close();
  // Others may hold this longer than the executor is there.
  timer.reset();
}

Associations::Associations(Environment& environment, std::shared_ptr<AssociationTable> table)
    : home_(std::make_shared<Home>(environment, std::move(table))) {}
Associations::~Associations() { close(); }

void Associations::stop() { home_->stop(); }
void Associations::close() { home_->close(); }

namespace {

// A session that asks, again when what it has asked for goes.
struct Claim : std::enable_shared_from_this<Claim> {
  void ask() {
    if (!home->timer) {
      return asio::post(home->environment.executor, [self = shared_from_this()] { self->finish(Errc::kAborted); });
    }
    lease = std::make_shared<Lease>(
        home->environment.executor,
        [self = shared_from_this()](const DialError& error, bool gone) { gone ? self->ask() : self->finish(error); });
    if (const AssociationPtr fresh = home->table->ask(flow, lease, home)) fresh->start(lease, dialer);
  }

  void finish(const DialError& error) {
    ConduitPtr conduit = error ? nullptr : lease->make_conduit();
    lease.reset();
    std::exchange(handler, nullptr)(error, std::move(conduit));
  }

  void cancel() {
    if (!lease) return;
    lease->close();
    lease.reset();
    asio::post(home->environment.executor,
               [handler = std::exchange(handler, nullptr)]() mutable { handler(Errc::kAborted, nullptr); });
  }

  std::shared_ptr<Associations::Home> home;
  Flow flow;
  DialerPtr dialer;
  Dialer::ConduitHandler handler;
  LeasePtr lease;
};

}  // namespace

bool Associations::is_held(const Flow& flow) const { return home_->table->is_held(flow); }

Pending Associations::open(const Flow& flow, DialerPtr dialer, Dialer::ConduitHandler handler) {
  auto claim = std::make_shared<Claim>();
  claim->home = home_;
  claim->flow = flow;
  claim->dialer = std::move(dialer);
  claim->handler = std::move(handler);
  claim->ask();
  return Pending([weak = std::weak_ptr(claim)] {
    if (const auto strong = weak.lock()) strong->cancel();
  });
}

}  // namespace winze::chain
