// The users of an inbound as live objects: who may connect now, on what terms, and what each has used. The tables of
// the protocols know credentials and turn them into names; this knows the names, and is the same for all protocols.
//
// Sessions ask for admission when the proxy protocol has said who the client is. They hold it as long as they live;
// when the user is removed, expires, or has used up a quota, all sessions that hold one are dismissed; those from one
// address, when it gives way to another (UserLimits::addresses).
//
// Thread-safe: every call may come from any thread, and several executors (the threads of a node) share one object.
// What concerns a session is posted to its executor. The executors of admissions must outlive the calls.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "winze/base/address.h"
#include "winze/chain/user_terms.h"
#include "winze/io/environment.h"
#include "winze/io/meter.h"

namespace winze::chain {

// Why a user is not, or no longer, served.
enum class UserErrc {
  kRemoved = 1,
  kExpired,
  kQuotaUsedUp,
  kTooManyConnections,
  kTooManyAddresses,
  kGaveWay,
};
const std::error_category& user_category() noexcept;
inline std::error_code make_error_code(UserErrc e) noexcept { return {static_cast<int>(e), user_category()}; }

struct UserStatistics {
  std::string name;
  std::uint32_t level = 0;
  UserTerms terms;
  std::uint64_t up = 0;  // bytes of payload, of open connections too
  std::uint64_t down = 0;
  std::uint64_t connections = 0;  // open; of a carrier its streams, and not the carrier
  std::uint64_t connections_total = 0;
  std::uint64_t refused = 0;    // connections, on account of the terms
  std::uint64_t addresses = 0;  // that open connections come from
};

// What a session holds while it serves a user. Belongs to the session's executor.
class Admission {
 public:
  // Counts for the user, and keeps the limits.
  const Meter& meter() const { return meter_; }
  ~Admission();
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

 private:
  friend class Users;
  struct Link;
  explicit Admission(std::shared_ptr<Link> link);

  std::shared_ptr<Link> link_;
  Meter meter_;
};

// What asks for admission. A connection that ends another one of the same user by taking its place (kSuccessor) is let
// in whatever the limits of connections and addresses. An association that may outlive its session
// (winze/chain/associations.h) is told when the user is not served any longer, and otherwise counts for nothing.
enum class Asking : std::uint8_t { kConnection, kSuccessor, kCarrier, kAssociation };

class Users {
 public:
  Users();
  ~Users();
  Users(const Users&) = delete;
  Users& operator=(const Users&) = delete;

  // False when there is one of this name.
  bool add(std::string_view name, std::uint32_t level, const UserTerms& terms);
  // False when there is none. All its connections are dismissed (UserErrc::kRemoved).
  bool remove(std::string_view name);
  // False when there is none. Applies to open connections too, but for the limits of connections and addresses, which
  // concern new ones. What was used of a quota stays used.
  bool update(std::string_view name, const UserTerms& terms);

  std::optional<UserStatistics> find(std::string_view name) const;
  // In the order of the names.
  std::vector<UserStatistics> list() const;

  // Of a session on the executor of `environment`, which asks there.
  struct Decision {
    std::error_code error;
    std::string detail;  // what the code does not say: "3 of 3"
    std::unique_ptr<Admission> admission;
  };
  // `dismiss` is called, once at most, when the session is to end: on its executor, never inside a call, and not after
  // the admission is gone.
  Decision admit(Environment& environment, std::string_view name, const IpAddress& from,
                 absl::AnyInvocable<void(std::error_code)> dismiss, Asking asking = Asking::kConnection);

 private:
  struct User;
  struct State;
  friend class Admission;
  std::shared_ptr<State> state_;
};

}  // namespace winze::chain

template <>
struct std::is_error_code_enum<winze::chain::UserErrc> : std::true_type {};
