// The datagrams of a Trojan request for UDP, in its stream (winze/proto/trojan/datagram.h).
#pragma once

#include "winze/io/conduit.h"
#include "winze/io/dialer.h"
#include "winze/io/environment.h"
#include "winze/io/stream.h"

namespace winze::trojan {

// A conduit over `stream`, of either side, for everyone() or for one `destination` (as Dialer::open_conduit has it).
// What does not fit into one datagram of every peer's (kSafeDatagramSize) is dropped. While a write is under way at
// most 128 KiB wait, what comes beyond is dropped. The stream's end is the conduit's: Errc::kEof, or Errc::kTruncated
// within a datagram.
ConduitPtr stream_conduit(Environment& environment, StreamPtr stream, const Destination& destination = everyone());

}  // namespace winze::trojan
