#include "winze/tunnel/data_plane.h"

#include <algorithm>
#include <asio/post.hpp>
#include <utility>
#include <vector>

#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/esp/udp_encap.h"
#include "winze/proto/ip/fragment.h"
#include "winze/proto/ip/icmp.h"
#include "winze/proto/ip/tcp_mss.h"

namespace winze::tunnel {
namespace {

// Room around inner packets for any SA and outer header.
constexpr Overhead kRoom{.front = 64, .back = 64};

// A number is a place, and how many carriers stood there before: so one never names another carrier than it did.
constexpr std::uint32_t kPlaces = 1 << 16;

// What hosts are asked to take as one packet, and more than RFC 791's 68: a forger gains less.
constexpr std::size_t kLeastV4PathMtu = 576;
constexpr Duration kPathMtuLifetime = std::chrono::minutes(10);
constexpr Duration kLongestTick = std::chrono::seconds(20);

struct RateLimit {
  std::uint32_t per_second = 100;
  TimePoint since{};
  std::uint32_t spent = 0;

  bool allows(TimePoint now) {
    if (now - since >= std::chrono::seconds(1)) {
      since = now;
      spent = 0;
    }
    return spent < per_second && ++spent != 0;
  }
};

struct CarrierState {
  std::uint32_t number;
  DataPlane::Carrier kind;
  ConduitPtr conduit;
  IpAddress local;
  DataPlane::FailHandler on_end;
  std::vector<Datagram> outgoing;  // kept from batch to batch
  bool proved = false;
};

}  // namespace

struct DataPlane::State : std::enable_shared_from_this<State> {
  State(Environment& env, ConduitPtr inner_conduit, const DataPlaneOptions& plane_options, FailHandler fail)
      : environment(env),
        inner(std::move(inner_conduit)),
        options(plane_options),
        timer(env.clock.make_timer()),
        on_fail(std::move(fail)),
        told{.per_second = plane_options.too_big_per_second} {
    inner->reserve(kRoom);  // and what a carrier adds
  }

  void start() {
    receive_inner();
    tick();
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
    auto header = ip::parse(packet.span());
    if (!header) return counters.drops.add(esp::Drop::kMalformed);
    esp::Drop why = esp::Drop::kNone;
    esp::Child* const child = database.select(packet, *header, now_of_batch(), kRoom, why);
    if (child == nullptr) {
      if (why == esp::Drop::kNoPolicy && stranded) stranded(ip::flow_of(packet.span(), *header));
      return counters.drops.add(why);
    }
    const std::size_t mtu = child->path.least_mtu();
    if (mtu != 0) {
      if (options.clamp_mss) ip::clamp_mss(packet.span(), *header, mtu);
      if (header->size > mtu && !(header->v6 && header->size <= ip::kIpv6MinimumMtu)) {
        return send_too_big(*child, packet, *header);
      }
    }
    seal(*child, packet, *header);
  }

  // Fragments where the sender allows it, and tells it where not.
  void send_too_big(esp::Child& child, Buffer& packet, const ip::Header& header) {
    if (!header.dont_fragment) {
      std::vector<Buffer> pieces;
      (void)ip::fragment(std::move(packet), header, told_mtu(child, header), kRoom, pieces);
      for (Buffer& piece : pieces) seal(child, piece, *ip::parse(piece.span()));
      return;
    }
    counters.drops.add(esp::Drop::kTooBig);
    const IpAddress from = ip::destination_of(packet.span());
    if (!told.allows(now_of_batch()) || !ip::make_packet_too_big(packet, told_mtu(child, header), from)) return;
    Datagram reply{.payload = std::move(packet), .peer = {}};
    inner->send(std::span(&reply, 1));
  }

  // Every IPv6 path takes 1280 bytes (RFC 8200 section 5), so this one must: what does not fit is cut outside.
  static std::size_t told_mtu(const esp::Child& child, const ip::Header& header) {
    const std::size_t mtu = child.path.least_mtu();
    return header.v6 ? std::max(mtu, ip::kIpv6MinimumMtu) : mtu;
  }

  void seal(esp::Child& child, Buffer& packet, const ip::Header& header) {
    CarrierState* const carrier = carrier_of(child.path.carrier);
    if (!child.path.peer || carrier == nullptr) {
      ++counters.no_peer;
      return;
    }
    const std::size_t size = header.size, mtu = child.path.least_mtu();
    esp::Outer outer;
    const esp::Drop drop = child.seal(packet, header, outer);
    if (drop == esp::Drop::kNoPolicy) counters.drops.add(drop);  // the SAs count the others
    if (drop != esp::Drop::kNone) return;
    ++counters.packets_out;
    counters.bytes_out += size;
    child.path.last_sent = now_of_batch();
    carrier->outgoing.push_back({.payload = std::move(packet),
                                 .peer = Destination(*child.path.peer, Network::kUdp),
                                 .traffic_class = outer.traffic_class,
                                 .local = child.path.local,
                                 .may_be_cut = mtu != 0 && size > mtu});
    note_age(*child.outbound(), false, now_of_batch());
  }

  // Null when it has ended.
  CarrierState* carrier_of(std::uint32_t number) {
    const std::uint32_t place = number % kPlaces;
    if (place >= carriers.size() || carriers[place].number != number || !carriers[place].conduit) return nullptr;
    return &carriers[place];
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
    carrier_of(number)->conduit->receive(
        [weak = weak_from_this(), number](std::error_code error, std::span<Datagram> datagrams) {
          const auto self = weak.lock();
          if (!self || self->closed || self->carrier_of(number) == nullptr) return;
          if (error) return self->end(number, error);
          self->open(number, datagrams);
          if (!self->closed && self->carrier_of(number) != nullptr) self->receive_outer(number);
        });
  }

  void open(std::uint32_t number, std::span<Datagram> datagrams) {
    opening.clear();
    batch_now.reset();
    for (Datagram& datagram : datagrams) {
      // A message for somebody else may end the carrier.
      CarrierState* const carrier = carrier_of(number);
      if (carrier == nullptr) break;
      if (take(*carrier, datagram)) opening.push_back({.payload = std::move(datagram.payload), .peer = {}});
    }
    if (!opening.empty()) inner->send(opening);
  }

  bool take(CarrierState& carrier, Datagram& datagram) {
    if (carrier.kind != Carrier::kRaw && !is_esp(carrier.number, datagram)) return false;
    const IpAddress* const source = datagram.peer.address();
    const esp::Outer outer{.source = source == nullptr ? IpAddress() : *source,
                           .destination = datagram.local.is_unspecified() ? carrier.local : datagram.local,
                           .traffic_class = datagram.traffic_class};
    esp::Opened opened;
    ip::Header header;
    esp::Child* child = nullptr;
    const std::uint32_t spi = datagram.payload.size() < 4 ? 0 : load_u32(datagram.payload.data());
    const esp::Drop drop = database.open(datagram.payload, outer, now_of_batch(), opened, header, child);
    if (child == nullptr) {
      if (drop == esp::Drop::kUnknownSpi && stray && stray(spi, datagram)) return false;
      counters.drops.add(drop);
    }
    // Also when what was in it cannot be taken: it is authentic all the same.
    if (child != nullptr && opened.newest) {
      carrier.proved = true;
      child->path.last_heard = now_of_batch();
      note_age(*database.inbound(spi), true, now_of_batch());
      note_source(*child, carrier.number, datagram);
    }
    if (drop != esp::Drop::kNone) return false;
    const std::size_t mtu = child->path.least_mtu();
    if (options.clamp_mss && mtu != 0) ip::clamp_mss(datagram.payload.span(), header, mtu);
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
  void note_source(esp::Child& child, std::uint32_t number, const Datagram& datagram) {
    esp::Path& path = child.path;
    const IpAddress* address = datagram.peer.address();
    if (address == nullptr || (path.peer && !path.follow_peer)) return;
    path.local = datagram.local;
    const Endpoint from{*address, datagram.peer.port};
    if (path.peer == from && path.carrier == number) return;
    if (path.peer) ++counters.moves;
    path.peer = from;
    path.carrier = number;
    path.learnt_mtu = 0;
  }

  // --- path MTU ---

  // RFC 4301 section 6.1: a word from outside is believed about an SA of ours that it quotes, and no further down than
  // to what every path takes.
  void learn(std::uint32_t number, const TooBig& report) {
    const IpAddress* const peer = report.peer.address();
    const TimePoint now = environment.clock.now();
    if (peer == nullptr || !heard.allows(now)) return;
    const std::size_t path_mtu = std::max(report.mtu, peer->is_v6() ? ip::kIpv6MinimumMtu : kLeastV4PathMtu);
    bool ours = false;
    database.for_each([&](esp::Child& child) {
      const esp::OutboundSa* const sa = child.outbound();
      esp::Path& path = child.path;
      if (sa == nullptr || path.carrier != number || !path.peer || path.peer->address != *peer) return;
      if (!report.local && (report.quoted.size() < 4 || load_u32(report.quoted.data()) != sa->spi())) return;
      ours = true;
      const std::size_t mtu = esp::inner_mtu(*sa, child.how(), path_mtu);
      if (mtu == 0 || (path.least_mtu() != 0 && mtu >= path.least_mtu())) return;
      path.learnt_mtu = mtu;
      path.learnt_until = now + kPathMtuLifetime;
    });
    ++(ours ? counters.path_mtus : counters.path_mtus_refused);
  }

  // --- time ---

  // All children in one go, no more often than each second, however many there are.
  void tick() {
    const TimePoint now = environment.clock.now();
    TimePoint next = now + std::max(options.keepalive, kLongestTick);
    database.for_each([&](esp::Child& child) {
      esp::Path& path = child.path;
      if (path.learnt_mtu != 0 && now >= path.learnt_until) path.learnt_mtu = 0;
      next = std::min(next, keep_alive(path, now));
      if (esp::OutboundSa* const sa = child.outbound()) next = std::min(next, keep_time(*sa, false, now));
      for (const std::uint32_t spi : database.inbound_of(child)) {
        next = std::min(next, keep_time(*database.inbound(spi), true, now));
      }
    });
    timer->arm(std::max(next, now + std::chrono::seconds(1)), [this] { tick(); });
  }

  // When the next keepalive is due.
  TimePoint keep_alive(esp::Path& path, TimePoint now) {
    CarrierState* const carrier = carrier_of(path.carrier);
    if (options.keepalive == Duration::zero() || !path.peer || carrier == nullptr || carrier->kind != Carrier::kUdp) {
      return kNever;
    }
    if (now >= path.last_sent + options.keepalive) {
      Datagram keepalive{.payload = Buffer(1), .peer = Destination(*path.peer, Network::kUdp), .local = path.local};
      *keepalive.payload.append(1) = esp::kNatKeepalive;
      carrier->conduit->send(std::span(&keepalive, 1));
      path.last_sent = now;
    }
    return path.last_sent + options.keepalive;
  }

  // When the SA's age may change by time alone.
  template <typename Sa>
  TimePoint keep_time(Sa& sa, bool inbound, TimePoint now) {
    if (sa.age(now) == esp::SaAge::kHard) sa.expire();
    note_age(sa, inbound, now);
    return sa.age(now) == esp::SaAge::kHard ? kNever : sa.usage().deadline(now);
  }

  template <typename Sa>
  void note_age(Sa& sa, bool inbound, TimePoint now) {
    const auto age = sa.news(now);
    if (!age || !on_age) return;
    // Later, when nothing here is under way that the host might change.
    asio::post(environment.executor, [weak = weak_from_this(), spi = sa.spi(), inbound, age = *age] {
      const auto self = weak.lock();
      if (self && !self->closed && self->on_age) self->on_age(spi, inbound, age);
    });
  }

  void end(std::uint32_t number, std::error_code error) {
    FailHandler on_end = std::move(carrier_of(number)->on_end);
    if (!on_end) return fail(error);
    remove(number);
    on_end(error);
  }

  void remove(std::uint32_t number) {
    CarrierState* const carrier = carrier_of(number);
    if (carrier == nullptr) return;
    carrier->outgoing.clear();
    carrier->on_end = nullptr;
    const ConduitPtr conduit = std::move(carrier->conduit);
    carriers_dropped += conduit->dropped();
    conduit->close();
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
  StrayHandler stray;
  AgeHandler on_age;
  StrandedHandler stranded;
  Counters counters;
  std::uint64_t carriers_dropped = 0;  // by those that have ended
  std::optional<TimePoint> batch_now;
  RateLimit told, heard;          // of what does not fit: ICMP messages to the inside, and from the path
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
  if (place == carriers.end()) {
    place = carriers.insert(place, {.number = static_cast<std::uint32_t>(carriers.size())});
  } else {
    place->number += kPlaces;
  }
  place->kind = kind;
  place->proved = false;
  place->conduit = std::move(conduit);
  place->local = local;
  place->on_end = std::move(on_end);
  const std::uint32_t number = place->number;
  place->conduit->on_too_big([state = state_.get(), number](const TooBig& report) { state->learn(number, report); });
  state_->receive_outer(number);
  return number;
}

void DataPlane::remove_carrier(std::uint32_t carrier) { state_->remove(carrier); }

bool DataPlane::proved(std::uint32_t carrier) const {
  const CarrierState* const state = state_->carrier_of(carrier);
  return state != nullptr && state->proved;
}

void DataPlane::prove(std::uint32_t carrier) {
  if (CarrierState* const state = state_->carrier_of(carrier)) state->proved = true;
}

void DataPlane::on_other(OtherHandler handler) { state_->other = std::move(handler); }

void DataPlane::on_stray(StrayHandler handler) { state_->stray = std::move(handler); }

void DataPlane::on_age(AgeHandler handler) { state_->on_age = std::move(handler); }

void DataPlane::on_stranded(StrandedHandler handler) { state_->stranded = std::move(handler); }

void DataPlane::take(std::uint32_t carrier, std::span<Datagram> datagrams) { state_->open(carrier, datagrams); }

void DataPlane::send(std::uint32_t carrier, Datagram datagram) {
  CarrierState* const state = state_->carrier_of(carrier);
  if (state != nullptr) state->conduit->send(std::span(&datagram, 1));
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
