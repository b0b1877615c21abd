// UDP for those who dial: what TcpDialer's conduits are.
#pragma once

#include "winze/io/tcp.h"
#include "winze/io/udp.h"

namespace winze {

// A conduit to `destination`, or to everyone().
SocketResult udp_dial(Environment& environment, const Destination& destination, const TcpDialOptions& options);

}  // namespace winze
