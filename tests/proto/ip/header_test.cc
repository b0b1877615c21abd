#include "winze/proto/ip/header.h"

#include <doctest/doctest.h>

#include <string>

#include "support/vectors.h"
#include "winze/base/bytes.h"
#include "winze/proto/ip/tcp_mss.h"
#include "winze/proto/ip/traffic_class.h"

namespace winze::ip {
namespace {

using test::Bytes;
using test::unhex;

std::span<const std::uint8_t> view(const Bytes& bytes) { return bytes; }

TEST_CASE("ip header: packets of others") {
  for (const test::Vector& v : test::load_vectors("ip/packets.txt")) {
    CAPTURE(v.text("id"));
    Bytes packet = v.bytes("packet");
    packet.resize(packet.size() + 3);  // padding of a link layer
    const auto header = parse(packet);
    REQUIRE(header);
    CHECK(header->size == packet.size() - 3);
    CHECK(source_of(packet).to_string() == v.text("source"));
    CHECK(destination_of(packet).to_string() == v.text("destination"));
    CHECK(std::to_string(header->protocol) == v.text("protocol"));
    CHECK(std::to_string(header->header_size) == v.text("header_size"));
    CHECK(std::to_string(header->insert_at) == v.text("insert_at"));
    CHECK(std::to_string(header->traffic_class) == v.text("traffic_class"));
    for (std::size_t cut = 0; cut < header->size; ++cut) CHECK_FALSE(parse(view(packet).first(cut)));

    // A checksum is kept right through a change and back.
    Bytes changed = packet;
    set_traffic_class(changed, 0xff);
    CHECK(parse(changed)->traffic_class == 0xff);
    set_traffic_class(changed, header->traffic_class);
    CHECK(changed == packet);

    if (v.has("mss")) {
      REQUIRE(clamp_mss(changed, *header, std::stoul(v.text("mtu"))));
      changed.resize(header->size);
      CHECK(test::hex(changed) == v.text("clamped"));
      CHECK_FALSE(clamp_mss(changed, *header, 1500));
    } else {
      CHECK_FALSE(clamp_mss(changed, *header, 100));
    }
  }
}

TEST_CASE("ip header: what is none") {
  CHECK_FALSE(parse({}));
  CHECK_FALSE(parse(Bytes(40, 0x35)));
  // A header length below 20; a total length below it; fragments past the end of the largest packet.
  CHECK_FALSE(parse(unhex("4400001400000000400100000a0000010a000002")));
  CHECK_FALSE(parse(unhex("4500001300000000400100000a0000010a000002")));
  Bytes far = unhex("4500001c00001fff400100000a0000010a0000020000000000000000");
  CHECK_FALSE(parse(far));
  far[6] = 0x1f;
  far[7] = 0x00;
  CHECK(parse(far));
  // Two fragment headers.
  Bytes twice(40 + 16 + 8);
  twice[0] = 0x60;
  store_u16(twice.data() + 4, 24);
  twice[6] = kFragment;
  twice[40] = kFragment;
  twice[48] = kUdp;
  CHECK_FALSE(parse(twice));
  twice[40] = kDestinationOptions;
  CHECK(parse(twice));
}

TEST_CASE("ip header: one is put in front") {
  Buffer packet = Buffer::copy_of(std::string_view("payload"), {.front = 40, .back = 0});
  REQUIRE(prepend_header(packet, {.source = *IpAddress::parse("192.0.2.1"),
                                  .destination = *IpAddress::parse("198.51.100.2"),
                                  .protocol = kEsp,
                                  .traffic_class = 0xb8}));
  CHECK(test::hex(packet.span().first(20)) == "45b8001b0000400040324dc2c0000201c6336402");
  packet.trim_front(20);
  REQUIRE(prepend_header(packet, {.source = *IpAddress::parse("2001:db8::1"),
                                  .destination = *IpAddress::parse("2001:db8::2"),
                                  .protocol = kEsp,
                                  .traffic_class = 0xb8}));
  CHECK(test::hex(packet.span().first(8)) == "6b80000000073240");
  Buffer large(65536 + 60, 60);
  large.append(65535 - 19);
  CHECK_FALSE(prepend_header(large, {}));
}

// RFC 6040 figures 3 and 4.
TEST_CASE("ip: ECN through a tunnel") {
  for (const std::uint8_t ecn : {0, 1, 2, 3}) {
    CHECK(outer_traffic_class(0xb8 | ecn, EcnMode::kNormal) == (0xb8 | ecn));
    CHECK(outer_traffic_class(0xb8 | ecn, EcnMode::kCompatibility) == 0xb8);
    CHECK(outer_traffic_class(0xb8 | ecn, EcnMode::kNormal, std::uint8_t{10}) == (10 << 2 | ecn));
  }
  constexpr int kDrop = -1;
  const int expected[4][4] = {// outer: Not-ECT, ECT(1), ECT(0), CE
                              {kNotEct, kNotEct, kNotEct, kDrop},
                              {kEct1, kEct1, kEct1, 3},
                              {kEct0, kEct1, kEct0, 3},
                              {3, 3, 3, 3}};
  for (std::uint8_t inner = 0; inner < 4; ++inner) {
    for (std::uint8_t outer = 0; outer < 4; ++outer) {
      const auto result = inner_traffic_class(0x28 | inner, 0xb8 | outer);
      CHECK((result ? *result : kDrop) == (expected[inner][outer] == kDrop ? kDrop : 0x28 | expected[inner][outer]));
    }
  }
}

}  // namespace
}  // namespace winze::ip
