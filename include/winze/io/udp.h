// A UDP socket, or a raw IP one, as a PacketConduit (Linux): many datagrams a system call, and of UDP, runs of equal
// ones to a peer as one (UDP_SEGMENT, UDP_GRO) where the kernel can.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

#include "winze/io/conduit.h"

namespace winze {

enum class PathMtu : std::uint8_t {
  kSystem,    // as the system does it: it believes ICMP messages, and cuts what is then too long
  kDiscover,  // nothing is cut, here or on the way (DF): what is too long is dropped, and on_too_big() is told
  kIgnore,    // what is too long may be cut anywhere
};

struct DatagramSocketOptions {
  PathMtu path_mtu = PathMtu::kSystem;
  std::uint32_t mark = 0;              // SO_MARK, 0: none (needs CAP_NET_ADMIN)
  std::string interface;               // SO_BINDTODEVICE, empty: none
  std::size_t buffer_bytes = 4 << 20;  // of the kernel, each way; it may grant less
};

// Of the `count` sockets that share a port, in the order in which they were bound, a datagram goes to number
// (its first four bytes - base) mod count: ESP goes to the thread whose SPI it has (RFC 9611), the rest to the first.
// Where the kernel joins datagrams of one peer (UDP_GRO), a few may come to another of the sockets.
struct Steering {
  std::uint32_t base = 0;
  std::uint32_t count = 1;
};

struct UdpOptions {
  Endpoint bind;                          // [::] also takes IPv4, unless v6_only
  bool reuse_port = false;                // SO_REUSEPORT: several conduits, one per thread, share the port
  std::optional<Steering> steering = {};  // with reuse_port; otherwise the kernel spreads the peers
  bool v6_only = false;
  bool offload = true;  // UDP_SEGMENT and UDP_GRO
  // Keeps the 512 KiB it receives into while idle; else it takes 192 KiB of the pool for each batch.
  bool keeps_area = true;
  DatagramSocketOptions socket = {};
  std::optional<Destination> toward = {};  // what the socket hook is told; none: `bind`
};

struct RawOptions {
  IpAddress bind;              // decides the IP version
  std::uint8_t protocol = 50;  // 50: ESP without UDP
  // Datagrams are whole IP packets, both ways, as AH (51) needs them. What comes by IPv6 has no extension headers: the
  // kernel keeps them. An IPv4 packet to send without DF needs an identification, or the kernel puts one in.
  bool headers = false;
  DatagramSocketOptions socket = {};
};

// The error says what failed ("bind to 127.0.0.1:4500: Address already in use").
struct SocketResult {
  std::error_code error;
  std::string what;
  ConduitPtr conduit;
  Endpoint local;
};
// Received datagrams carry their source, their destination and traffic class. A datagram to send needs an address as
// its peer; to a host name, or longer than mtu(), it is dropped.
SocketResult open_udp(Environment& environment, const UdpOptions& options);
// IP packets of one protocol, by default their payloads without the headers; peers have port 0. Needs CAP_NET_RAW. A
// kernel that has SAs of its own sees the packets too.
SocketResult open_raw(Environment& environment, const RawOptions& options);

}  // namespace winze
