#include "winze/tunnel/esp_tunnel.h"

#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/proto/esp/udp_encap.h"

namespace winze::tunnel {
namespace {

constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;

// Of an inner packet, against what its ESP trailer says.
bool is_ip(const Buffer& packet, std::uint8_t next_header) {
  if (packet.empty()) return false;
  const int version = packet.data()[0] >> 4;
  if (next_header == esp::kNextHeaderV4) return version == 4 && packet.size() >= kIpv4Header;
  return next_header == esp::kNextHeaderV6 && version == 6 && packet.size() >= kIpv6Header;
}

}  // namespace

struct EspTunnel::State : std::enable_shared_from_this<State> {
  State(Environment& env, ConduitPtr inner_conduit, ConduitPtr outer_conduit, esp::OutboundSa out, esp::InboundSa in,
        const EspTunnelOptions& tunnel_options, FailHandler fail)
      : environment(env),
        inner(std::move(inner_conduit)),
        outer(std::move(outer_conduit)),
        outbound(std::move(out)),
        inbound(std::move(in)),
        options(tunnel_options),
        peer(tunnel_options.peer),
        timer(env.clock.make_timer()),
        on_fail(std::move(fail)) {
    inner->reserve(outbound.overhead() + outer->overhead());
    outer->reserve(inner->overhead());
  }

  void start() {
    receive_inner();
    receive_outer();
    last_sent = environment.clock.now();
    arm_keepalive();
  }

  // --- outward ---

  void receive_inner() {
    inner->receive([weak = weak_from_this()](std::error_code error, std::span<Datagram> packets) {
      const auto self = weak.lock();
      if (!self || self->closed) return;
      if (error) return self->fail(error);
      self->send(packets);
      self->receive_inner();
    });
  }

  void send(std::span<Datagram> packets) {
    if (!peer) {
      counters.no_peer += packets.size();
      return;
    }
    const Destination to(*peer, Network::kUdp);
    sealing.clear();
    for (Datagram& packet : packets) {
      const std::size_t size = packet.payload.size();
      if (outbound.seal(packet.payload, esp::kNextHeaderFromVersion) != esp::Drop::kNone) continue;
      ++counters.packets_out;
      counters.bytes_out += size;
      sealing.push_back({.payload = std::move(packet.payload), .peer = to});
    }
    if (sealing.empty()) return;
    last_sent = environment.clock.now();
    outer->send(sealing);
  }

  // --- inward ---

  void receive_outer() {
    outer->receive([weak = weak_from_this()](std::error_code error, std::span<Datagram> datagrams) {
      const auto self = weak.lock();
      if (!self || self->closed) return;
      if (error) return self->fail(error);
      self->open(datagrams);
      self->receive_outer();
    });
  }

  void open(std::span<Datagram> datagrams) {
    opening.clear();
    for (Datagram& datagram : datagrams) {
      if (take(datagram)) opening.push_back({.payload = std::move(datagram.payload), .peer = {}});
    }
    if (!opening.empty()) inner->send(opening);
  }

  bool take(Datagram& datagram) {
    const esp::Encapsulated kind = esp::classify(std::as_const(datagram.payload).span());
    if (kind == esp::Encapsulated::kKeepalive) return false;
    if (kind != esp::Encapsulated::kEsp) {
      ++counters.not_esp;
      return false;
    }
    if (load_u32(datagram.payload.data()) != inbound.spi()) {
      ++counters.unknown_spi;
      return false;
    }
    const esp::Opened opened = inbound.open(datagram.payload);
    if (opened.drop != esp::Drop::kNone) return false;
    if (opened.newest) note_source(datagram.peer);
    if (!is_ip(datagram.payload, opened.next_header)) {
      ++counters.not_ip;
      return false;
    }
    ++counters.packets_in;
    counters.bytes_in += datagram.payload.size();
    return true;
  }

  // Only an authentic packet with the highest sequence number so far comes here.
  void note_source(const Destination& source) {
    const IpAddress* address = source.address();
    if (address == nullptr || (peer && !options.follow_peer)) return;
    const Endpoint from{*address, source.port};
    if (peer == from) return;
    if (peer) ++counters.moves;
    peer = from;
  }

  // --- time ---

  void arm_keepalive() {
    if (options.keepalive == Duration::zero()) return;
    timer->arm(last_sent + options.keepalive, [this] {
      const TimePoint now = environment.clock.now();
      if (peer && now >= last_sent + options.keepalive) {
        Datagram keepalive{.payload = Buffer(1), .peer = Destination(*peer, Network::kUdp)};
        *keepalive.payload.append(1) = esp::kNatKeepalive;
        outer->send(std::span(&keepalive, 1));
        last_sent = now;
      } else if (!peer) {
        last_sent = now;
      }
      arm_keepalive();
    });
  }

  void fail(std::error_code error) {
    close();
    if (auto handler = std::exchange(on_fail, nullptr)) handler(error);
  }

  void close() {
    if (std::exchange(closed, true)) return;
    timer->disarm();
    inner->close();
    outer->close();
  }

  Environment& environment;
  ConduitPtr inner;
  ConduitPtr outer;
  esp::OutboundSa outbound;
  esp::InboundSa inbound;
  EspTunnelOptions options;
  std::optional<Endpoint> peer;
  TimerPtr timer;
  FailHandler on_fail;
  Counters counters;
  TimePoint last_sent;
  std::vector<Datagram> sealing, opening;  // kept from batch to batch
  bool closed = false;
};

EspTunnel::EspTunnel(Environment& environment, ConduitPtr inner, ConduitPtr outer, esp::OutboundSa out,
                     esp::InboundSa in, const EspTunnelOptions& options, FailHandler on_fail)
    : state_(std::make_shared<State>(environment, std::move(inner), std::move(outer), std::move(out), std::move(in),
                                     options, std::move(on_fail))) {
  state_->start();
}

EspTunnel::~EspTunnel() { state_->close(); }

EspTunnel::Counters EspTunnel::counters() const {
  Counters out = state_->counters;
  out.inner_dropped = state_->inner->dropped();
  out.outer_dropped = state_->outer->dropped();
  return out;
}
const std::optional<Endpoint>& EspTunnel::peer() const { return state_->peer; }
const esp::OutboundSa& EspTunnel::outbound() const { return state_->outbound; }
const esp::InboundSa& EspTunnel::inbound() const { return state_->inbound; }

std::size_t inner_mtu(const esp::OutboundSa& sa, std::size_t path_mtu, bool outer_v6) noexcept {
  const std::size_t headers = (outer_v6 ? kIpv6Header : kIpv4Header) + esp::kUdpHeaderSize;
  return path_mtu > headers ? sa.largest_payload(path_mtu - headers) : 0;
}

}  // namespace winze::tunnel
