// A UDP socket, or a raw IP one, as a PacketConduit (Linux): many datagrams a system call, and of UDP, runs of equal
// ones to a peer as one (UDP_SEGMENT, UDP_GRO) where the kernel can.
#pragma once

#include <cstdint>
#include <string>
#include <system_error>

#include "winze/io/conduit.h"

namespace winze {

struct DatagramSocketOptions {
  std::uint32_t mark = 0;              // SO_MARK, 0: none (needs CAP_NET_ADMIN)
  std::string interface;               // SO_BINDTODEVICE, empty: none
  std::size_t buffer_bytes = 4 << 20;  // of the kernel, each way; it may grant less
};

struct UdpOptions {
  Endpoint bind;            // [::] also takes IPv4, unless v6_only
  bool reuse_port = false;  // SO_REUSEPORT: several conduits, one per thread, share the port
  bool v6_only = false;
  bool offload = true;  // UDP_SEGMENT and UDP_GRO
  DatagramSocketOptions socket = {};
};

struct RawOptions {
  IpAddress bind;              // decides the IP version
  std::uint8_t protocol = 50;  // 50: ESP without UDP
  DatagramSocketOptions socket = {};
};

// The error says what failed ("bind to 127.0.0.1:4500: Address already in use").
struct SocketResult {
  std::error_code error;
  std::string what;
  ConduitPtr conduit;
  Endpoint local;
};
// Received datagrams carry their source and traffic class. A datagram to send needs an address as its peer; to a host
// name, or longer than mtu(), it is dropped.
SocketResult open_udp(Environment& environment, const UdpOptions& options);
// The payloads of IP packets of one protocol, without their headers; peers have port 0. Needs CAP_NET_RAW. A kernel
// that has SAs of its own sees the packets too.
SocketResult open_raw(Environment& environment, const RawOptions& options);

}  // namespace winze
