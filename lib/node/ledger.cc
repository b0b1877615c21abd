#include "winze/node/ledger.h"

#include <asio/post.hpp>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "shadowsocks.h"
#include "winze/base/bytes.h"
#include "winze/base/status.h"
#include "winze/proto/trojan/users.h"
#include "winze/proto/user_id.h"

namespace winze::node {
namespace {

// What the protocols' users differ in. The credential as a key: what no other user of the inbound may have.

absl::StatusOr<std::string> key_of(const Account& user) {
  if (user.user.empty()) return absl::InvalidArgumentError("user: missing: the account's name");
  return user.user;
}
std::string& name_of(Account& user, const std::string&) { return user.user; }
std::uint32_t& level_of(Account& user, std::uint32_t otherwise) {
  return user.level ? *user.level : user.level.emplace(otherwise);
}
constexpr std::string_view taken(const Account&) { return "user: another user has this name"; }

// VLESS's and VMess's.
template <typename User>
concept HasId = requires(User user) { user.id; };

template <HasId User>
absl::StatusOr<std::string> key_of(const User& user) {
  if (const std::optional<Uuid> id = parse_user_id(user.id)) return id->to_string();
  return absl::InvalidArgumentError("id: \"" + user.id + "\" is not a UUID, nor 1 to 30 characters that stand for one");
}
template <HasId User>
std::string& name_of(User& user, const std::string&) {
  if (user.email.empty()) user.email = parse_user_id(user.id)->to_string();
  return user.email;
}
template <HasId User>
std::uint32_t& level_of(User& user, std::uint32_t) {
  return user.level;
}
template <HasId User>
constexpr std::string_view taken(const User&) {
  return "id: another user has this id";
}

absl::StatusOr<std::string> key_of(const TrojanUser& user) {
  if (user.password.empty()) return absl::InvalidArgumentError("password: missing: the user's password");
  const trojan::Key key = trojan::key_of(as_text(user.password.span()));
  return std::string(key.begin(), key.end());
}
std::string& name_of(TrojanUser& user, const std::string& made) {
  if (user.email.empty()) user.email = made;
  return user.email;
}
std::uint32_t& level_of(TrojanUser& user, std::uint32_t) { return user.level; }
constexpr std::string_view taken(const TrojanUser&) { return "password: another user has this password"; }

absl::StatusOr<std::string> key_of(const ShadowsocksUser& user) {
  const Secret key = shadowsocks_user_key(user);
  if (!key.empty()) return std::string(as_text(key.span()));
  return absl::InvalidArgumentError("password: Base64 of random bytes is wanted, as many as the method has it");
}
std::string& name_of(ShadowsocksUser& user, const std::string& made) {
  if (user.email.empty()) user.email = made;
  return user.email;
}
std::uint32_t& level_of(ShadowsocksUser& user, std::uint32_t) { return user.level; }
constexpr std::string_view taken(const ShadowsocksUser&) { return "password: another user has this key"; }

const chain::UserTerms& terms_of(const InboundUser& user) {
  return std::visit([](const auto& u) -> const chain::UserTerms& { return u.terms; }, user);
}

template <typename User>
std::size_t kind_of() {
  return InboundUser(std::in_place_type<User>).index();
}

}  // namespace

// --- the users of one inbound ---

struct InboundUsers::State {
  struct Member {
    InboundUser user;
    std::string key;
  };
  struct Attached {
    Executor executor;
    std::weak_ptr<CredentialTable> table;
  };

  // Has every instance make the change; forgets those that are gone.
  void tell(const InboundUser& user, std::function<void(const InboundUser&)> CredentialTable::*change) {
    std::erase_if(attached, [&](const Attached& to) {
      if (to.table.expired()) return true;
      asio::post(to.executor, [weak = to.table, user, change] {
        if (const auto table = weak.lock()) ((*table).*change)(user);
      });
      return false;
    });
  }

  std::mutex mutex;
  std::map<std::string, Member, std::less<>> members;
  std::set<std::string, std::less<>> keys;
  std::size_t added = 0;  // ever
  std::vector<Attached> attached;
};

InboundUsers::InboundUsers(std::size_t kind, std::uint32_t level, std::size_t key_size)
    : kind_(kind),
      level_(level),
      key_size_(key_size),
      live_(std::make_shared<chain::Users>()),
      state_(std::make_unique<State>()) {}
InboundUsers::~InboundUsers() = default;

absl::Status InboundUsers::add(const InboundUser& given) {
  if (given.index() != kind_) return absl::InvalidArgumentError("the user is not one of this inbound's protocol");
  InboundUser user = given;
  auto key = std::visit([](const auto& u) { return key_of(u); }, user);
  if (!key.ok()) return key.status();
  if (key_size_ != 0 && key->size() != key_size_) {
    return absl::InvalidArgumentError("password: Base64 of " + std::to_string(key_size_) +
                                      " random bytes is wanted, as the inbound's method has it; found " +
                                      std::to_string(key->size()));
  }
  const std::lock_guard lock(state_->mutex);
  if (state_->keys.contains(*key)) {
    return absl::AlreadyExistsError(std::visit([](const auto& u) { return std::string(taken(u)); }, user));
  }
  const std::string made = "user" + std::to_string(state_->added);
  const std::string name = std::visit([&](auto& u) { return name_of(u, made); }, user);
  const std::uint32_t level = std::visit([&](auto& u) { return level_of(u, level_); }, user);
  if (!live_->add(name, level, terms_of(user))) {
    return absl::AlreadyExistsError("email: another user has the name \"" + name + "\"");
  }
  ++state_->added;
  state_->keys.insert(*key);
  state_->tell(user, &CredentialTable::add);
  state_->members.emplace(name, State::Member{std::move(user), std::move(*key)});
  return absl::OkStatus();
}

bool InboundUsers::remove(std::string_view name) {
  const std::lock_guard lock(state_->mutex);
  if (!live_->remove(name)) return false;
  const auto found = state_->members.find(name);
  state_->tell(found->second.user, &CredentialTable::remove);
  state_->keys.erase(found->second.key);
  state_->members.erase(found);
  return true;
}

bool InboundUsers::update(std::string_view name, const chain::UserTerms& terms) { return live_->update(name, terms); }

std::optional<chain::UserStatistics> InboundUsers::find(std::string_view name) const { return live_->find(name); }
std::vector<chain::UserStatistics> InboundUsers::list() const { return live_->list(); }

void InboundUsers::attach(const Executor& executor, const std::shared_ptr<CredentialTable>& table) {
  const std::lock_guard lock(state_->mutex);
  for (const auto& [name, member] : state_->members) table->add(member.user);
  state_->attached.push_back({executor, table});
}

// --- the node ---

namespace {

// Per tag the counters of all executors that there have been.
struct Counted {
  std::string tag;
  std::vector<std::shared_ptr<chain::TagTraffic>> counters;

  TagStatistics sum() const {
    TagStatistics out{.tag = tag};
    for (const auto& counter : counters) {
      out.up += counter->up.load(std::memory_order_relaxed);
      out.down += counter->down.load(std::memory_order_relaxed);
      out.connections += counter->connections.load(std::memory_order_relaxed);
      out.connections_total += counter->connections_total.load(std::memory_order_relaxed);
    }
    return out;
  }
};

// Whom an inbound knows, and where in its settings they are.
struct Known {
  std::size_t kind;
  std::uint32_t level;
  std::string_view list;
  std::vector<InboundUser> users;
  std::size_t key_size = 0;  // of each one's credential, in bytes; 0: any
};

template <typename User>
Known known(const std::vector<User>& users, std::string_view list, std::uint32_t level = 0) {
  return {kind_of<User>(), level, list, {users.begin(), users.end()}};
}

std::optional<Known> known_by(const std::vector<Account>& accounts, std::uint32_t level) {
  if (accounts.empty()) return std::nullopt;
  return known(accounts, "accounts", level);
}
std::optional<Known> known_by(const SocksInbound& inbound) { return known_by(inbound.accounts, inbound.level); }
std::optional<Known> known_by(const HttpInbound& inbound) { return known_by(inbound.accounts, inbound.level); }
std::optional<Known> known_by(const MixedInbound& inbound) { return known_by(inbound.socks); }
std::optional<Known> known_by(const VlessInbound& inbound) { return known(inbound.users, "clients"); }
std::optional<Known> known_by(const TrojanInbound& inbound) { return known(inbound.users, "clients"); }
std::optional<Known> known_by(const VmessInbound& inbound) { return known(inbound.users, "clients"); }
std::optional<Known> known_by(const ShadowsocksInbound& inbound) {
  // All who know the password are one.
  if (inbound.users.empty()) return std::nullopt;
  Known out = known(inbound.users, "clients");
  const auto method = shadowsocks::parse_method(inbound.method);
  if (method && shadowsocks::has_identities(*method)) out.key_size = key_size(*method);
  return out;
}
std::optional<Known> known_by(const DokodemoInbound&) { return std::nullopt; }

}  // namespace

struct Ledger::State {
  struct Inbound : Counted {
    std::unique_ptr<InboundUsers> users;  // null: it asks nobody
    std::shared_ptr<vmess::Replays> replays;
  };

  std::shared_ptr<chain::TagTraffic> count(Counted& where) {
    const std::lock_guard lock(mutex);
    return where.counters.emplace_back(std::make_shared<chain::TagTraffic>());
  }

  std::vector<Inbound> inbounds;
  std::vector<Counted> outbounds;
  std::mutex mutex;  // guards the lists of counters
};

Ledger::Ledger(std::unique_ptr<State> state) : state_(std::move(state)) {}
Ledger::~Ledger() = default;

absl::StatusOr<std::shared_ptr<Ledger>> Ledger::create(const NodeOptions& options) {
  auto state = std::make_unique<State>();
  for (const InboundOptions& inbound : options.inbounds) {
    State::Inbound& out = state->inbounds.emplace_back();
    out.tag = inbound.tag;
    if (std::holds_alternative<VmessInbound>(inbound.settings)) out.replays = std::make_shared<vmess::Replays>();
    const auto known = std::visit([](const auto& settings) { return known_by(settings); }, inbound.settings);
    if (!known) continue;
    out.users = std::make_unique<InboundUsers>(known->kind, known->level, known->key_size);
    for (std::size_t i = 0; i < known->users.size(); ++i) {
      const absl::Status status = out.users->add(known->users[i]);
      if (status.ok()) continue;
      return absl::InvalidArgumentError(inbound.path + ".settings." + std::string(known->list) + "[" +
                                        std::to_string(i) + "]." + std::string(message_of(status)));
    }
  }
  for (const OutboundOptions& outbound : options.outbounds) state->outbounds.push_back({.tag = outbound.tag});
  return std::shared_ptr<Ledger>(new Ledger(std::move(state)));
}

InboundUsers* Ledger::users(std::string_view tag) const {
  for (const State::Inbound& inbound : state_->inbounds) {
    if (inbound.tag == tag) return inbound.users.get();
  }
  return nullptr;
}

InboundUsers* Ledger::users_at(std::size_t index) const { return state_->inbounds[index].users.get(); }
const std::shared_ptr<vmess::Replays>& Ledger::replays_at(std::size_t index) const {
  return state_->inbounds[index].replays;
}
std::shared_ptr<chain::TagTraffic> Ledger::count_inbound(std::size_t index) {
  return state_->count(state_->inbounds[index]);
}
std::shared_ptr<chain::TagTraffic> Ledger::count_outbound(std::size_t index) {
  return state_->count(state_->outbounds[index]);
}

Statistics Ledger::statistics() const {
  Statistics out;
  {
    const std::lock_guard lock(state_->mutex);
    for (const State::Inbound& inbound : state_->inbounds) out.inbounds.push_back(inbound.sum());
    for (const Counted& outbound : state_->outbounds) out.outbounds.push_back(outbound.sum());
  }
  for (const State::Inbound& inbound : state_->inbounds) {
    if (!inbound.users) continue;
    for (chain::UserStatistics& user : inbound.users->list()) out.users.push_back({inbound.tag, std::move(user)});
  }
  return out;
}

// --- as text ---

namespace {

using Json = nlohmann::ordered_json;

Json to_json(const TagStatistics& tag) {
  return {{"tag", tag.tag},
          {"up", tag.up},
          {"down", tag.down},
          {"connections", tag.connections},
          {"connectionsTotal", tag.connections_total}};
}

// As a configuration has it (winze/config): zero is no limit, and left out.
Json to_json(const chain::UserLimits& limits) {
  Json out = Json::object();
  const auto put = [&](const char* key, std::uint64_t value) {
    if (value != 0) out[key] = value;
  };
  put("up", limits.up);
  put("down", limits.down);
  put("quota", limits.quota);
  put("connections", limits.connections);
  put("addresses", limits.addresses);
  return out;
}

Json to_json(const Statistics::User& user) {
  const chain::UserStatistics& s = user.statistics;
  Json out = {{"inbound", user.inbound},
              {"name", s.name},
              {"up", s.up},
              {"down", s.down},
              {"connections", s.connections},
              {"connectionsTotal", s.connections_total},
              {"refused", s.refused},
              {"addresses", s.addresses}};
  if (s.terms.limits != chain::UserLimits()) out["limits"] = to_json(s.terms.limits);
  if (s.terms.expiry) out["expiry"] = *s.terms.expiry;
  return out;
}

template <typename Items>
Json to_array(const Items& items) {
  Json out = Json::array();
  for (const auto& item : items) out.push_back(to_json(item));
  return out;
}

}  // namespace

std::string Statistics::to_json() const {
  const Json out = {{"inbounds", to_array(inbounds)}, {"outbounds", to_array(outbounds)}, {"users", to_array(users)}};
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace winze::node
