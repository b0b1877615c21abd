// A configuration at work on one executor: its listeners, its chains, its connections. A host with several threads
// makes one Instance per thread from the same options, contexts, log and ledger; the listeners then share their ports.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <vector>

#include "winze/chain/associations.h"
#include "winze/chain/server.h"
#include "winze/io/environment.h"
#include "winze/layer/mux_client.h"
#include "winze/node/ledger.h"
#include "winze/node/log.h"
#include "winze/node/options.h"
#include "winze/node/plugins.h"
#include "winze/node/salt_files.h"
#include "winze/node/tls_contexts.h"

namespace winze::node {

// Which of several instances one is.
struct Share {
  std::size_t index = 0;
  std::size_t count = 1;
};

// Of the outbounds, in their order.
using SharedLimits = std::vector<std::shared_ptr<mux::sing::SharedLimit>>;

// What else the instances of one configuration have in common; what is null each makes for itself.
struct Commons {
  std::shared_ptr<SaltFiles> salts;
  std::shared_ptr<const Plugins> plugins;
  std::shared_ptr<chain::AssociationTable> associations;
  std::shared_ptr<const SharedLimits> carriers;

  static absl::StatusOr<Commons> create(const NodeOptions& options, UnixTime now);
};

class Instance {
 public:
  // Checks `options` as a whole and builds the outbounds; nothing listens yet. The arguments by reference, and the log,
  // must outlive the instance. Errors begin with the path in the configuration. Without a ledger it has one of its own.
  static absl::StatusOr<std::unique_ptr<Instance>> create(Environment& environment, const NodeOptions& options,
                                                          std::shared_ptr<TlsContexts> contexts, Log& log,
                                                          std::shared_ptr<Ledger> ledger = nullptr,
                                                          Commons commons = {});
  ~Instance();

  // Opens every inbound, of several instances with SO_REUSEPORT. A Unix socket cannot be shared so: the first instance
  // alone listens there. On error nothing listens.
  absl::Status listen(const Share& share = {});
  // Where it listens, in the order of the inbounds.
  std::vector<Endpoint> listening() const;
  std::size_t connections() const;
  // Stops accepting; `drained` is called when the last connection has ended, at the latest `grace` after now.
  void stop(Duration grace, absl::AnyInvocable<void()> drained);
  // The users and counters, to be used from any thread.
  const std::shared_ptr<Ledger>& ledger() const;
  // The dialer of an outbound by its tag; empty: the default one. Null where there is none.
  DialerPtr outbound(std::string_view tag) const;

  struct Parts;

 private:
  explicit Instance(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace winze::node
