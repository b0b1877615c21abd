// The UDP associations of XUDP's global ids (winze/proto/mux/cool.h): what a flow of datagrams has outside, which stays
// while the carriers of the flow come and go, so that its peers see one address and port all the time.
//
// A sub-stream that is opened with an id takes over what the same user of the same inbound has under it by the same
// outbound, from the session that holds it still if there is one, which then ends. Where there is nothing a conduit is
// opened, and found under the id from then on. When its session ends it is kept, for as long and for as many flows as
// AssociationLimits say; what arrives meanwhile is dropped. It is over when that time is, when its conduit fails, and
// when its user is removed, expires, or has used up a quota.
//
// The instances of a node (one per thread) share a table: carriers of one client come to any of them. An association
// stays on the executor that has opened it; a session elsewhere uses it through two queues, of at most 512 KiB each.
#pragma once

#include <compare>
#include <cstddef>
#include <memory>
#include <string>

#include "winze/base/time.h"
#include "winze/chain/users.h"
#include "winze/io/dialer.h"
#include "winze/io/environment.h"
#include "winze/proto/mux/session.h"

namespace winze::chain {

// Of associations that no session holds. Where there would be more the one kept longest goes.
struct AssociationLimits {
  Duration keep{std::chrono::seconds(60)};  // as Xray does
  std::size_t per_user = 64;                // of an inbound without users: of all who use it
  std::size_t all = 512;                    // each is a socket, or what else its outbound has
};

// Thread-safe.
class AssociationTable;
std::shared_ptr<AssociationTable> make_association_table(const AssociationLimits& limits = {});

class Associations {
 public:
  // Of one executor; all sessions on it share one.
  Associations(Environment& environment, std::shared_ptr<AssociationTable> table);
  // Says what close() does.
  ~Associations();
  Associations(const Associations&) = delete;
  Associations& operator=(const Associations&) = delete;

  struct Flow {
    std::shared_ptr<Users> users;  // of the inbound; may be null
    std::string inbound;           // tags
    std::string outbound;
    std::string user;  // empty: unknown
    mux::GlobalId id = {};

    friend auto operator<=>(const Flow&, const Flow&) = default;
  };
  // The flow's conduit for everyone(), otherwise as Dialer::open_conduit(), which is asked where there is none. The
  // conduit ends (Errc::kEof) when another session takes it over. To close it is to have it kept.
  Pending open(const Flow& flow, DialerPtr dialer, Dialer::ConduitHandler handler);

  // Whether a session holds the flow's conduit, which ends when another opens it.
  bool is_held(const Flow& flow) const;

  // Closes what is kept, and keeps nothing any more.
  void stop();
  // Ends all associations of this executor, whoever holds them. To be called on it, while the executors of those are
  // there.
  void close();

  struct Home;

 private:
  std::shared_ptr<Home> home_;
};

}  // namespace winze::chain
