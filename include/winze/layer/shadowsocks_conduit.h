// Shadowsocks' datagrams (winze/proto/shadowsocks/datagram.h), of either side.
#pragma once

#include <memory>

#include "winze/io/conduit.h"
#include "winze/io/packet_listener.h"
#include "winze/proto/shadowsocks/datagram.h"

namespace winze::shadowsocks {

// The client's side over `datagrams`, a conduit to `server`: one session. `destination`: whom all datagrams are for and
// from, or everyone().
ConduitPtr client_conduit(Environment& environment, std::shared_ptr<const Keys> keys, ConduitPtr datagrams,
                          const Destination& server, const Destination& destination);

// The server's side, for udp_listen(). Its sessions' datagrams name whom they are for; a session is one source's in the
// edition of 2017, and in that of 2022 one number's, wherever its client moves.
std::unique_ptr<SessionProtocol> server_sessions(Environment& environment,
                                                 std::shared_ptr<const ServerOptions> options);

inline Surroundings surroundings(Environment& environment) {
  return {environment.random, environment.clock, environment.pool};
}

}  // namespace winze::shadowsocks
