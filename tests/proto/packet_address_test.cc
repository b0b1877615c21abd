#include "winze/proto/packet_address.h"

#include <doctest/doctest.h>

#include "support/codec_pair.h"

namespace winze {
namespace {

TEST_CASE("packet address: as v2fly and sing-box have it") {
  struct Row {
    Destination peer;
    std::string_view wire;
  };
  for (const Row& row :
       {Row{Destination("192.0.2.1", 53, Network::kUdp), "01 c0000201 0035 6162"},
        Row{Destination("2001:db8::1", 443, Network::kUdp), "02 20010db8000000000000000000000001 01bb 6162"}}) {
    Buffer datagram = Buffer::copy_of("ab", {.front = kMaxPacketAddressSize});
    REQUIRE(encode_packet_address(row.peer, datagram));
    CHECK(datagram.text() == test::from_hex(row.wire));
    Destination peer;
    REQUIRE(decode_packet_address(datagram, peer));
    CHECK(peer == row.peer);
    CHECK(datagram.text() == "ab");
  }
}

TEST_CASE("packet address: what is refused") {
  Buffer datagram = Buffer::copy_of("ab");
  CHECK_FALSE(encode_packet_address(Destination("a.test", 53, Network::kUdp), datagram));
  CHECK(datagram.text() == "ab");
  Destination peer;
  for (const std::string_view wire : {"", "00", "01", "01 c0000201 00", "02 20010db8", "03 0161 0035"}) {
    Buffer bad = Buffer::copy_of(test::from_hex(wire));
    CHECK_FALSE(decode_packet_address(bad, peer));
  }
  CHECK(is_packet_address(packet_address_destination()));
  CHECK_FALSE(is_packet_address(Destination(kPacketAddressHost, 0)));
  CHECK_FALSE(is_packet_address(Destination("a.test", 0, Network::kUdp)));
}

}  // namespace
}  // namespace winze
