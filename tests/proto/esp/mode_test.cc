#include "winze/proto/esp/mode.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "support/vectors.h"
#include "winze/base/bytes.h"

namespace winze::esp {
namespace {

using test::Bytes;

IpAddress ip_of(const char* text) { return *IpAddress::parse(text); }

SaConfig config_of(std::uint16_t pad = 0) {
  return {.spi = 0x1234, .algorithms = {.encryption_key = Secret(20)}, .pad_payload_to = pad};
}

struct Pair {
  SeededRandom random{1};
  OutboundSa out;
  InboundSa in;

  explicit Pair(const SaConfig& config = config_of())
      : out(*OutboundSa::create(config, random)), in(*InboundSa::create(config)) {}
};

Buffer packet_of(const Bytes& bytes) { return Buffer::copy_of(bytes, {.front = 128, .back = 128}); }
std::string text(const Buffer& packet) { return test::hex(packet.span()); }
ip::Header header_of(const Buffer& packet) {
  const auto header = ip::parse(packet.span());
  REQUIRE(header);
  return *header;
}

// What each mode can carry of another maker's packets comes back as it was, in both forms.
TEST_CASE("esp modes: packets of others, both forms") {
  std::size_t carried = 0;
  for (const test::Vector& v : test::load_vectors("ip/packets.txt")) {
    for (const Mode mode : {Mode::kTunnel, Mode::kTransport, Mode::kBeet}) {
      for (const bool outer_v6 : {false, true}) {
        for (const std::uint16_t port : {0, 4500}) {
          CAPTURE(v.text("id"));
          CAPTURE(static_cast<int>(mode));
          CAPTURE(outer_v6);
          const Bytes original = v.bytes("packet");
          Buffer packet = packet_of(original);
          const ip::Header header = header_of(packet);
          Encapsulation how{.mode = mode,
                            .local = ip_of(outer_v6 ? "2001:db8:9::1" : "203.0.113.1"),
                            .remote = ip_of(outer_v6 ? "2001:db8:9::2" : "203.0.113.2"),
                            .inner_local = ip::source_of(original),
                            .inner_remote = ip::destination_of(original),
                            .local_port = port,
                            .remote_port = port};
          if (mode == Mode::kTransport) {
            how.local = how.inner_local;  // no outer header is made
            how.remote = how.inner_remote;
          }
          Encapsulation back = how;
          std::swap(back.local, back.remote);
          std::swap(back.inner_local, back.inner_remote);
          Pair pair;
          const Overhead room = overhead_of(pair.out, how);
          const std::uint8_t* const place = packet.data();
          const Drop drop = seal_packet(pair.out, how, packet, header);
          if (header.is_fragment() && mode != Mode::kTunnel) {
            CHECK(drop == Drop::kFragment);
            continue;
          }
          REQUIRE(drop == Drop::kNone);
          ++carried;
          CHECK(place - packet.data() <= static_cast<std::ptrdiff_t>(room.front));
          const ip::Header outer = header_of(packet);
          CHECK(outer.size == packet.size());
          CHECK(outer.protocol == (port != 0 ? ip::kUdp : kProtocol));
          CHECK(outer.traffic_class == header.traffic_class);
          if (mode != Mode::kTransport) {
            CHECK(ip::source_of(packet.span()) == how.local);
            CHECK(ip::destination_of(packet.span()) == how.remote);
          }
          if (port != 0 && outer.v6) {
            CHECK(ip::pseudo_checksum(ip::source_of(packet.span()), ip::destination_of(packet.span()), ip::kUdp,
                                      packet.span().subspan(outer.header_size)) == 0);
          }
          Opened opened;
          ip::Header inner;
          REQUIRE(open_packet(pair.in, back, packet, opened, inner) == Drop::kNone);
          CHECK(inner.size == packet.size());
          if (mode == Mode::kBeet) {
            // The header is made anew; its content and its options are the same.
            CHECK(inner.protocol == header.protocol);
            CHECK(ip::source_of(packet.span()) == how.inner_local);
            CHECK(test::hex(packet.span().subspan(header.v6 ? 40 : 20)) ==
                  test::hex(std::span<const std::uint8_t>(original).subspan(header.v6 ? 40 : 20)));
          } else {
            CHECK(text(packet) == v.text("packet"));
          }
        }
      }
    }
  }
  CHECK(carried > 100);
}

Bytes udp4(std::uint8_t traffic_class = 0, bool dont_fragment = false) {
  Buffer packet = Buffer::copy_of(test::unhex("03e807d0000c0000616263ff"), {.front = 20, .back = 0});
  REQUIRE(ip::prepend_header(packet, {.source = ip_of("10.0.0.1"),
                                      .destination = ip_of("10.1.0.1"),
                                      .protocol = ip::kUdp,
                                      .traffic_class = traffic_class,
                                      .dont_fragment = dont_fragment}));
  return {packet.data(), packet.data() + packet.size()};
}

Encapsulation tunnel4() { return {.local = ip_of("192.0.2.1"), .remote = ip_of("192.0.2.2")}; }

TEST_CASE("esp modes: DF, DSCP and ECN of the outer header") {
  for (const bool df : {false, true}) {
    for (const DfPolicy policy : {DfPolicy::kCopy, DfPolicy::kSet, DfPolicy::kClear}) {
      Pair pair;
      Encapsulation how = tunnel4();
      how.df = policy;
      how.dscp = 46;
      Buffer packet = packet_of(udp4(0x29, df));
      REQUIRE(seal_packet(pair.out, how, packet, header_of(packet)) == Drop::kNone);
      const ip::Header outer = header_of(packet);
      CHECK(outer.dont_fragment == (policy == DfPolicy::kCopy ? df : policy == DfPolicy::kSet));
      CHECK(outer.traffic_class == (46 << 2 | 1));
    }
  }
  // The path marks congestion.
  for (const std::uint8_t ecn : {ip::kNotEct, ip::kEct0}) {
    Pair pair;
    Buffer packet = packet_of(udp4(static_cast<std::uint8_t>(0xb8 | ecn)));
    REQUIRE(seal_packet(pair.out, tunnel4(), packet, header_of(packet)) == Drop::kNone);
    ip::set_traffic_class(packet.span(), ip::kCongestionExperienced);
    Opened opened;
    ip::Header inner;
    const Drop drop = open_packet(pair.in, tunnel4(), packet, opened, inner);
    CHECK(drop == (ecn == ip::kNotEct ? Drop::kCongestion : Drop::kNone));
    if (drop != Drop::kNone) continue;
    CHECK(inner.traffic_class == (0xb8 | ip::kCongestionExperienced));
    CHECK(text(packet) == test::hex(udp4(0xb8 | ip::kCongestionExperienced)));
  }
}

TEST_CASE("esp modes: traffic flow confidentiality goes again") {
  Pair pair(config_of(1000));
  Buffer packet = packet_of(udp4());
  REQUIRE(seal_packet(pair.out, tunnel4(), packet, header_of(packet)) == Drop::kNone);
  CHECK(packet.size() >= 1000);
  Opened opened;
  ip::Header inner;
  REQUIRE(open_packet(pair.in, tunnel4(), packet, opened, inner) == Drop::kNone);
  CHECK(text(packet) == test::hex(udp4()));
}

TEST_CASE("esp modes attack: odd contents under a right ICV") {
  struct Case {
    const char* name;
    std::uint8_t next_header;
    Bytes payload;
    Mode mode;
    Drop drop;
  };
  Bytes cut = udp4();
  cut.pop_back();
  const Case cases[] = {
      {"UDP in a tunnel", ip::kUdp, udp4(), Mode::kTunnel, Drop::kBadNextHeader},
      {"IPv4 said to be IPv6", ip::kIpv6, udp4(), Mode::kTunnel, Drop::kBadInner},
      {"a cut packet", ip::kIpv4, cut, Mode::kTunnel, Drop::kBadInner},
      {"nothing", ip::kIpv4, {}, Mode::kTunnel, Drop::kBadInner},
      {"a dummy", ip::kNoNextHeader, udp4(), Mode::kTunnel, Drop::kDummy},
      {"a dummy in transport mode", ip::kNoNextHeader, {}, Mode::kTransport, Drop::kDummy},
      {"a pseudo-header of no length", 94, {17, 0, 0}, Mode::kBeet, Drop::kBadInner},
      {"a pseudo-header past the end", 94, {17, 5, 0, 0, 0, 0, 0, 0}, Mode::kBeet, Drop::kBadInner},
      {"a pseudo-header of padding alone, and more", 94, {17, 0, 9, 0, 0, 0, 0, 0}, Mode::kBeet, Drop::kBadInner},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    Pair pair;
    Encapsulation how = tunnel4();
    how.mode = c.mode;
    how.inner_local = ip_of("10.0.0.1");
    how.inner_remote = ip_of("10.1.0.1");
    Buffer packet = packet_of(c.payload);
    REQUIRE(pair.out.seal(packet, c.next_header) == Drop::kNone);
    Opened opened;
    ip::Header inner;
    CHECK(open(pair.in, how, packet, {}, opened, inner) == c.drop);
    CHECK(opened.drop == c.drop);
    CHECK(pair.in.drops()[c.drop] == 1);
  }
}

TEST_CASE("esp modes attack: odd next headers, all 256") {
  for (const Mode mode : {Mode::kTunnel, Mode::kBeet, Mode::kTransport}) {
    Pair pair;
    Encapsulation how = tunnel4();
    how.mode = mode;
    how.inner_local = ip_of("10.0.0.1");
    how.inner_remote = ip_of("10.1.0.1");
    std::uint64_t bad = 0;
    for (unsigned next_header = 0; next_header < 255; ++next_header) {
      CAPTURE(next_header);
      Buffer packet = packet_of(udp4());
      REQUIRE(pair.out.seal(packet, static_cast<std::uint8_t>(next_header)) == Drop::kNone);
      Drop expected = Drop::kNone;
      if (next_header == ip::kNoNextHeader) {
        expected = Drop::kDummy;
      } else if (mode == Mode::kTunnel && next_header == ip::kIpv6) {
        expected = Drop::kBadInner;  // the packet is of version 4
      } else if (mode == Mode::kTunnel && next_header != ip::kIpv4) {
        expected = Drop::kBadNextHeader;
      }
      bad += expected == Drop::kBadNextHeader;
      Opened opened;
      ip::Header inner;
      CHECK(open(pair.in, how, packet, {.source = how.remote, .destination = how.local}, opened, inner) == expected);
      if (expected == Drop::kNone) CHECK(inner.size == packet.size());
    }
    CHECK(pair.in.drops()[Drop::kBadNextHeader] == bad);
  }
}

TEST_CASE("esp modes: what comes around ESP is checked") {
  Pair pair;
  Encapsulation how = tunnel4();
  how.local_port = how.remote_port = 4500;
  Opened opened;
  ip::Header inner;
  const auto open_bytes = [&](const Bytes& bytes) {
    Buffer packet = packet_of(bytes);
    return open_packet(pair.in, how, packet, opened, inner);
  };
  CHECK(open_bytes({}) == Drop::kMalformed);
  CHECK(open_bytes(udp4()) == Drop::kMalformed);  // four bytes are no ESP
  Bytes other = udp4();
  other.resize(40);
  ip::update_length(other);
  CHECK(open_bytes(other) == Drop::kUnknownSpi);
  Bytes fragment = udp4();
  fragment[6] |= 0x20;
  CHECK(open_bytes(fragment) == Drop::kFragment);
  how.local_port = how.remote_port = 0;
  CHECK(open_bytes(udp4()) == Drop::kMalformed);

  how.mode = Mode::kBeet;
  how.inner_local = ip_of("10.0.0.9");
  how.inner_remote = ip_of("10.1.0.1");
  Buffer packet = packet_of(udp4());
  CHECK(seal_packet(pair.out, how, packet, header_of(packet)) == Drop::kSelectorMismatch);
}

TEST_CASE("esp modes: a checksum from behind a NAT is mended") {
  Pair pair;
  Encapsulation how{.mode = Mode::kTransport, .local_port = 4500, .remote_port = 4500, .behind_nat = true};
  Bytes original = udp4();
  const std::uint16_t sum = ip::pseudo_checksum(ip_of("10.0.0.1"), ip_of("10.1.0.1"), ip::kUdp,
                                                std::span<const std::uint8_t>(original).subspan(20));
  store_u16(original.data() + 26, sum);
  Buffer packet = packet_of(original);
  REQUIRE(seal_packet(pair.out, how, packet, header_of(packet)) == Drop::kNone);
  std::ranges::copy(ip_of("198.51.100.7").bytes(), packet.data() + 12);
  ip::update_length(packet.span());
  Opened opened;
  ip::Header inner;
  REQUIRE(open_packet(pair.in, how, packet, opened, inner) == Drop::kNone);
  CHECK(ip::pseudo_checksum(ip_of("198.51.100.7"), ip_of("10.1.0.1"), ip::kUdp, packet.span().subspan(20)) == 0);
}

TEST_CASE("esp modes: the inner MTU is the largest that fits") {
  for (const bool outer_v6 : {false, true}) {
    for (const std::uint16_t port : {0, 4500}) {
      for (const Mode mode : {Mode::kTunnel, Mode::kBeet}) {
        Pair pair;
        const Encapsulation how{.mode = mode,
                                .local = ip_of(outer_v6 ? "2001:db8::1" : "192.0.2.1"),
                                .remote = ip_of(outer_v6 ? "2001:db8::2" : "192.0.2.2"),
                                .inner_local = ip_of("10.0.0.1"),
                                .inner_remote = ip_of("10.1.0.1"),
                                .remote_port = port};
        const std::size_t mtu = inner_mtu(pair.out, how, 1500);
        for (const std::size_t size : {mtu, mtu + 1}) {
          Bytes bytes = udp4();
          bytes.resize(size);
          ip::update_length(bytes);
          Buffer packet = packet_of(bytes);
          REQUIRE(seal_packet(pair.out, how, packet, header_of(packet)) == Drop::kNone);
          CHECK((packet.size() <= 1500) == (size == mtu));
        }
        CHECK(inner_mtu(pair.out, how, 40) == 0);
      }
    }
  }
}

}  // namespace
}  // namespace winze::esp
