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
  trip.opened = to.database.open(packet, outer, opened, inner, trip.child);
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
  CHECK(far.database.open(packet, outer, opened, inner, child) == Drop::kSelectorMismatch);
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

TEST_CASE("database: a child without an outbound SA") {
  End near, far;
  near.database.add({});
  CHECK(travel(near, far, packet_of("10.0.0.1", "10.1.0.1")).sealed == Drop::kNoPolicy);
}

}  // namespace
}  // namespace winze::esp
