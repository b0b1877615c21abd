// From OutboundOptions to dialers.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "winze/io/dialer.h"
#include "winze/io/tcp.h"
#include "winze/node/instance.h"
#include "winze/node/options.h"
#include "winze/node/plugins.h"
#include "winze/node/tls_contexts.h"

namespace winze::node {

struct Outbound {
  std::string tag;
  DialerPtr dialer;
};

// All outbounds, in order. One may connect through another (proxySettings), but not through itself. `carriers`: of
// each, what it shares with those on other executors.
absl::StatusOr<std::vector<Outbound>> make_outbounds(Environment& environment, const NodeOptions& options,
                                                     const TlsContexts& contexts, const Plugins& plugins,
                                                     const SharedLimits& carriers);

SocketOptions to_socket_options(const SocketSettings& settings);

}  // namespace winze::node
