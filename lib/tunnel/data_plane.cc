#include "winze/tunnel/data_plane.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/proto/esp/udp_encap.h"
#include "winze/proto/ip/fragment.h"
#include "winze/proto/ip/icmp.h"
#include "winze/proto/ip/tcp_mss.h"

namespace winze::tunnel {
namespace {

// Room around inner packets for any SA and outer header.
constexpr Overhead kRoom{.front = 64, .back = 64};

struct CarrierState {
  DataPlane::Carrier kind;
  ConduitPtr conduit;
  IpAddress local;
  DataPlane::FailHandler on_end;
  std::vector<Datagram> outgoing;  // kept from batch to batch
};

}  // namespace

struct DataPlane::State : std::enable_shared_from_this<State> {
  State(Environment& env, ConduitPtr inner_conduit, const DataPlaneOptions& plane_options, FailHandler fail)
      : environment(env),
        inner(std::move(inner_conduit)),
        options(plane_options),
        timer(env.clock.make_timer()),
        on_fail(std::move(fail)),
        too_big_left(plane_options.too_big_per_second) {
    inner->reserve(kRoom);  // and what a carrier adds
  }

  void start() {
    receive_inner();
    arm_keepalive();
  }

  // --- outward ---

  void receive_inner() {
    inner->receive([weak = weak_from_this()](std::error_code error, std::span<Datagram> packets) {
      const auto self = weak.lock();
      if (!self || self->closed) return;
      if (error) return self->fail(error);
      for (Datagram& packet : packets) self->send(packet.payload);
      self->flush();
      self->receive_inner();
    });
  }

  void send(Buffer& packet) {
    const auto header = ip::parse(packet.span());
    if (!header) return counters.drops.add(esp::Drop::kMalformed);
    esp::Drop why = esp::Drop::kNone;
    esp::Child* const child = database.select(ip::flow_of(packet.span(), *header), why);
    if (child == nullptr) return counters.drops.add(why);
    const std::size_t mtu = child->path.mtu;
    if (mtu != 0) {
      if (options.clamp_mss) ip::clamp_mss(packet.span(), *header, mtu);
      if (header->size > mtu) return send_too_big(*child, packet, *header);
    }
    seal(*child, packet, *header);
  }

  // Fragments where the sender allows it, and tells it where not.
  void send_too_big(esp::Child& child, Buffer& packet, const ip::Header& header) {
    if (!header.dont_fragment) {
      std::vector<Buffer> pieces;
      (void)ip::fragment(std::move(packet), header, child.path.mtu, kRoom, pieces);
      for (Buffer& piece : pieces) seal(child, piece, *ip::parse(piece.span()));
      return;
    }
    counters.drops.add(esp::Drop::kTooBig);
    const TimePoint now = environment.clock.now();
    if (now - too_big_since >= std::chrono::seconds(1)) {
      too_big_since = now;
      too_big_left = options.too_big_per_second;
    }
    const IpAddress from = ip::destination_of(packet.span());
    if (too_big_left == 0 || !ip::make_packet_too_big(packet, child.path.mtu, from)) return;
    --too_big_left;
    Datagram reply{.payload = std::move(packet), .peer = {}};
    inner->send(std::span(&reply, 1));
  }

  void seal(esp::Child& child, Buffer& packet, const ip::Header& header) {
    if (!child.path.peer || child.path.carrier >= carriers.size() || !carriers[child.path.carrier].conduit) {
      ++counters.no_peer;
      return;
    }
    const std::size_t size = header.size;
    esp::Outer outer;
    const esp::Drop drop = child.seal(packet, header, outer);
    if (drop == esp::Drop::kNoPolicy) counters.drops.add(drop);  // the SAs count the others
    if (drop != esp::Drop::kNone) return;
    ++counters.packets_out;
    counters.bytes_out += size;
    child.path.last_sent = now_of_batch();
    carriers[child.path.carrier].outgoing.push_back({.payload = std::move(packet),
                                                     .peer = Destination(*child.path.peer, Network::kUdp),
                                                     .traffic_class = outer.traffic_class});
  }

  // One reading of the clock a batch.
  TimePoint now_of_batch() {
    if (!batch_now) batch_now = environment.clock.now();
    return *batch_now;
  }

  void flush() {
    batch_now.reset();
    for (CarrierState& carrier : carriers) {
      if (carrier.outgoing.empty()) continue;
      if (carrier.conduit) carrier.conduit->send(carrier.outgoing);
      carrier.outgoing.clear();
    }
  }

  // --- inward ---

  void receive_outer(std::uint32_t number) {
    PacketConduit* const conduit = carriers[number].conduit.get();
    conduit->receive([weak = weak_from_this(), number, conduit](std::error_code error, std::span<Datagram> datagrams) {
      const auto self = weak.lock();
      if (!self || self->closed || self->carriers[number].conduit.get() != conduit) return;
      if (error) return self->end(number, error);
      self->open(number, datagrams);
      if (!self->closed && self->carriers[number].conduit.get() == conduit) self->receive_outer(number);
    });
  }

  void open(std::uint32_t number, std::span<Datagram> datagrams) {
    opening.clear();
    for (Datagram& datagram : datagrams) {
      if (take(number, datagram)) opening.push_back({.payload = std::move(datagram.payload), .peer = {}});
    }
    if (!opening.empty()) inner->send(opening);
  }

  bool take(std::uint32_t number, Datagram& datagram) {
    if (carriers[number].kind == Carrier::kUdp && !is_esp(number, datagram)) return false;
    const IpAddress* const source = datagram.peer.address();
    const esp::Outer outer{.source = source == nullptr ? IpAddress() : *source,
                           .destination = carriers[number].local,
                           .traffic_class = datagram.traffic_class};
    esp::Opened opened;
    ip::Header header;
    esp::Child* child = nullptr;
    const esp::Drop drop = database.open(datagram.payload, outer, opened, header, child);
    if (child == nullptr) counters.drops.add(drop);
    // Also when what was in it cannot be taken: it is authentic all the same.
    if (child != nullptr && opened.newest) note_source(*child, number, datagram.peer);
    if (drop != esp::Drop::kNone) return false;
    if (options.clamp_mss && child->path.mtu != 0) ip::clamp_mss(datagram.payload.span(), header, child->path.mtu);
    ++counters.packets_in;
    counters.bytes_in += datagram.payload.size();
    return true;
  }

  bool is_esp(std::uint32_t number, Datagram& datagram) {
    switch (esp::classify(std::as_const(datagram.payload).span())) {
      case esp::Encapsulated::kEsp:
        return true;
      case esp::Encapsulated::kKeepalive:
        return false;
      case esp::Encapsulated::kIke:
        if (other) {
          other(number, datagram);
          return false;
        }
        break;
      case esp::Encapsulated::kMalformed:
        break;
    }
    ++counters.not_esp;
    return false;
  }

  // Only an authentic packet with the highest sequence number so far comes here.
  void note_source(esp::Child& child, std::uint32_t number, const Destination& source) {
    esp::Path& path = child.path;
    const IpAddress* address = source.address();
    if (address == nullptr || (path.peer && !path.follow_peer)) return;
    const Endpoint from{*address, source.port};
    if (path.peer == from && path.carrier == number) return;
    if (path.peer) ++counters.moves;
    path.peer = from;
    path.carrier = number;
  }

  // --- time ---

  void arm_keepalive() {
    if (options.keepalive == Duration::zero()) return;
    const TimePoint now = environment.clock.now();
    TimePoint next = now + options.keepalive;
    database.for_each([&](esp::Child& child) {
      esp::Path& path = child.path;
      const bool over_udp = path.carrier < carriers.size() && carriers[path.carrier].kind == Carrier::kUdp;
      if (!path.peer || !over_udp || !carriers[path.carrier].conduit) return;
      if (now >= path.last_sent + options.keepalive) {
        Datagram keepalive{.payload = Buffer(1), .peer = Destination(*path.peer, Network::kUdp)};
        *keepalive.payload.append(1) = esp::kNatKeepalive;
        carriers[path.carrier].conduit->send(std::span(&keepalive, 1));
        path.last_sent = now;
      }
      next = std::min(next, path.last_sent + options.keepalive);
    });
    timer->arm(next, [this] { arm_keepalive(); });
  }

  void end(std::uint32_t number, std::error_code error) {
    FailHandler on_end = std::move(carriers[number].on_end);
    if (!on_end) return fail(error);
    remove(number);
    on_end(error);
  }

  void remove(std::uint32_t number) {
    carriers[number].outgoing.clear();
    carriers[number].on_end = nullptr;
    if (const ConduitPtr conduit = std::exchange(carriers[number].conduit, nullptr)) {
      carriers_dropped += conduit->dropped();
      conduit->close();
    }
  }

  void fail(std::error_code error) {
    close();
    if (auto handler = std::exchange(on_fail, nullptr)) handler(error);
  }

  void close() {
    if (std::exchange(closed, true)) return;
    timer->disarm();
    inner->close();
    for (CarrierState& carrier : carriers) {
      if (carrier.conduit) carrier.conduit->close();
    }
  }

  Environment& environment;
  ConduitPtr inner;
  std::vector<CarrierState> carriers;  // a removed one leaves its place empty, so that numbers stay
  esp::Database database;
  DataPlaneOptions options;
  TimerPtr timer;
  FailHandler on_fail;
  OtherHandler other;
  Counters counters;
  std::uint64_t carriers_dropped = 0;  // by those that have ended
  std::optional<TimePoint> batch_now;
  TimePoint too_big_since{};
  std::uint32_t too_big_left;
  std::vector<Datagram> opening;  // kept from batch to batch
  bool closed = false;
};

DataPlane::DataPlane(Environment& environment, ConduitPtr inner, const DataPlaneOptions& options, FailHandler on_fail)
    : state_(std::make_shared<State>(environment, std::move(inner), options, std::move(on_fail))) {
  state_->start();
}

DataPlane::~DataPlane() { state_->close(); }

std::uint32_t DataPlane::add_carrier(Carrier kind, ConduitPtr conduit, const IpAddress& local, FailHandler on_end) {
  conduit->reserve(kRoom + state_->inner->overhead());
  state_->inner->reserve(kRoom + conduit->overhead());
  auto& carriers = state_->carriers;
  auto place = std::ranges::find_if(carriers, [](const CarrierState& c) { return c.conduit == nullptr; });
  if (place == carriers.end()) place = carriers.insert(place, CarrierState{});
  place->kind = kind;
  place->conduit = std::move(conduit);
  place->local = local;
  place->on_end = std::move(on_end);
  const auto number = static_cast<std::uint32_t>(place - carriers.begin());
  state_->receive_outer(number);
  return number;
}

void DataPlane::remove_carrier(std::uint32_t carrier) { state_->remove(carrier); }

void DataPlane::on_other(OtherHandler handler) { state_->other = std::move(handler); }

void DataPlane::send(std::uint32_t carrier, Datagram datagram) {
  const ConduitPtr& conduit = state_->carriers[carrier].conduit;
  if (conduit) conduit->send(std::span(&datagram, 1));
}

esp::Database& DataPlane::database() { return state_->database; }

DataPlane::Counters DataPlane::counters() const {
  Counters out = state_->counters;
  out.inner_dropped = state_->inner->dropped();
  out.outer_dropped = state_->carriers_dropped;
  for (const CarrierState& carrier : state_->carriers) {
    if (carrier.conduit) out.outer_dropped += carrier.conduit->dropped();
  }
  return out;
}

}  // namespace winze::tunnel
