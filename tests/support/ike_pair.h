// Two IKE engines on one virtual clock, with a network between them that a test can bend, and ESP SAs that are made and
// taken away as the events say, so that it shows what a rekey does to traffic.
//
//   IkePair pair(seed);
//   const SaId sa = pair.connect();
//   pair.a.engine.rekey(pair.now, sa);
//   pair.run(5s);
//   CHECK(pair.traffic_flows());
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <variant>
#include <vector>

#include "winze/proto/esp/sa.h"
#include "winze/proto/esp/udp_encap.h"
#include "winze/proto/ike/engine.h"

namespace winze::test {

class IkeEnd {
 public:
  IkeEnd(std::uint64_t seed, ike::EngineOptions options, Endpoint at, Endpoint floated_at)
      : random(seed), engine(std::move(options), random), plain(at), floated(floated_at) {}

  SeededRandom random;
  ike::Engine engine;
  Endpoint plain, floated;  // ports 500 and 4500
  std::vector<ike::Event> events;
  std::function<void(const ike::Event&)> on_event;  // questions are answered here

  // --- The data plane.
  struct Child {
    ike::SaId sa{};
    ike::ChildUp up;
    std::optional<esp::OutboundSa> outbound;
  };
  std::map<ike::ChildId, Child> children;
  std::map<std::uint32_t, std::pair<ike::ChildId, esp::InboundSa>> inbound;
  std::uint64_t delivered = 0;  // inner packets
  std::uint64_t unknown_spi = 0, refused = 0;

  void apply(const ike::Event& event) {
    using namespace ike;
    if (const auto* up = std::get_if<ChildUp>(&event)) {
      Child& child = children[up->child];
      child.sa = up->sa;
      child.up = *up;
      child.outbound.emplace(*esp::OutboundSa::create(up->outbound, random));
      add_inbound(up->child, up->inbound);
    } else if (const auto* added = std::get_if<ChildInbound>(&event)) {
      add_inbound(added->child, added->inbound);
    } else if (const auto* next = std::get_if<ChildOutbound>(&event)) {
      children.at(next->child).outbound.emplace(*esp::OutboundSa::create(next->outbound, random));
    } else if (const auto* gone = std::get_if<ChildInboundGone>(&event)) {
      inbound.erase(gone->spi);
    } else if (const auto* down = std::get_if<ChildDown>(&event)) {
      children.erase(down->child);
      std::erase_if(inbound, [&](const auto& entry) { return entry.second.first == down->child; });
    }
  }

  template <typename T>
  std::size_t count() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(events, [](const ike::Event& e) { return std::holds_alternative<T>(e); }));
  }
  template <typename T>
  const T* last() const {
    const T* found = nullptr;
    for (const ike::Event& event : events) {
      if (const T* of = std::get_if<T>(&event)) found = of;
    }
    return found;
  }

 private:
  void add_inbound(ike::ChildId child, const esp::SaConfig& config) {
    inbound.emplace(config.spi, std::pair(child, *esp::InboundSa::create(config)));
  }
};

class IkePair {
 public:
  // What the network does with a datagram.
  struct Fate {
    unsigned copies = 1;
    Duration extra{0};
    std::optional<std::size_t> damaged;  // the byte that arrives as another
  };
  using Bend = std::function<Fate(bool from_a, const Buffer& datagram)>;

  explicit IkePair(std::uint64_t seed, ike::EngineOptions for_a = {}, ike::EngineOptions for_b = {})
      : a(seed * 2 + 1, with_default(std::move(for_a)), {*IpAddress::parse("192.0.2.1"), 500},
          {*IpAddress::parse("192.0.2.1"), 4500}),
        b(seed * 2 + 2, with_default(std::move(for_b)), {*IpAddress::parse("192.0.2.2"), 500},
          {*IpAddress::parse("192.0.2.2"), 4500}),
        net(seed * 2 + 3) {}

  static ike::Connection connection(bool of_a) {
    ike::Connection c;
    c.name = of_a ? "a" : "b";
    c.local.id = ike::Identity::parse(of_a ? "a.test" : "b.test");
    c.remote.id = ike::IdentityPattern(of_a ? "b.test" : "a.test");
    c.local.psk = c.remote.psk = Secret(std::string_view("a secret of both"));
    c.children = {std::make_shared<ike::ChildConfig>(child(of_a))};
    return c;
  }
  static ike::ChildConfig child(bool of_a) {
    ike::ChildConfig config;
    config.name = "net";
    config.local = {{*ip::Selector::parse(of_a ? "10.1.0.0/16" : "10.2.0.0/16")}};
    config.remote = {{*ip::Selector::parse(of_a ? "10.2.0.0/16" : "10.1.0.0/16")}};
    return config;
  }
  static ike::ConnectionPtr share(ike::Connection c) { return std::make_shared<const ike::Connection>(std::move(c)); }

  ike::Route route() const {
    return {{a.plain, b.plain, 1, false, false}, ike::Path{a.floated, b.floated, 2, true, false}};
  }
  // The SA of both ends, once it is up; the ends' own connections where none is given.
  ike::SaId connect(ike::ConnectionPtr of_a = nullptr, ike::ConnectionPtr of_b = nullptr) {
    if (!of_a) of_a = share(connection(true));
    if (!of_b) of_b = share(connection(false));
    b.engine.set_connections({of_b});
    const ike::SaId sa = a.engine.initiate(now, of_a, route());
    drain();
    run(Duration(std::chrono::seconds(1)));
    return sa;
  }

  // Moves everything that is due now, and what the network then brings, until `time` has passed.
  void run(Duration time) {
    const TimePoint end = now + time;
    drain();
    for (;;) {
      TimePoint next = std::min(a.engine.deadline(), b.engine.deadline());
      if (!flights_.empty()) next = std::min(next, flights_.begin()->first);
      if (next > end) break;
      now = std::max(now, next);
      step();
    }
    now = end;
    drain();
  }

  void drain() {
    drain(a, true);
    drain(b, false);
  }

  // --- Traffic: one packet from one end; whether it could be sealed. One that could not is lost.
  bool send_packet(bool from_a) {
    const bool sealed = seal_and_send(from_a);
    if (!sealed) ++unsent_packets;
    return sealed;
  }
  // A packet each way arrives.
  bool traffic_flows() {
    const Bend kept = std::move(bend);
    bend = nullptr;
    const std::uint64_t before_a = a.delivered, before_b = b.delivered;
    const bool sealed = send_packet(true) && send_packet(false);
    run(Duration(std::chrono::milliseconds(200)));
    bend = kept;
    return sealed && a.delivered == before_a + 1 && b.delivered == before_b + 1;
  }
  std::uint64_t lost_to_rekeying() const {
    return unsent_packets + a.unknown_spi + b.unknown_spi + a.refused + b.refused;
  }

  TimePoint now{std::chrono::hours(1)};
  IkeEnd a, b;
  SeededRandom net;
  Bend bend;                                   // of IKE messages
  Bend bend_esp;                               // of ESP packets
  std::function<bool(const ike::Path&)> open;  // whether IKE messages arrive by this path, as its sender sees it
  Duration delay{std::chrono::milliseconds(10)};
  // The addresses as the other end sees them, where they differ: a NAT.
  std::function<Endpoint(Endpoint)> translate;
  // Where it arrives what is sent to an address: behind a NAT that brings it on.
  std::function<Endpoint(Endpoint)> bring_on;
  std::uint64_t sent_packets = 0, unsent_packets = 0, lost_packets = 0;
  std::uint64_t wakes = 0;

 private:
  struct Flight {
    bool from_a;
    ike::Path path;
    Buffer datagram;
    bool esp;
  };

  static ike::EngineOptions with_default(ike::EngineOptions options) { return options; }

  bool seal_and_send(bool from_a) {
    IkeEnd& end = from_a ? a : b;
    // Of two children for the same traffic, while one takes the place of the other: who made the new one uses it.
    const auto order = [&](auto use) {
      if (from_a) return std::any_of(end.children.rbegin(), end.children.rend(), use);
      return std::any_of(end.children.begin(), end.children.end(), use);
    };
    return order([&](auto& entry) {
      auto& child = entry.second;
      if (!child.outbound) return false;
      Buffer packet(256, 64);
      std::uint8_t* const inner = packet.append(40);
      std::fill_n(inner, 40, std::uint8_t{0});
      inner[0] = 0x45;
      if (child.outbound->seal(packet, esp::kNextHeaderV4) != esp::Drop::kNone) return false;
      ++sent_packets;
      fly(from_a, {}, std::move(packet), true);
      return true;
    });
  }

  void drain(IkeEnd& end, bool of_a) {
    while (auto out = end.engine.next_transmit()) fly(of_a, out->path, std::move(out->datagram), false);
    while (auto event = end.engine.next_event()) {
      end.apply(*event);
      end.events.push_back(std::move(*event));
      if (end.on_event) end.on_event(end.events.back());
      while (auto out = end.engine.next_transmit()) fly(of_a, out->path, std::move(out->datagram), false);
    }
  }

  void fly(bool from_a, const ike::Path& path, Buffer datagram, bool esp) {
    Fate fate;
    if (const Bend& rule = esp ? bend_esp : bend) fate = rule(from_a, datagram);
    if (!esp && open && !open(path)) fate.copies = 0;
    if (fate.copies == 0 && esp) ++lost_packets;
    for (unsigned i = 0; i < fate.copies; ++i) {
      Buffer copy = Buffer::copy_of(datagram.span(), {64, 64});
      if (fate.damaged && *fate.damaged < copy.size()) copy.data()[*fate.damaged] ^= 0x10;
      flights_.emplace(now + delay + fate.extra, Flight{from_a, path, std::move(copy), esp});
    }
  }

  void step() {
    while (!flights_.empty() && flights_.begin()->first <= now) {
      Flight flight = std::move(flights_.begin()->second);
      flights_.erase(flights_.begin());
      arrive(flight);
      drain();
    }
    for (IkeEnd* const end : {&a, &b}) {
      if (end->engine.deadline() > now) continue;
      ++wakes;
      end->engine.on_deadline(now);
      drain();
    }
  }

  void arrive(Flight& flight) {
    IkeEnd& to = flight.from_a ? b : a;
    if (flight.esp) return arrive_esp(to, flight.datagram);
    ike::Path path = flight.path;
    const Endpoint source = translate ? translate(path.local) : path.local;
    path.local = bring_on ? bring_on(path.remote) : path.remote;
    path.remote = source;
    // A keepalive ends at the socket.
    if (flight.datagram.size() == 1) return;
    to.engine.receive(now, path, std::move(flight.datagram));
  }

  static void arrive_esp(IkeEnd& to, Buffer& packet) {
    const auto found = to.inbound.find(load_u32(packet.data()));
    if (found == to.inbound.end()) {
      ++to.unknown_spi;
      return;
    }
    if (found->second.second.open(packet).drop == esp::Drop::kNone) {
      ++to.delivered;
    } else {
      ++to.refused;
    }
  }

  std::multimap<TimePoint, Flight> flights_;
};

}  // namespace winze::test
