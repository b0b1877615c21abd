// Moves IP packets between this side (a TUN interface, a pair of callbacks) and the security associations of a
// database, and ESP between those and the network.
//
//   inner packet --> policy --> child --> OutboundSa --> carrier --> peer
//   inner packet <-- selectors <-- child <-- InboundSa <-- carrier <-- peer
//
// A carrier is a conduit of ESP: datagrams of UDP (RFC 3948), payloads of protocol 50, or packets framed in a stream
// (RFC 9329). Whether outer packets may be cut on the way (DF) is the socket's to say: DatagramSocketOptions::path_mtu.
// Each packet in is dropped and counted, or goes on; nothing waits but fragments. All of a data plane belongs to one
// executor: for several cores make several, with SAs of their own (RFC 9611). Time limits of SAs are kept to the
// second.
//
// AH has no place here: it covers the outer headers, which a socket's kernel makes. A host that has whole packets uses
// winze/proto/ah/sa.h.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "winze/base/time.h"
#include "winze/io/conduit.h"
#include "winze/proto/esp/database.h"

namespace winze::tunnel {

struct DataPlaneOptions {
  // A NAT keepalive goes to each peer over UDP after so long without a packet; zero: none.
  Duration keepalive{std::chrono::seconds(20)};
  // The MSS of TCP connections is kept within a child's MTU, both ways.
  bool clamp_mss = true;
  // ICMP errors for packets that do not fit, a second. More of such packets are dropped in silence.
  std::uint32_t too_big_per_second = 100;
};

class DataPlane {
 public:
  struct Counters {
    std::uint64_t packets_out = 0, bytes_out = 0;  // inner packets that were sealed and sent
    std::uint64_t packets_in = 0, bytes_in = 0;    // inner packets that were opened and delivered
    std::uint64_t not_esp = 0;                     // datagrams that are neither ESP nor a keepalive, nor anybody's
    std::uint64_t no_peer = 0;                     // inner packets before a peer was known
    std::uint64_t moves = 0;                       // times a peer's address changed
    std::uint64_t path_mtus = 0;                   // reports that a path takes less, believed
    std::uint64_t path_mtus_refused = 0;           // and not: about no SA of ours
    std::uint64_t inner_dropped = 0;               // what the conduits could not take
    std::uint64_t outer_dropped = 0;
    esp::DropCounters drops;  // those that no SA counts: not IP, no policy, an unknown SPI
  };
  enum class Carrier : std::uint8_t {
    kUdp,     // ESP, IKE and keepalives of RFC 3948
    kStream,  // ESP and IKE of RFC 9329 (winze/layer/esp_stream.h)
    kRaw,     // nothing but ESP
  };

  // Called once, when a conduit fails; the data plane then does nothing more.
  using FailHandler = absl::AnyInvocable<void(std::error_code)>;
  // Datagrams of a UDP or stream carrier that are not ESP: IKE, behind its marker of four zeroes.
  using OtherHandler = absl::AnyInvocable<void(std::uint32_t carrier, Datagram&)>;

  // ESP of an SPI that is none of ours: true when it was taken, and is not to be counted. For data planes that share a
  // port, one a thread (winze/io/udp.h, Steering): the host brings it to the one whose it is.
  using StrayHandler = absl::AnyInvocable<bool(std::uint32_t spi, Datagram&)>;

  // A packet from the inside that no child takes: it is dropped, and others like it may be to come.
  using StrandedHandler = absl::AnyInvocable<void(const ip::Flow&)>;

  // An SA has reached an age: soft, so that the host makes another; hard, so that it passes nothing any more. Told from
  // the executor, once for each.
  using AgeHandler = absl::AnyInvocable<void(std::uint32_t spi, bool inbound, esp::SaAge)>;

  // `inner` needs no peers.
  DataPlane(Environment& environment, ConduitPtr inner, const DataPlaneOptions& options, FailHandler on_fail);
  ~DataPlane();
  DataPlane(const DataPlane&) = delete;
  DataPlane& operator=(const DataPlane&) = delete;

  // The number that a child's path names. `local`: this end's address, which kTransport packets come in with. With
  // `on_end` the carrier's failure ends it alone, and not the data plane: a connection.
  std::uint32_t add_carrier(Carrier kind, ConduitPtr conduit, const IpAddress& local = {},
                            FailHandler on_end = nullptr);
  // A child whose path still names it sends nothing: a number is not given again.
  void remove_carrier(std::uint32_t carrier);
  // Whether an authentic packet has come by it.
  bool proved(std::uint32_t carrier) const;
  // Says that it has: a message of IKE, say.
  void prove(std::uint32_t carrier);
  void on_other(OtherHandler handler);
  void on_stray(StrayHandler handler);
  void on_age(AgeHandler handler);
  void on_stranded(StrandedHandler handler);
  // As if it had come by that carrier.
  void take(std::uint32_t carrier, std::span<Datagram> datagrams);
  // Sends what is no packet, such as IKE, through a carrier.
  void send(std::uint32_t carrier, Datagram datagram);

  esp::Database& database();
  Counters counters() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace winze::tunnel
