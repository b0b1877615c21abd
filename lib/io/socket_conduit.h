// A datagram socket as a PacketConduit: what UDP and raw sockets have in common.
#pragma once

#include "socket_stream.h"
#include "winze/io/environment.h"
#include "winze/io/udp.h"

namespace winze {

struct SocketKind {
  bool v6 = false;
  bool v6_only = false;
  bool raw = false;
  int protocol = 0;      // of a raw socket
  bool headers = false;  // and whether its datagrams have IP headers
  bool reuse_port = false;
  std::optional<Steering> steering = {};
  bool offload = false;    // UDP_SEGMENT and UDP_GRO
  bool keeps_area = true;  // see UdpOptions
};

// `toward`: what the socket hook is told.
SocketResult make_socket_conduit(Environment& environment, const SocketKind& kind, const Endpoint& bind,
                                 const Destination& toward, const DatagramSocketOptions& options);

}  // namespace winze
