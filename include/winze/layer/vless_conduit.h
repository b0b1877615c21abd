// The datagrams of a VLESS request for UDP, in its stream (winze/proto/vless/datagram.h).
#pragma once

#include "winze/io/conduit.h"
#include "winze/io/environment.h"
#include "winze/io/stream.h"

namespace winze::vless {

// A conduit with one peer over `stream`, of either side. What does not fit into one datagram of every peer's
// (kSafeDatagramSize) is dropped: V2Ray would pass it on in pieces. While a write is under way at most 128 KiB wait,
// what comes beyond is dropped. The stream's end is the conduit's: Errc::kEof, or Errc::kTruncated within a datagram.
ConduitPtr stream_conduit(Environment& environment, StreamPtr stream);

}  // namespace winze::vless
