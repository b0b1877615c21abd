#include "winze/io/udp.h"

#include "socket_conduit.h"

namespace winze {

SocketResult open_udp(Environment& environment, const UdpOptions& options) {
  const SocketKind kind{.v6 = options.bind.address.is_v6(),
                        .v6_only = options.v6_only,
                        .reuse_port = options.reuse_port,
                        .steering = options.steering,
                        .offload = options.offload};
  return make_socket_conduit(environment, kind, options.bind, options.socket);
}

SocketResult open_raw(Environment& environment, const RawOptions& options) {
  const SocketKind kind{
      .v6 = options.bind.is_v6(), .raw = true, .protocol = options.protocol, .headers = options.headers};
  return make_socket_conduit(environment, kind, {options.bind, 0}, options.socket);
}

}  // namespace winze
