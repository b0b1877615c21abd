// Asks a SOCKS5 server for a UDP association (RFC 1928 section 4, UDP ASSOCIATE).
#pragma once

#include <memory>

#include "winze/io/dialer.h"
#include "winze/proto/socks/client.h"

namespace winze::socks {

// Over a control stream that `below` dials; the datagrams go through a conduit of the same dialer. `server` stands for
// a relay that the server names 0.0.0.0 or ::; where its port is 0, the other end of the control stream does.
Pending associate(Environment& environment, DialerPtr below, std::shared_ptr<const ClientOptions> options,
                  const Destination& server, const Destination& destination, Dialer::ConduitHandler handler);

}  // namespace winze::socks
