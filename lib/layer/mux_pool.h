// The carriers of one outbound: opened on demand, shared, closed when idle, forgotten when dead.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>

#include "winze/io/dialer.h"
#include "winze/layer/mux_client.h"
#include "winze/proto/mux/session.h"

namespace winze::mux {

struct PoolOptions {
  Destination carrier;  // what is dialed for one
  absl::AnyInvocable<std::unique_ptr<Session>()> make_session;
  std::size_t max_streams = 8;                // at once on a carrier, before another is opened; 0: no limit
  std::size_t max_carriers = 0;               // more streams share these; 0: no limit
  std::shared_ptr<sing::SharedLimit> shared;  // the limit is of other pools' carriers too; null: of this one's
  std::size_t min_streams = 0;  // a carrier with fewer is taken before another is opened; 0: take the first with room
  Duration idle{std::chrono::seconds(16)};  // a carrier without streams ends after so long
};

class Pool : public std::enable_shared_from_this<Pool> {
 public:
  virtual ~Pool() = default;
  // Of streams, or of conduits where opening.datagrams says so.
  virtual Pending open_stream(const Opening& opening, Dialer::Handler handler) = 0;
  virtual Pending open_conduit(const Opening& opening, Dialer::ConduitHandler handler) = 0;
  virtual std::size_t carriers() const = 0;
};

// Carriers are dialed through `below`.
std::shared_ptr<Pool> make_pool(Environment& environment, DialerPtr below, PoolOptions options);

}  // namespace winze::mux
