// The dialers that speak no protocol, besides TcpDialer.
#pragma once

#include <cstdint>
#include <string>

#include "winze/io/dialer.h"

namespace winze::node {

// Replaces the host (empty: keeps it) and the port (0: keeps it) of each destination: freedom's redirect. Where a
// conduit reaches everyone(), answers seem to come from the destination that was sent to last: which of several it was
// cannot be told.
DialerPtr redirect_dialer(DialerPtr below, std::string host, std::uint16_t port);

// Takes every stream and ends it at once, with `http_response` behind "403 Forbidden"; swallows every datagram.
DialerPtr blackhole_dialer(Environment& environment, bool http_response);

}  // namespace winze::node
