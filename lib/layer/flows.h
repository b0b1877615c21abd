// A conduit for everyone() over a protocol whose conduits are for one destination each; or one that outlives those it
// is made of.
#pragma once

#include <optional>
#include <string_view>

#include "packet_dialer.h"

namespace winze {

struct FlowsOptions {
  std::size_t mtu = 0;     // of the conduits
  std::string_view layer;  // for events
  // One conduit, opened for this, carries them all, whose peers stay as they are. It goes when it fails, and the next
  // datagram opens another.
  std::optional<Destination> all = {};
};

// `open` opens the conduit of a destination, which goes when nothing has been sent or received through it for two
// minutes, or when there are more than 64 and it is the one used least recently. While it is being opened 16 datagrams
// wait.
ConduitPtr flows_conduit(Environment& environment, OpenConduit open, const FlowsOptions& options);

}  // namespace winze
