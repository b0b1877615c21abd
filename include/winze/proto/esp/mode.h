// What lies between an IP packet and the payload of an ESP SA.
//
//   tunnel:     [ outer IP | (UDP) | ESP( inner IP packet ) ]        4in4, 6in4, 4in6, 6in6
//   transport:  [ IP, less its payload | (UDP) | ESP( payload ) ]
//   BEET:       [ outer IP | (UDP) | ESP( inner payload ) ]          the SA knows the inner addresses
//
// Each step comes in two forms: with the outer headers in the buffer, for a host that has whole packets; and without,
// for a socket, whose kernel makes them.
//
// Base documents: RFC 4301 section 5.1.2, RFC 4303 section 3.1, RFC 3948 (UDP), RFC 6040 (ECN), RFC 7402 appendix B
// (BEET).
#pragma once

#include <cstdint>
#include <optional>

#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/proto/esp/drop.h"
#include "winze/proto/esp/sa.h"
#include "winze/proto/ip/header.h"
#include "winze/proto/ip/traffic_class.h"

namespace winze::esp {

enum class Mode : std::uint8_t { kTunnel, kTransport, kBeet };
enum class DfPolicy : std::uint8_t { kCopy, kSet, kClear };

struct Encapsulation {
  Mode mode = Mode::kTunnel;
  IpAddress local, remote;              // of the outer header, one version; of no meaning with kTransport
  IpAddress inner_local, inner_remote;  // kBeet
  ip::EcnMode ecn = ip::EcnMode::kNormal;
  std::optional<std::uint8_t> dscp;  // of the outer header, 0 to 63; none: as the inner one
  // Of the outer headers that seal_packet() makes; a socket has its own (DatagramSocketOptions::path_mtu).
  DfPolicy df = DfPolicy::kCopy;  // IPv4; an inner IPv6 packet counts as set
  std::uint8_t hop_limit = 64;
  // RFC 3948: the ports of a UDP header around ESP; 0: none.
  std::uint16_t local_port = 0, remote_port = 0;
  // kTransport: a NAT changed addresses under the TCP or UDP checksum, which open() then makes right (RFC 3948 section
  // 3.1.2: the ICV has proved the content).
  bool behind_nat = false;
};

// What the outer IP header says.
struct Outer {
  IpAddress source, destination;
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 64;
  bool dont_fragment = true;
};

// Turns an IP packet into an ESP packet in place, and says what its outer header is to be. `header` is the packet's.
// A fragment is dropped but in kTunnel; IPv4 options and IPv6 hop-by-hop and routing headers do not pass kTransport.
[[nodiscard]] Drop seal(OutboundSa& sa, const Encapsulation& how, Buffer& packet, const ip::Header& header,
                        Outer& outer);
// Turns an ESP packet into the IP packet it carries. `inner` becomes that packet's header.
[[nodiscard]] Drop open(InboundSa& sa, const Encapsulation& how, Buffer& packet, const Outer& outer, Opened& opened,
                        ip::Header& inner);

// The same between whole packets. kTransport keeps all the headers there are.
[[nodiscard]] Drop seal_packet(OutboundSa& sa, const Encapsulation& how, Buffer& packet, const ip::Header& header);
[[nodiscard]] Drop open_packet(InboundSa& sa, const Encapsulation& how, Buffer& packet, Opened& opened,
                               ip::Header& inner);

// Room for seal_packet(): what seal() needs, and the outer headers.
Overhead overhead_of(const OutboundSa& sa, const Encapsulation& how) noexcept;
// The largest inner packet whose outer one takes at most `path_mtu` bytes; 0: none does.
std::size_t inner_mtu(const OutboundSa& sa, const Encapsulation& how, std::size_t path_mtu) noexcept;

}  // namespace winze::esp
