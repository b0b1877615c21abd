// mux.cool and XUDP: frames of V2Ray's, sessions against each other, and peers that misbehave.
#include "winze/proto/mux/cool.h"

#include <doctest/doctest.h>

#include <string>

#include "support/codec_pair.h"
#include "support/mux_events.h"
#include "support/vectors.h"
#include "winze/base/error.h"
#include "winze/proto/mux/error.h"

namespace winze::mux {
namespace {

using test::flushed;
using test::from_hex;
using test::MuxLog;
using test::receive;
using test::sealed;
using test::to_hex;

const Opening kTo{.destination = Destination("a.test", 80)};
const Opening kUdpTo{.destination = Destination("192.0.2.9", 53, Network::kUdp), .datagrams = true};

std::string sealed_datagram(CoolSession& session, StreamId id, std::string_view text, const Destination* peer) {
  Buffer data = Buffer::copy_of(text);
  CHECK(session.seal_datagram(id, data, peer));
  return std::string(data.text());
}

TEST_CASE("mux.cool: what V2Ray sends, in any segments") {
  for (const test::Vector& vector : test::load_vectors("mux/cool.txt")) {
    CAPTURE(vector.text("name"));
    const std::string wire = from_hex(vector.text("frame"));
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(segment);
      const bool by_client = vector.text("name").starts_with("client");
      CoolSession session(by_client ? Role::kServer : Role::kClient);
      if (!by_client) sealed(session, *session.open(kTo), "hello");
      MuxLog log;
      CHECK_FALSE(receive(session, wire, segment, log));
      CHECK(log.log == vector.text("event"));
    }
  }
}

TEST_CASE("mux.cool: what we send is what V2Ray sends") {
  const auto vectors = test::load_vectors("mux/cool.txt");
  CoolSession session(Role::kClient);
  const StreamId first = *session.open(kTo);
  CHECK(session.is_unannounced(first));
  CHECK(to_hex(sealed(session, first, "hello")) == vectors[0].text("frame"));
  CHECK_FALSE(session.is_unannounced(first));
  const StreamId second = *session.open({.destination = Destination("192.0.2.7", 8080)});
  std::string late = sealed(session, second, "");
  late += sealed(session, second, "late");
  CHECK(late == from_hex(vectors[1].text("frame")));
  const StreamId third = *session.open(kUdpTo);
  std::string datagrams = sealed_datagram(session, third, "ping", nullptr);
  datagrams += sealed_datagram(session, third, "pong", nullptr);
  CHECK(datagrams == from_hex(vectors[2].text("frame")));
  session.close(first, false);
  CHECK(to_hex(flushed(session)) == "000400010300");
  session.close(second, true);
  CHECK(to_hex(flushed(session)) == "000400020302");
}

TEST_CASE("mux.cool: an End is an answer to ours even where it says failure, and a failure where it does not answer") {
  CoolSession client(Role::kClient);
  MuxLog log;
  const StreamId first = *client.open(kTo), second = *client.open(kTo);
  sealed(client, first, "x");
  sealed(client, second, "x");
  client.end(first);
  flushed(client);
  CHECK_FALSE(receive(client, from_hex("000400010302 000400020302"), 3, log));
  CHECK(log.log == "close 1 " + make_error_code(winze::Errc::kEof).message() + "; close 2 " +
                       make_error_code(Errc::kReset).message());
  CHECK(to_hex(flushed(client)) == "000400020300");
}

TEST_CASE("mux.cool: data for a sub-stream that is not there is answered with an End and passed over") {
  CoolSession client(Role::kClient);
  MuxLog log;
  const StreamId id = *client.open(kTo);
  sealed(client, id, "x");
  CHECK_FALSE(receive(client, from_hex("0004 0005 02 01 0002 4142  0004 0001 02 01 0001 43"), 1, log));
  CHECK(log.log == "data 1 C");
  CHECK(to_hex(flushed(client)) == "000400050300");
}

TEST_CASE("mux.cool: XUDP, an address on each datagram") {
  for (const std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    CoolSession client(Role::kClient, true), server(Role::kServer);
    const Opening everyone{.datagrams = true, .any_peer = true, .global_id = {1, 2, 3, 4, 5, 6, 7, 8}};
    const StreamId id = *client.open(everyone);
    CHECK(id == 0);
    CHECK_FALSE(client.open(everyone));
    const Destination a("192.0.2.1", 1000, Network::kUdp), b("b.test", 2000, Network::kUdp);
    MuxLog at_server, at_client;
    std::string wire = sealed_datagram(client, id, "one", &a);
    CHECK(wire == from_hex("0014 0000 01 01 02 03e8 01 c0000201 0102030405060708 0003 6f6e65"));
    wire += sealed_datagram(client, id, "two", &b);
    CHECK_FALSE(receive(server, wire, segment, at_server));
    CHECK(at_server.log == "open 0 udp 192.0.2.1:1000 any; datagram 0 one; datagram 0 b.test:2000 two");
    CHECK(at_server.last.global_id == everyone.global_id);
    CHECK_FALSE(receive(client, sealed_datagram(server, id, "back", &b), segment, at_client));
    CHECK(at_client.log == "datagram 0 b.test:2000 back");
  }
}

TEST_CASE("mux.cool: what a peer may not send") {
  struct Case {
    const char* what;
    Role role;
    std::string wire;
    std::error_code error;
  };
  const std::string open = from_hex("000f 0001 01 01 01 0050 02 06 612e74657374 0001 41");
  const Case cases[] = {
      {"a head too short", Role::kServer, from_hex("0003 0001 01"), Errc::kBadFrame},
      {"a head too long", Role::kServer, from_hex("0201"), Errc::kBadFrame},
      {"an unknown status", Role::kServer, from_hex("0004 0001 05 00"), Errc::kBadFrame},
      {"an unknown network", Role::kServer, from_hex("000c 0001 01 00 03 0050 01 c0000201"), Errc::kBadFrame},
      {"New without a network", Role::kServer, from_hex("0004 0001 01 00"), Errc::kBadFrame},
      {"New for an id in use", Role::kServer, open + open, Errc::kBadFrame},
      {"New from a server", Role::kClient, open, Errc::kBadFrame},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    for (const std::size_t segment : test::kSegmentSizes) {
      CoolSession session(c.role);
      MuxLog log;
      CHECK(receive(session, c.wire, segment, log) == c.error);
    }
  }
}

TEST_CASE("mux.cool: a destination that cannot be read concerns its sub-stream alone") {
  CoolSession server(Role::kServer);
  MuxLog log;
  CHECK_FALSE(receive(server, from_hex("000b 0001 01 01 01 0050 02 02 2f2f 0001 41  000a 0002 01 00 01 0050 02 01 62"),
                      1, log));
  CHECK(log.log == "open 2 tcp b:80");
  CHECK(to_hex(flushed(server)) == "000400010302");
}

TEST_CASE("mux.cool: a carrier opens so many in its life") {
  CoolSession client(Role::kClient);
  for (std::uint32_t i = 0; i < CoolSession::kLifetime; ++i) {
    const auto id = client.open(kTo);
    REQUIRE(id);
    CHECK(*id == i + 1);
    client.close(*id, false);
  }
  CHECK_FALSE(client.may_open());
  CHECK_FALSE(client.open(kTo));
  CHECK(flushed(client).empty());  // none was announced
}

}  // namespace
}  // namespace winze::mux
