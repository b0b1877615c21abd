#include "winze/proto/socks/address.h"

#include <doctest/doctest.h>

#include "support/opening.h"

namespace winze::socks {
namespace {

using test::bytes;

TEST_CASE("socks: UDP datagrams, both ways") {
  for (const Destination& peer :
       {Destination("192.0.2.1", 53, Network::kUdp), Destination("2001:db8::1", 53, Network::kUdp),
        Destination("example.org", 65535, Network::kUdp), Destination(std::string(255, 'n'), 1, Network::kUdp)}) {
    Buffer datagram = Buffer::copy_of("question", {kMaxDatagramHeader, 0});
    const std::uint8_t* place = datagram.data();
    REQUIRE(seal_datagram(datagram, peer));
    CHECK(datagram.size() <= 8 + kMaxDatagramHeader);
    Destination decoded;
    REQUIRE(open_datagram(datagram, decoded) == Drop::kNone);
    CHECK(decoded == peer);
    CHECK(datagram.text() == "question");
    CHECK(datagram.data() == place);
  }
  Buffer datagram = Buffer::copy_of("x");
  REQUIRE(seal_datagram(datagram, Destination("1.2.3.4", 5)));
  CHECK(datagram.text() == bytes("\0\0\0\x01\x01\x02\x03\x04\0\x05x"));
  CHECK_FALSE(seal_datagram(datagram, Destination(std::string(256, 'n'), 1)));
  CHECK_FALSE(seal_datagram(datagram, Destination("", 1)));
}

TEST_CASE("socks: UDP datagrams that are dropped") {
  struct Row {
    std::string_view wire;
    Drop drop;
  };
  for (const Row& row : {
           Row{"", Drop::kMalformed},
           Row{bytes("\0\0\0"), Drop::kMalformed},
           Row{bytes("\0\0\0\x01\x01\x02\x03\x04\0"), Drop::kMalformed},
           Row{bytes("\0\0\0\x02\x01\x02\x03\x04\0\x05x"), Drop::kMalformed},
           Row{bytes("\0\0\0\x03\0\0\x05x"), Drop::kMalformed},
           Row{bytes("\0\0\0\x03\x01 \0\x05x"), Drop::kMalformed},
           Row{bytes("\0\0\0\x01\x01\x02\x03\x04\0\x05"), Drop::kEmpty},
           Row{bytes("\0\0\x01\x01\x01\x02\x03\x04\0\x05x"), Drop::kFragment},
           Row{bytes("\0\0\x80\x01\x01\x02\x03\x04\0\x05x"), Drop::kFragment},
       }) {
    CAPTURE(row.wire);
    Buffer datagram = Buffer::copy_of(row.wire);
    Destination peer("untouched", 1);
    CHECK(open_datagram(datagram, peer) == row.drop);
    CHECK(peer == Destination("untouched", 1));
  }
}

}  // namespace
}  // namespace winze::socks
