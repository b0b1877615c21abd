#include "winze/chain/users.h"

#include <algorithm>
#include <asio/post.hpp>
#include <list>
#include <map>
#include <mutex>
#include <utility>

#include "winze/base/error.h"

namespace winze::chain {
namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(UserErrc::kRemoved), "user removed"},
    {static_cast<int>(UserErrc::kExpired), "user expired"},
    {static_cast<int>(UserErrc::kQuotaUsedUp), "quota used up"},
    {static_cast<int>(UserErrc::kTooManyConnections), "too many connections"},
    {static_cast<int>(UserErrc::kTooManyAddresses), "too many addresses"},
    {static_cast<int>(UserErrc::kGaveWay), "gave way to another address"},
};
const TableCategory kCategory("user", kRows);

// An expiry is a date that an operator has agreed on, not a duration, and the clock may be set while it is waited for:
// it is looked at so often; in its last second oftener.
constexpr Duration kLook = std::chrono::seconds(30);
constexpr Duration kLastLooks = std::chrono::milliseconds(50);

// So long nothing passes at an address, asked for again and again, before it gives way.
constexpr Duration kQuiet = std::chrono::seconds(10);

// What counts as one address; nothing for who has none (a Unix socket).
std::optional<IpAddress> network_of(const IpAddress& address) {
  const IpAddress plain = address.unmapped();
  if (plain.is_unspecified()) return std::nullopt;
  if (plain.is_v4()) return plain;
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(plain.bytes().first(8), bytes.begin());
  return IpAddress::v6(bytes);
}

bool is_connection(Asking asking) { return asking == Asking::kConnection || asking == Asking::kSuccessor; }

// A counter for each executor.
class Shards {
 public:
  const std::shared_ptr<Traffic>& of(const Environment& environment) {
    const auto found = std::ranges::find(shards_, &environment, [](const auto& shard) { return shard.first; });
    if (found != shards_.end()) return found->second;
    return shards_.emplace_back(&environment, std::make_shared<Traffic>()).second;
  }

  std::uint64_t total(Way way) const {
    std::uint64_t sum = 0;
    for (const auto& [environment, traffic] : shards_) {
      sum += (way == Way::kUp ? traffic->up : traffic->down).load(std::memory_order_relaxed);
    }
    return sum;
  }
  std::uint64_t total() const { return total(Way::kUp) + total(Way::kDown); }

 private:
  std::vector<std::pair<const Environment*, std::shared_ptr<Traffic>>> shards_;
};

// An address that members of a user come from.
struct Place {
  std::size_t members = 0;
  Shards shards;
  // What had passed when it was in another's way last, and since when no more has, nor has anyone come.
  std::uint64_t passed = 0;
  std::optional<TimePoint> quiet_since;

  void join() {
    ++members;
    quiet_since.reset();
  }
  Duration quiet_for(TimePoint now) {
    const std::uint64_t passed_now = shards.total();
    if (!quiet_since || passed_now != passed) quiet_since = now;
    passed = passed_now;
    return now - *quiet_since;
  }
};

std::string of(std::uint64_t there, std::uint64_t allowed) {
  return std::to_string(there) + " of " + std::to_string(allowed);
}

}  // namespace

const std::error_category& user_category() noexcept { return kCategory; }

struct Users::State {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<User>, std::less<>> users;

  std::shared_ptr<User> find(std::string_view name) {
    const std::lock_guard lock(mutex);
    const auto found = users.find(name);
    return found != users.end() ? found->second : nullptr;
  }
};

struct Users::User {
  // An open connection.
  struct Member {
    Executor executor;
    std::weak_ptr<Admission::Link> link;
  };

  User(std::string_view user_name, std::uint32_t user_level)
      : name(user_name), level(user_level), allowance([this] { notify(); }) {}

  void set(const UserTerms& to) {
    const std::lock_guard lock(mutex);
    if (to.limits.up != terms.limits.up) allowance.set_rate(Way::kUp, to.limits.up);
    if (to.limits.down != terms.limits.down) allowance.set_rate(Way::kDown, to.limits.down);
    if (to.limits.quota != terms.limits.quota) allowance.set_quota(to.limits.quota, shards.total());
    terms = to;
  }

  // Under the mutex.
  std::error_code standing(UnixTime now) const {
    if (removed) return UserErrc::kRemoved;
    if (terms.expiry && *terms.expiry <= now) return UserErrc::kExpired;
    return allowance.is_spent() ? std::error_code(UserErrc::kQuotaUsedUp) : std::error_code();
  }

  // Has every connection look at its standing.
  void notify() {
    const std::lock_guard lock(mutex);
    for (const Member& member : members) post_review(member);
  }
  static void post_review(const Member& member);

  // Under the mutex, where a limit is in the way of `from`: the address that has been quiet for the longest gives way.
  // A client that has moved to another network so gets its place back from connections that nobody has ended.
  void make_room(const std::optional<IpAddress>& from, TimePoint now);
  void give_way(IpAddress address);
  // Of a member that ends, or gives way.
  void uncount(Admission::Link& link);

  UserStatistics statistics() {
    const std::lock_guard lock(mutex);
    return {.name = name,
            .level = level,
            .terms = terms,
            .up = shards.total(Way::kUp),
            .down = shards.total(Way::kDown),
            .connections = connections,
            .connections_total = connections_total,
            .refused = refused,
            .addresses = places.size()};
  }

  const std::string name;
  const std::uint32_t level;
  std::mutex mutex;  // guards what follows, but for the allowance
  UserTerms terms;
  bool removed = false;
  std::list<Member> members;
  std::size_t connections = 0, carriers = 0;  // of the members
  std::map<IpAddress, Place> places;
  Shards shards;
  std::uint64_t connections_total = 0;
  std::uint64_t refused = 0;
  Allowance allowance;
};

// A session's place among the connections of its user.
struct Admission::Link : std::enable_shared_from_this<Link> {
  Link(Environment& env, std::shared_ptr<Users::User> of_user, absl::AnyInvocable<void(std::error_code)> on_dismiss)
      : environment(env), user(std::move(of_user)), dismiss(std::move(on_dismiss)) {}

  // On the session's executor.
  void review() {
    if (!dismiss) return;
    const UnixTime now = environment.clock.unix_now();
    std::unique_lock lock(user->mutex);
    const std::error_code error = gave_way ? std::error_code(UserErrc::kGaveWay) : user->standing(now);
    const std::optional<UnixTime> expiry = user->terms.expiry;
    lock.unlock();
    if (error) return std::exchange(dismiss, nullptr)(error);
    if (expiry) {
      wait(*expiry - now);
    } else if (timer) {
      timer->disarm();
    }
  }

  void wait(UnixTime seconds_left) {
    if (!timer) timer = environment.clock.make_timer();
    const Duration look =
        seconds_left < 2 ? kLastLooks : std::min<Duration>(kLook, std::chrono::seconds(seconds_left - 1));
    timer->arm(environment.clock.now() + look, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->review();
    });
  }

  Environment& environment;
  std::shared_ptr<Users::User> user;
  absl::AnyInvocable<void(std::error_code)> dismiss;
  TimerPtr timer;
  std::list<Users::User::Member>::iterator place;
  Asking asking = Asking::kConnection;
  // Guarded by the user's mutex.
  std::optional<IpAddress> from;
  bool gave_way = false;
};

void Users::User::post_review(const Member& member) {
  asio::post(member.executor, [weak = member.link] {
    if (const auto link = weak.lock()) link->review();
  });
}

void Users::User::make_room(const std::optional<IpAddress>& from, TimePoint now) {
  std::optional<IpAddress> quietest;
  Duration longest{};
  for (auto& [address, place] : places) {
    const Duration quiet = place.quiet_for(now);
    if (address == from || quiet < std::max(kQuiet, longest)) continue;
    quietest = address;
    longest = quiet;
  }
  if (quietest) give_way(*quietest);
}

// The links are there: who ends waits for the mutex, to leave the members.
void Users::User::give_way(IpAddress address) {
  for (const Member& member : members) {
    const auto link = member.link.lock();
    if (link->from != address) continue;
    uncount(*link);
    link->gave_way = true;
    post_review(member);
  }
}

void Users::User::uncount(Admission::Link& link) {
  if (link.gave_way) return;
  if (is_connection(link.asking)) --connections;
  if (link.asking == Asking::kCarrier) --carriers;
  if (!link.from) return;
  const auto place = places.find(*std::exchange(link.from, std::nullopt));
  if (--place->second.members == 0) places.erase(place);
}

Admission::Admission(std::shared_ptr<Link> link) : link_(std::move(link)) {}

Admission::~Admission() {
  link_->dismiss = nullptr;
  Users::User& user = *link_->user;
  const std::lock_guard lock(user.mutex);
  user.members.erase(link_->place);
  user.uncount(*link_);
}

Users::Users() : state_(std::make_shared<State>()) {}
Users::~Users() = default;

bool Users::add(std::string_view name, std::uint32_t level, const UserTerms& terms) {
  auto user = std::make_shared<User>(name, level);
  user->set(terms);
  const std::lock_guard lock(state_->mutex);
  return state_->users.try_emplace(std::string(name), std::move(user)).second;
}

bool Users::remove(std::string_view name) {
  std::shared_ptr<User> user;
  {
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->users.find(name);
    if (found == state_->users.end()) return false;
    user = std::move(found->second);
    state_->users.erase(found);
  }
  {
    const std::lock_guard lock(user->mutex);
    user->removed = true;
  }
  user->notify();
  return true;
}

bool Users::update(std::string_view name, const UserTerms& terms) {
  const auto user = state_->find(name);
  if (!user) return false;
  user->set(terms);
  user->notify();
  return true;
}

std::optional<UserStatistics> Users::find(std::string_view name) const {
  const auto user = state_->find(name);
  return user ? std::optional(user->statistics()) : std::nullopt;
}

std::vector<UserStatistics> Users::list() const {
  std::vector<std::shared_ptr<User>> users;
  {
    const std::lock_guard lock(state_->mutex);
    for (const auto& [name, user] : state_->users) users.push_back(user);
  }
  std::vector<UserStatistics> out;
  out.reserve(users.size());
  for (const auto& user : users) out.push_back(user->statistics());
  return out;
}

Users::Decision Users::admit(Environment& environment, std::string_view name, const IpAddress& from,
                             absl::AnyInvocable<void(std::error_code)> dismiss, Asking asking) {
  const auto user = state_->find(name);
  // Its credential was still known a moment ago.
  if (!user) return {.error = UserErrc::kRemoved, .detail = {}, .admission = nullptr};
  auto link = std::make_shared<Admission::Link>(environment, user, std::move(dismiss));
  if (asking != Asking::kAssociation) link->from = network_of(from);
  link->asking = asking;
  std::unique_lock lock(user->mutex);
  const UserLimits& limits = user->terms.limits;
  const auto refuse = [&](std::error_code error, std::string detail = {}) {
    ++user->refused;
    return Decision{.error = error, .detail = std::move(detail), .admission = nullptr};
  };
  const UnixTime now = environment.clock.unix_now();
  if (std::error_code error = user->standing(now)) return refuse(error);
  const bool carrier = asking == Asking::kCarrier;
  if (carrier || asking == Asking::kConnection) {
    const std::size_t most = limits.connections + (carrier ? std::size_t{1} : 0);
    const auto open = [&] { return carrier ? user->carriers : user->connections; };
    const auto too_many = [&] { return limits.connections != 0 && open() >= most; };
    const auto too_many_places = [&] {
      return limits.addresses != 0 && user->places.size() >= limits.addresses && link->from &&
             !user->places.contains(*link->from);
    };
    if (too_many() || too_many_places()) user->make_room(link->from, environment.clock.now());
    if (too_many()) {
      return refuse(UserErrc::kTooManyConnections, of(open(), most) + (carrier ? " carriers" : ""));
    }
    if (too_many_places()) return refuse(UserErrc::kTooManyAddresses, of(user->places.size(), limits.addresses));
  }
  if (link->from) user->places[*link->from].join();
  link->place = user->members.insert(user->members.end(), {environment.executor, link});
  if (carrier) ++user->carriers;
  if (is_connection(asking)) {
    ++user->connections;
    ++user->connections_total;
  }
  Decision out;
  out.admission.reset(new Admission(link));
  out.admission->meter_ = Meter(std::shared_ptr<Allowance>(user, &user->allowance));
  out.admission->meter_.add(user->shards.of(environment));
  if (link->from) out.admission->meter_.add(user->places[*link->from].shards.of(environment));
  const std::optional<UnixTime> expiry = user->terms.expiry;
  lock.unlock();
  if (expiry) link->wait(*expiry - now);
  return out;
}

}  // namespace winze::chain
