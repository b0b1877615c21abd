#include "winze/proto/esp/database.h"

#include <doctest/doctest.h>

#include <vector>

#include "support/vectors.h"

namespace winze::esp {
namespace {

ip::Selector of(const char* text) { return *ip::Selector::parse(text); }

SaConfig config_of(std::uint32_t spi) { return {.spi = spi, .algorithms = {.encryption_key = Secret(20)}}; }

// One end; `here` and `there` are the inner networks.
struct End {
  SeededRandom random{1};
  Database database;

  Child& add(const char* here, const char* there, std::uint32_t out, std::uint32_t in, std::uint32_t order = 0) {
    Child& child = database.add({.selectors = {.local = {of(here)}, .remote = {of(there)}}, .order = order});
    child.set_outbound(*OutboundSa::create(config_of(out), random));
    CHECK(database.add_inbound(child, *InboundSa::create(config_of(in))));
    return child;
  }
};

Buffer packet_of(const char* from, const char* to, std::uint16_t port = 2000) {
  Buffer packet = Buffer::copy_of(test::unhex("03e80000000c0000616263ff"), {.front = 64, .back = 64});
  store_u16(packet.data() + 2, port);
  REQUIRE(ip::prepend_header(
      packet, {.source = *IpAddress::parse(from), .destination = *IpAddress::parse(to), .protocol = ip::kUdp}));
  return packet;
}

struct Trip {
  Drop sealed = Drop::kNone, opened = Drop::kNone;
  Child* child = nullptr;
};

Trip travel(End& from, End& to, Buffer packet) {
  Trip trip;
  const auto header = *ip::parse(packet.span());
  Child* const child = from.database.select(ip::flow_of(packet.span(), header), trip.sealed);
  if (child == nullptr) return trip;
  Outer outer;
  trip.sealed = child->seal(packet, header, outer);
  if (trip.sealed != Drop::kNone) return trip;
  Opened opened;
  ip::Header inner;
  trip.opened = to.database.open(packet, outer, TimePoint{}, opened, inner, trip.child);
  CHECK(opened.drop == (trip.child == nullptr ? Drop::kNone : trip.opened));
  return trip;
}

TEST_CASE("database: packets find their child, and are held to its selectors") {
  End near, far;
  near.add("10.0.0.0/16", "10.1.0.0/16", 0x1000, 0x2000);
  Child& web = near.add("10.0.0.0/16", "10.1.0.0/16[udp/80]", 0x1001, 0x2001, 0);
  near.database.discard({.local = {of("0.0.0.0/0")}, .remote = {of("10.1.9.9")}}, 0);
  Child& all = far.add("10.1.0.0/16", "10.0.0.0/16", 0x2000, 0x1000);
  far.add("10.1.0.0/16[udp/80]", "10.0.0.1", 0x2001, 0x1001);

  Trip trip = travel(near, far, packet_of("10.0.0.1", "10.1.0.1"));
  CHECK(trip.opened == Drop::kNone);
  CHECK(trip.child == &all);
  CHECK(travel(near, far, packet_of("10.2.0.1", "10.1.0.1")).sealed == Drop::kNoPolicy);
  CHECK(travel(near, far, packet_of("10.2.0.1", "10.1.9.9")).sealed == Drop::kDiscarded);

  // The other end may send what its selectors allow; ours do not.
  Buffer packet = packet_of("10.0.0.2", "10.1.0.1", 80);
  Outer outer;
  REQUIRE(web.seal(packet, *ip::parse(packet.span()), outer) == Drop::kNone);
  Opened opened;
  ip::Header inner;
  Child* child = nullptr;
  CHECK(far.database.open(packet, outer, TimePoint{}, opened, inner, child) == Drop::kSelectorMismatch);
  CHECK(far.database.inbound(0x1001)->drops()[Drop::kSelectorMismatch] == 1);
}

TEST_CASE("database: a rekey makes before it breaks") {
  End near, far;
  Child& child = near.add("0.0.0.0/0", "0.0.0.0/0", 0x1000, 0x2000);
  Child& other = far.add("0.0.0.0/0", "0.0.0.0/0", 0x2000, 0x1000);
  const auto passes = [&] { return travel(near, far, packet_of("10.0.0.1", "10.1.0.1")).opened; };
  CHECK(passes() == Drop::kNone);
  CHECK(far.database.add_inbound(other, *InboundSa::create(config_of(0x1001))));
  CHECK_FALSE(far.database.add_inbound(other, *InboundSa::create(config_of(0x1000))));
  CHECK(far.database.inbound_of(other) == std::vector<std::uint32_t>{0x1000, 0x1001});
  CHECK(passes() == Drop::kNone);
  child.set_outbound(*OutboundSa::create(config_of(0x1001), near.random));
  CHECK(passes() == Drop::kNone);
  CHECK(far.database.remove_inbound(0x1000));
  CHECK_FALSE(far.database.remove_inbound(0x1000));
  CHECK(passes() == Drop::kNone);
  child.set_outbound(*OutboundSa::create(config_of(0x1000), near.random));
  CHECK(passes() == Drop::kUnknownSpi);
  far.database.remove(other);
  CHECK(far.database.inbound_count() == 0);
  CHECK(far.database.children() == 0);
}

// A long datagram in pieces, as hosts send it.
std::vector<Buffer> pieces_of(bool v6, std::uint16_t port) {
  Buffer packet(3200, 64);
  packet.append(test::unhex("03e80000089c0000"));
  packet.append(std::string(2196, 'p'));
  store_u16(packet.data() + 2, port);
  REQUIRE(ip::prepend_header(packet, {.source = *IpAddress::parse(v6 ? "fd00::1" : "10.0.0.1"),
                                      .destination = *IpAddress::parse(v6 ? "fd00:1::1" : "10.1.0.1"),
                                      .protocol = ip::kUdp,
                                      .dont_fragment = false,
                                      .identification = 77}));
  ip::Header header = *ip::parse(packet.span());
  header.dont_fragment = false;
  header.identification = 77;
  std::vector<Buffer> out;
  REQUIRE(ip::fragment(std::move(packet), header, 1280, {.front = 64, .back = 64}, out));
  REQUIRE(out.size() == 2);
  return out;
}

TEST_CASE("database: fragments are joined where policies ask for ports, both ways") {
  for (const bool v6 : {false, true}) {
    CAPTURE(v6);
    const char* const here = v6 ? "fd00::/64" : "10.0.0.0/16";
    const std::string there = v6 ? "fd00:1::/64" : "10.1.0.0/16";
    End near, far;
    near.add(here, (there + "[udp/80]").c_str(), 0x1000, 0x2000);
    Child& child = far.add((there + "[udp/80]").c_str(), here, 0x2000, 0x1000);
    for (const std::uint16_t port : {80, 81}) {
      auto pieces = pieces_of(v6, port);
      Drop why = Drop::kNone;
      ip::Header header = *ip::parse(pieces[1].span());
      CHECK(near.database.select(pieces[1], header, TimePoint{}, {}, why) == nullptr);
      CHECK(why == Drop::kHeld);
      header = *ip::parse(pieces[0].span());
      Child* const from = near.database.select(pieces[0], header, TimePoint{}, {.front = 64, .back = 64}, why);
      CHECK((from != nullptr) == (port == 80));
      if (port == 81) CHECK(why == Drop::kNoPolicy);
      // It may be cut again, also when it is IPv6.
      CHECK(pieces[0].size() == (v6 ? 40 : 20) + 2204);
      std::vector<Buffer> again;
      CHECK(ip::fragment(std::move(pieces[0]), header, 1280, {.front = 64, .back = 64}, again));
      CHECK(again.size() == 2);
    }
    // A peer that sends the pieces through its SA.
    for (const std::uint16_t port : {80, 81}) {
      auto pieces = pieces_of(v6, port);
      Drop last = Drop::kNone;
      for (Buffer& piece : pieces) {
        Outer outer;
        auto& sa = *near.database.select({.source = *IpAddress::parse(v6 ? "fd00::1" : "10.0.0.1"),
                                          .destination = *IpAddress::parse(v6 ? "fd00:1::1" : "10.1.0.1"),
                                          .protocol = ip::kUdp,
                                          .ports_known = true,
                                          .destination_port = 80},
                                         last);
        REQUIRE(sa.seal(piece, *ip::parse(piece.span()), outer) == Drop::kNone);
        Opened opened;
        ip::Header inner;
        Child* whose = nullptr;
        last = far.database.open(piece, outer, TimePoint{}, opened, inner, whose);
        CHECK(whose == &child);
        if (&piece == &pieces[0]) CHECK(last == Drop::kHeld);
        if (last == Drop::kNone) CHECK(inner.size == (v6 ? 40 : 20) + 2204);
      }
      CHECK(last == (port == 80 ? Drop::kNone : Drop::kSelectorMismatch));
    }
    const DropCounters& drops = far.database.inbound(0x1000)->drops();
    CHECK(drops[Drop::kHeld] == 2);
    CHECK(drops.total() == 1);
    CHECK(far.database.fragments().held_bytes() == 0);
  }
}

TEST_CASE("database: fragments of two children are never joined, and those of no selector not held") {
  End near, far;
  Child& one = near.add("10.0.0.0/16", "10.1.0.0/16[udp/80]", 0x1000, 0x2000);
  Child& two = near.add("10.0.0.0/16", "10.1.0.0/16[udp/80]", 0x1001, 0x2001);
  Child& narrow = near.add("10.0.0.0/16", "10.1.0.0/16[udp/80]", 0x1002, 0x2002);
  far.add("10.1.0.0/16[udp/80]", "10.0.0.0/16", 0x2000, 0x1000);
  far.add("10.1.0.0/16[udp/80]", "10.0.0.0/16", 0x2001, 0x1001);
  far.add("10.1.0.0/16[udp/80]", "10.9.0.0/16", 0x2002, 0x1002);
  auto pieces = pieces_of(false, 80);
  pieces.push_back(Buffer::copy_of(std::as_const(pieces[1]).span(), {.front = 64, .back = 64}));
  std::vector<Drop> drops;
  for (auto& [child, piece] : {std::pair(&one, &pieces[0]), {&two, &pieces[1]}, {&narrow, &pieces[2]}}) {
    Outer outer;
    REQUIRE(child->seal(*piece, *ip::parse(piece->span()), outer) == Drop::kNone);
    Opened opened;
    ip::Header inner;
    Child* whose = nullptr;
    drops.push_back(far.database.open(*piece, outer, TimePoint{}, opened, inner, whose));
  }
  CHECK(drops == std::vector<Drop>{Drop::kHeld, Drop::kHeld, Drop::kSelectorMismatch});
}

TEST_CASE("database: a child without an outbound SA") {
  End near, far;
  near.database.add({});
  CHECK(travel(near, far, packet_of("10.0.0.1", "10.1.0.1")).sealed == Drop::kNoPolicy);
}

}  // namespace
}  // namespace winze::esp
