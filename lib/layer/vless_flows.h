// VLESS to any number of destinations: a stream of its own for each.
#pragma once

#include "winze/io/dialer.h"

namespace winze::vless {

// A conduit for everyone() over `streams`, a dialer of VLESS streams. Streams are opened by the first datagram to a
// destination; those unused for two minutes are closed, as is the one longest unused where there are many. What one
// that fails would have carried is dropped. Datagrams come from the destination as it was given.
ConduitPtr flows_conduit(Environment& environment, DialerPtr streams);

// That for everyone(), and one stream for a single destination.
Pending open_conduit(Environment& environment, const DialerPtr& streams, const Destination& destination,
                     Dialer::ConduitHandler handler);

}  // namespace winze::vless
