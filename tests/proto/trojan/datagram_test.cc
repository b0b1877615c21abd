#include "winze/proto/trojan/datagram.h"

#include <doctest/doctest.h>

#include "support/codec_pair.h"
#include "winze/base/bytes.h"
#include "winze/proto/trojan/error.h"

namespace winze::trojan {
namespace {

using test::from_hex;

Destination udp(std::string_view host, std::uint16_t port) { return Destination(host, port, Network::kUdp); }

// Captured between V2Ray 4.34's client and server: "AAAA" to 127.0.0.1:25000, and the answer "R:AAAA".
constexpr std::string_view kUp = "01 7f000001 61a8 0004 0d0a 41414141";
constexpr std::string_view kDown = "01 7f000001 61a8 0006 0d0a 523a41414141";

std::string encoded(std::string_view payload, const Destination& peer) {
  Buffer datagram = Buffer::copy_of(payload, {.front = kMaxDatagramHeader, .back = 0});
  return encode_datagram(datagram, peer) ? std::string(datagram.text()) : std::string();
}

TEST_CASE("trojan datagrams: framed as V2Ray does") {
  CHECK(encoded("AAAA", udp("127.0.0.1", 25000)) == from_hex(kUp));
  const std::string wire = from_hex(kDown) + "next";
  auto rest = as_bytes(wire);
  Destination peer;
  std::error_code error;
  const auto datagram = decode_datagram(rest, peer, error);
  REQUIRE(datagram);
  CHECK(as_text(*datagram) == "R:AAAA");
  CHECK(peer == udp("127.0.0.1", 25000));
  CHECK(as_text(rest) == "next");
}

TEST_CASE("trojan datagrams: every peer and size comes back, and each beginning of a frame is incomplete") {
  for (const Destination& peer :
       {udp("192.0.2.1", 1), udp("2001:db8::1", 65535), udp("a.test", 53), udp(std::string(255, 'a'), 1)}) {
    for (const std::size_t size : {1, 2, 255, 256, 2048, 65535}) {
      const std::string wire = encoded(std::string(size, 'x'), peer);
      for (std::size_t cut = 0; cut < wire.size(); cut += cut < 300 ? 1 : 977) {
        auto rest = as_bytes(wire).first(cut);
        Destination from;
        std::error_code error;
        CHECK_FALSE(decode_datagram(rest, from, error));
        CHECK_FALSE(error);
        CHECK(rest.size() == cut);
      }
      auto rest = as_bytes(wire);
      Destination from;
      std::error_code error;
      const auto datagram = decode_datagram(rest, from, error);
      REQUIRE(datagram);
      CHECK(datagram->size() == size);
      CHECK(from == peer);
      CHECK(rest.empty());
    }
  }
}

TEST_CASE("trojan datagrams: what has no frame") {
  CHECK(encoded("", udp("192.0.2.1", 1)).empty());
  CHECK(encoded(std::string(65536, 'x'), udp("192.0.2.1", 1)).empty());
  CHECK(encoded("x", udp("", 1)).empty());
  CHECK(encoded("x", udp(std::string(256, 'a'), 1)).empty());
}

TEST_CASE("trojan datagrams: empty ones are passed over, malformed ones end it") {
  struct Row {
    std::string_view wire;
    std::string_view payload;
    std::error_code error;
  };
  for (const Row& row :
       {Row{"01 7f000001 61a8 0000 0d0a 01 7f000002 61a8 0001 0d0a 41", "A", {}},
        Row{"01 7f000001 61a8 0000 0d0a", "", {}}, Row{"02 7f000001 61a8 0001 0d0a 41", "", Errc::kBadAddress},
        Row{"03 00 61a8 0001 0d0a 41", "", Errc::kBadAddress}, Row{"03 01 20 61a8 0001 0d0a 41", "", Errc::kBadAddress},
        Row{"01 7f000001 61a8 0001 0d0d 41", "", Errc::kBadDatagram}}) {
    CAPTURE(row.wire);
    const std::string wire = from_hex(row.wire);
    auto rest = as_bytes(wire);
    Destination peer;
    std::error_code error;
    const auto datagram = decode_datagram(rest, peer, error);
    CHECK((datagram ? as_text(*datagram) : std::string_view()) == row.payload);
    CHECK(error == row.error);
  }
}

}  // namespace
}  // namespace winze::trojan
