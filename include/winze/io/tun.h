// IP packets of this host, as a PacketConduit (Linux): a TUN interface.
#pragma once

#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include "winze/base/address.h"
#include "winze/io/conduit.h"

namespace winze {

struct TunOptions {
  std::string name;  // of the interface; empty: the kernel chooses one. An existing persistent one is taken over
  std::uint16_t mtu = 1400;
  // Lets the kernel hand over TCP segments (and UDP datagrams, since Linux 6.2) by the run, up to 64 KiB a call, and
  // take them so (IFF_VNET_HDR). receive() and send() deal in single packets all the same.
  bool offload = true;
  // For several threads: each opens a conduit of one name so, and gets its share of the flows; the kernel sends a flow
  // to the queue that its answers come by (IFF_MULTI_QUEUE).
  bool multi_queue = false;
  // Given to the interface once it is up; for changes later there is winze/io/interface.h.
  std::vector<Prefix> addresses;
  std::vector<Prefix> routes;
};

// The error says what failed ("open /dev/net/tun: Permission denied").
struct TunResult {
  std::error_code error;
  std::string what;
  ConduitPtr conduit;
  std::string name;
};
// Makes the interface, sets its MTU, brings it up (needs CAP_NET_ADMIN), and gives it addresses and routes; those that
// it has already are no error. The interface goes with its last conduit.
TunResult open_tun(Environment& environment, const TunOptions& options);

// A descriptor that the host opened itself and gives away (Android's VpnService): each read is one IP packet.
ConduitPtr adopt_tun(Environment& environment, int fd, std::uint16_t mtu);

}  // namespace winze
