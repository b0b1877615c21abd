// sing-mux: the preface, the padding, requests, answers and datagrams.
#include "winze/proto/mux/sing.h"

#include <doctest/doctest.h>

#include <string>

#include "support/codec_pair.h"
#include "support/opening.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/mux/error.h"

namespace winze::mux::sing {
namespace {

using test::from_hex;
using test::to_hex;

const Destination kTo("a.test", 80);

std::string pattern(std::size_t size) {
  std::string text(size, 0);
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 23);
  return text;
}

TEST_CASE("sing-mux: a carrier begins with its protocol, together with the first bytes") {
  SeededRandom random(1);
  CarrierClientCodec plain(Protocol::kYamux, false, random);
  CHECK(plain.holds_opening());
  CHECK(to_hex(test::sealed(plain, "x")) == "000178");
  CHECK(plain.seals_verbatim());
  CarrierClientCodec padded(Protocol::kSmux, true, random);
  const std::string wire = test::sealed(padded, "x");
  CHECK(to_hex(wire.substr(0, 3)) == "010001");
  const std::size_t pad = load_u16(as_bytes(wire).data() + 3);
  CHECK(pad >= 256);
  CHECK(pad < 768);
  CHECK(to_hex(wire.substr(5 + pad, 2)) == "0001");
  CHECK(wire[5 + pad + 4] == 'x');
  CHECK_FALSE(padded.seals_verbatim());
}

TEST_CASE("sing-mux: bytes of any length go through both ways, padded or not, whatever the segments") {
  for (const bool padding : {false, true}) {
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(padding);
      CAPTURE(segment);
      SeededRandom random(7);
      CarrierClientCodec client(Protocol::kYamux, padding, random);
      CarrierServerCodec server(padding, random);
      test::CodecPair pair(client, server, segment);
      std::string sent;
      for (int i = 0; i < 20; ++i) {
        // The last of the sixteen are within one piece.
        const std::string text = pattern(i == 13 ? 300000 : static_cast<std::size_t>(i) + 1);
        sent += text;
        CHECK_FALSE(pair.client.write(text));
        pair.pump();
        CHECK_FALSE(pair.server.write(text));
        pair.pump();
      }
      CHECK(server.protocol() == Protocol::kYamux);
      CHECK((pair.server.received == sent));
      CHECK((pair.client.received == sent));
      CHECK(client.seals_verbatim());
      CHECK(client.opens_verbatim());
      CHECK(server.seals_verbatim());
      CHECK(server.opens_verbatim());
    }
  }
}

TEST_CASE("sing-mux: prefaces that are not taken") {
  struct Case {
    const char* what;
    std::string_view wire;
    bool wants_padding;
    std::error_code error;
  };
  const Case cases[] = {
      {"a version to come", "0200", false, Errc::kBadPreface},
      {"a protocol to come", "0003", false, Errc::kBadPreface},
      {"version 1 without padding", "010100", false, {}},
      {"... where padding is wanted", "010100", true, Errc::kUnpadded},
      {"version 0 where padding is wanted", "0001", true, Errc::kUnpadded},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    for (const std::size_t segment : test::kSegmentSizes) {
      SeededRandom random(1);
      CarrierServerCodec codec(c.wants_padding, random);
      const test::Opening result = test::run_opening(codec, from_hex(c.wire) + (c.error ? "" : "more"), segment);
      CHECK(result.error == c.error);
      CHECK(result.done == !c.error);
      CHECK(result.payload == (c.error ? "" : "more"));
    }
  }
}

TEST_CASE("sing-mux: requests and answers") {
  StreamClientCodec tcp(kTo);
  CHECK(to_hex(test::sealed(tcp, "hi")) ==
        "0000"
        "0306612e74657374"
        "0050"
        "6869");
  CHECK(test::sealed(tcp, "hi") == "hi");
  StreamClientCodec udp(Destination("192.0.2.1", 53, Network::kUdp));
  CHECK(to_hex(test::sealed(udp, "")) ==
        "0001"
        "01c0000201"
        "0035");
  StreamClientCodec everyone(Destination(IpAddress(), 0, Network::kUdp));
  CHECK(to_hex(test::sealed(everyone, "")) ==
        "0003"
        "01000000000000");
  // ... or whom the first datagram is for.
  StreamClientCodec sending(Destination(IpAddress(), 0, Network::kUdp));
  const std::string datagram = from_hex("01 c0000201 0035 0001 78");
  CHECK(test::sealed(sending, datagram) == from_hex("0003 01 c0000201 0035") + datagram);
  StreamClientCodec unsayable(Destination(std::string(256, 'a'), 80));
  Buffer in, out;
  std::error_code error;
  unsayable.handshake(in, out, error);
  CHECK(error == Errc::kBadName);
  struct Case {
    Destination to;
    Destination seen;
  };
  const Destination all(IpAddress(), 0, Network::kUdp);
  const Case cases[] = {
      {kTo, kTo}, {Destination("2001:db8::1", 53, Network::kUdp), {"2001:db8::1", 53, Network::kUdp}}, {all, all}};
  for (const Case& c : cases) {
    for (const std::size_t segment : test::kSegmentSizes) {
      StreamClientCodec client(c.to);
      StreamServerCodec server("peer", 3);
      test::CodecPair pair(client, server, segment);
      CHECK_FALSE(pair.client.write("request"));
      pair.pump();
      CHECK(server.request().destination == c.seen);
      CHECK(server.request().user == "peer");
      CHECK(server.request().level == 3);
      CHECK(pair.server.received == "request");
      server.grant({});
      CHECK_FALSE(pair.server.write("answer"));
      pair.pump();
      CHECK(pair.client.received == "answer");
      pair.server.end();
      pair.pump();
      CHECK(pair.client.error == winze::Errc::kEof);
      CHECK(client.seals_verbatim());
      CHECK(client.opens_verbatim());
      CHECK(server.seals_verbatim());
    }
  }
}

TEST_CASE("sing-mux: refusals, and ends before an answer") {
  StreamClientCodec client(kTo), other(kTo);
  StreamServerCodec server("", 0);
  test::CodecPair pair(client, server, 1);
  pair.client.end();  // says whom it is for all the same
  pair.pump();
  CHECK(server.request().destination == kTo);
  server.refuse(Refusal::kConnectionRefused);
  CHECK_FALSE(pair.server.write(""));
  CHECK(pair.server.wire == from_hex("01 12") + "connection refused");
  pair.pump();
  CHECK(pair.client.error == Errc::kRefused);
  CHECK(other.open_end() == winze::Errc::kTruncated);
  // One that ends without a byte says that it had begun.
  StreamClientCodec asking(kTo);
  StreamServerCodec silent("", 0);
  test::CodecPair second(asking, silent, 7);
  CHECK_FALSE(second.client.write(""));
  second.pump();
  second.server.end();
  second.pump();
  CHECK(second.client.error == winze::Errc::kEof);
}

TEST_CASE("sing-mux: requests that cannot be read") {
  for (const std::string_view wire : {"0000 05 0000", "0000 03 02 2f2f 0050", "0001 01 c0000201 0000"}) {
    CAPTURE(wire);
    for (const std::size_t segment : test::kSegmentSizes) {
      StreamServerCodec codec("", 0);
      CHECK(test::run_opening(codec, from_hex(wire), segment).error == Errc::kBadAddress);
    }
  }
}

TEST_CASE("sing-mux: datagrams, with addresses and without") {
  const Destination a("192.0.2.1", 53, Network::kUdp), b("b.test", 54, Network::kUdp);
  Buffer one = Buffer::copy_of("one"), two = Buffer::copy_of("two"), bare = Buffer::copy_of("bare");
  REQUIRE(encode_datagram(one, &a));
  REQUIRE(encode_datagram(two, &b));
  REQUIRE(encode_datagram(bare, nullptr));
  CHECK(to_hex(one.text()) ==
        "01c000020100350003"
        "6f6e65");
  CHECK(to_hex(bare.text()) == "000462617265");
  const std::string wire = std::string(one.text()) + from_hex("01 c0000201 0035 0000") + std::string(two.text());
  std::error_code error;
  Destination peer;
  for (std::size_t n = 0; n < one.size(); ++n) {
    auto part = as_bytes(std::string_view(wire).substr(0, n));
    CHECK_FALSE(decode_datagram(part, &peer, error));
    CHECK_FALSE(error);
  }
  auto rest = as_bytes(wire);
  CHECK(as_text(*decode_datagram(rest, &peer, error)) == "one");
  CHECK(peer == a);
  CHECK(as_text(*decode_datagram(rest, &peer, error)) == "two");  // the empty one is passed over
  CHECK(peer == b);
  CHECK(rest.empty());
  auto plain = as_bytes(bare.text());
  CHECK(as_text(*decode_datagram(plain, nullptr, error)) == "bare");
  const std::string bad = from_hex("07 00");
  auto malformed = as_bytes(bad);
  CHECK_FALSE(decode_datagram(malformed, &peer, error));
  CHECK(error == Errc::kBadAddress);
  Buffer nothing;
  CHECK_FALSE(encode_datagram(nothing, nullptr));
}

}  // namespace
}  // namespace winze::mux::sing
