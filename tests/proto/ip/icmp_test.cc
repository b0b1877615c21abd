#include "winze/proto/ip/icmp.h"

#include <doctest/doctest.h>

#include "support/vectors.h"
#include "winze/proto/ip/header.h"

namespace winze::ip {
namespace {

// The vectors' answers were made by another maker's ICMP, from the packets beside them.
TEST_CASE("icmp: packet too big") {
  for (const test::Vector& v : test::load_vectors("ip/too_big.txt")) {
    CAPTURE(v.text("id"));
    Buffer packet = Buffer::copy_of(v.bytes("packet"));
    const auto header = parse(packet.span());
    REQUIRE(header);
    const std::size_t mtu = std::stoul(v.text("mtu"));
    const bool made = make_packet_too_big(packet, mtu, *IpAddress::parse(v.text("from")));
    REQUIRE(made == v.has("answer"));
    if (!made) {
      CHECK(test::hex(packet.span()) == v.text("packet"));
      continue;
    }
    CHECK(test::hex(packet.span()) == v.text("answer"));
    const auto parsed = parse_packet_too_big(packet.span());
    REQUIRE(parsed);
    CHECK(parsed->mtu == mtu);
    CHECK(test::hex(v.bytes("packet")).starts_with(test::hex(parsed->quoted)));

    packet.data()[packet.size() - 1] ^= 1;
    CHECK_FALSE(parse_packet_too_big(packet.span()));  // a wrong checksum
    packet.data()[packet.size() - 1] ^= 1;
    for (std::size_t cut = 0; cut < packet.size(); ++cut) {
      CHECK_FALSE(parse_packet_too_big(packet.span().first(cut)));
    }
  }
}

}  // namespace
}  // namespace winze::ip
