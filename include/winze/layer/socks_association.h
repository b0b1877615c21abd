// The datagrams of a SOCKS5 UDP association (RFC 1928 section 7), of either side: a header on each, and a stream whose
// end is the association's.
#pragma once

#include "winze/io/conduit.h"
#include "winze/io/dialer.h"
#include "winze/io/stream.h"

namespace winze::socks {

// The client's side over `datagrams`, a conduit to the relay. `destination`: whom all datagrams are for and from, or
// everyone(). What the server sends on `control` is passed over; its end ends the conduit (Errc::kEof).
ConduitPtr client_association(StreamPtr control, ConduitPtr datagrams, const Destination& relay,
                              const Destination& destination);

// The server's side over `socket`. Takes datagrams from `client` only, and from one port only, which the first of them
// fixes; until then there is nobody to send to. Fragments and malformed datagrams are dropped.
ConduitPtr server_association(StreamPtr control, ConduitPtr socket, const IpAddress& client);

}  // namespace winze::socks
