// The datagrams of a sub-stream of sing-mux (winze/proto/mux/sing.h).
#pragma once

#include "winze/io/conduit.h"
#include "winze/io/dialer.h"
#include "winze/io/environment.h"
#include "winze/io/stream.h"

namespace winze::mux::sing {

// A conduit over `stream`, of either side, for one `destination`, or for everyone(): then each datagram has an address.
// What does not fit into one datagram of every peer's (kSafeDatagramSize) is dropped. While a write is under way at
// most 128 KiB wait, what comes beyond is dropped. The stream's end is the conduit's: Errc::kEof, or Errc::kTruncated
// within a datagram.
ConduitPtr stream_conduit(Environment& environment, StreamPtr stream, const Destination& destination);

}  // namespace winze::mux::sing
