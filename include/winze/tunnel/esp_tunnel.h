// A pair of ESP security associations between two conduits: inner IP packets on one side (a TUN interface), ESP in UDP
// (RFC 3948) on the other. Tunnel mode: whole packets of either version travel, whatever the outer one is.
//
//   inner packet --> OutboundSa --> UDP datagram to the peer
//   inner packet <-- InboundSa  <-- UDP datagram
//
// Drops are counted, in the SAs where they concern one and in Counters otherwise. All of a tunnel belongs to one
// executor.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "winze/base/time.h"
#include "winze/io/conduit.h"
#include "winze/proto/esp/sa.h"

namespace winze::tunnel {

struct EspTunnelOptions {
  // Where ESP goes. None: to where the first authentic packet comes from.
  std::optional<Endpoint> peer;
  // Whether the newest authentic packet's source becomes the peer (NAT rebinding, RFC 7296 section 2.23).
  bool follow_peer = true;
  // A NAT keepalive goes out after so long without a packet; zero: none.
  Duration keepalive{std::chrono::seconds(20)};
};

class EspTunnel {
 public:
  struct Counters {
    std::uint64_t packets_out = 0, bytes_out = 0;  // inner packets that were sealed and sent
    std::uint64_t packets_in = 0, bytes_in = 0;    // inner packets that were opened and delivered
    std::uint64_t not_esp = 0;                     // datagrams that are neither ESP nor a keepalive
    std::uint64_t unknown_spi = 0;
    std::uint64_t no_peer = 0;        // inner packets before a peer was known
    std::uint64_t not_ip = 0;         // authentic, but no IPv4 or IPv6 packet inside
    std::uint64_t moves = 0;          // times the peer's address changed
    std::uint64_t inner_dropped = 0;  // what the conduits could not take
    std::uint64_t outer_dropped = 0;
  };

  // Called once, when a conduit fails; the tunnel then does nothing more.
  using FailHandler = absl::AnyInvocable<void(std::error_code)>;

  EspTunnel(Environment& environment, ConduitPtr inner, ConduitPtr outer, esp::OutboundSa out, esp::InboundSa in,
            const EspTunnelOptions& options, FailHandler on_fail);
  ~EspTunnel();
  EspTunnel(const EspTunnel&) = delete;
  EspTunnel& operator=(const EspTunnel&) = delete;

  Counters counters() const;
  const std::optional<Endpoint>& peer() const;
  const esp::OutboundSa& outbound() const;
  const esp::InboundSa& inbound() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// The largest inner packet whose ESP packet, with its UDP and IP headers, fits into `path_mtu`.
std::size_t inner_mtu(const esp::OutboundSa& sa, std::size_t path_mtu, bool outer_v6) noexcept;

}  // namespace winze::tunnel
