// The users and the counters of a node, shared by all its instances (one per thread).
//
//   auto ledger = *node::Ledger::create(options);                    // users as configured
//   ... Instance::create(environment, options, contexts, log, ledger) on each thread ...
//   ledger->users("in")->add(node::VlessUser{.id = id, .email = "a@example", .terms = {.limits = {.quota = 1 << 30}}});
//   ledger->users("in")->remove("b@example");                        // its connections end at once
//
// Thread-safe: a host calls from any thread it likes. What a call changes holds when it returns, but for the credential
// of an added user: the tables of the protocols belong to their instances' executors, to which it is posted. No call
// may overlap the destruction of such an executor.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "winze/chain/session.h"
#include "winze/chain/users.h"
#include "winze/node/options.h"
#include "winze/proto/vmess/replay.h"

namespace winze::node {

// What an instance changes when users come and go, on its executor. The users it is told of have names and levels.
struct CredentialTable {
  std::function<void(const InboundUser&)> add;
  std::function<void(const InboundUser&)> remove;
};

// The users of one inbound.
class InboundUsers {
 public:
  // `level`: of accounts that have none of their own. `key_size`: of the users' keys, in bytes; 0: they have none.
  InboundUsers(std::size_t kind, std::uint32_t level, std::size_t key_size = 0);
  ~InboundUsers();

  // Fails when the credential is malformed, not of the inbound's protocol, or another user's, or the name is taken. The
  // message begins with the key of a configuration that is wrong ("id: ...").
  absl::Status add(const InboundUser& user);
  // False when there is none of this name, here and below.
  bool remove(std::string_view name);
  bool update(std::string_view name, const chain::UserTerms& terms);
  std::optional<chain::UserStatistics> find(std::string_view name) const;
  std::vector<chain::UserStatistics> list() const;

  // For instances, each from its own executor: `table` is told of all users, now and from now on while it lives.
  void attach(const Executor& executor, const std::shared_ptr<CredentialTable>& table);
  // For their sessions.
  const std::shared_ptr<chain::Users>& live() const { return live_; }

 private:
  struct State;
  std::size_t kind_;
  std::uint32_t level_;
  std::size_t key_size_;
  std::shared_ptr<chain::Users> live_;
  std::unique_ptr<State> state_;
};

struct TagStatistics {
  std::string tag;
  std::uint64_t up = 0;  // bytes of payload, of open connections too
  std::uint64_t down = 0;
  std::uint64_t connections = 0;  // open
  std::uint64_t connections_total = 0;
};

struct Statistics {
  std::vector<TagStatistics> inbounds;
  std::vector<TagStatistics> outbounds;
  struct User {
    std::string inbound;  // its tag
    chain::UserStatistics statistics;
  };
  std::vector<User> users;

  std::string to_json() const;
};

class Ledger {
 public:
  // Errors begin with the path in the configuration.
  static absl::StatusOr<std::shared_ptr<Ledger>> create(const NodeOptions& options);
  ~Ledger();

  // Null when there is no such inbound, or when it asks nobody who they are.
  InboundUsers* users(std::string_view inbound_tag) const;
  Statistics statistics() const;

  // For instances: by the place in NodeOptions.
  InboundUsers* users_at(std::size_t inbound) const;
  // What a VMess inbound has seen, on whatever thread: a replay may come to another than its original.
  const std::shared_ptr<vmess::Replays>& replays_at(std::size_t inbound) const;
  // A counter that the caller's executor writes.
  std::shared_ptr<chain::TagTraffic> count_inbound(std::size_t index);
  std::shared_ptr<chain::TagTraffic> count_outbound(std::size_t index);

 private:
  struct State;
  explicit Ledger(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace winze::node
