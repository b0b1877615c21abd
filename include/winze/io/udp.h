// A UDP socket as a PacketConduit (Linux): many datagrams a system call, and runs of equal ones to a peer as one
// (UDP_SEGMENT, UDP_GRO) where the kernel can.
#pragma once

#include <cstdint>
#include <string>
#include <system_error>

#include "winze/io/conduit.h"

namespace winze {

struct UdpOptions {
  Endpoint bind;            // [::] also takes IPv4, unless v6_only
  bool reuse_port = false;  // SO_REUSEPORT: several conduits, one per thread, share the port
  bool v6_only = false;
  std::uint32_t mark = 0;              // SO_MARK, 0: none (needs CAP_NET_ADMIN)
  std::string interface;               // SO_BINDTODEVICE, empty: none
  std::size_t buffer_bytes = 4 << 20;  // of the kernel, each way; it may grant less
  bool offload = true;                 // UDP_SEGMENT and UDP_GRO
};

// The error says what failed ("bind to 127.0.0.1:4500: Address already in use").
struct UdpResult {
  std::error_code error;
  std::string what;
  ConduitPtr conduit;
  Endpoint local;
};
// Received datagrams carry their source and its ECN bits. A datagram to send needs an address as its peer; to a host
// name, or longer than mtu(), it is dropped.
UdpResult open_udp(Environment& environment, const UdpOptions& options);

}  // namespace winze
