#include "winze/io/udp.h"

#include "socket_conduit.h"

namespace winze {

SocketResult open_udp(Environment& environment, const UdpOptions& options) {
  const SocketKind kind{.v6 = options.bind.address.is_v6(),
                        .v6_only = options.v6_only,
                        .reuse_port = options.reuse_port,
                        .steering = options.steering,
                        .offload = options.offload,
                        .keeps_area = options.keeps_area};
  const Destination toward = options.toward.value_or(Destination(options.bind, Network::kUdp));
  return make_socket_conduit(environment, kind, options.bind, toward, options.socket);
}

SocketResult open_raw(Environment& environment, const RawOptions& options) {
  const SocketKind kind{
      .v6 = options.bind.is_v6(), .raw = true, .protocol = options.protocol, .headers = options.headers};
  const Endpoint bind{options.bind, 0};
  return make_socket_conduit(environment, kind, bind, Destination(bind, Network::kUdp), options.socket);
}

}  // namespace winze
