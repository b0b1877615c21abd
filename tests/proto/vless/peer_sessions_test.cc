// Sessions of Xray's and sing-box's clients and servers, replayed to ours at every segment size.
#include "support/peer_sessions.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/mux_events.h"
#include "winze/base/error.h"
#include "winze/crypto/digest.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/vless/codec.h"
#include "winze/proto/vless/datagram.h"

namespace winze::vless {
namespace {

using test::CodecEnd;
using test::Vector;
using Texts = std::vector<std::string>;

bool has_vision(const Vector& v) { return v.text("kind").starts_with("vision"); }
bool is_xudp(const Vector& v) { return v.text("kind").ends_with("xudp"); }
bool is_udp(const Vector& v) { return v.text("kind") == "udp"; }

Destination destination_of(const Vector& v) {
  if (is_xudp(v)) return mux::cool_destination();
  return test::local(v, "port", is_udp(v) ? Network::kUdp : Network::kTcp);
}

// Where one end leaves the layer below it does so behind the byte that the vector says.
template <typename Codec>
void replay(const Codec& codec, CodecEnd& end, const Vector& v, const std::string& way, std::size_t segment) {
  const std::string wire = test::wire_of(v, way.c_str());
  const std::string inside = way + "_inside";
  if (!v.has(inside)) {
    test::feed(end, wire, segment);
    CHECK_FALSE(codec.opening_left_below());
  } else {
    const std::size_t last = std::stoul(v.text(inside)) - 1;
    test::feed(end, std::string_view(wire).substr(0, last), segment);
    CHECK_FALSE(codec.opening_left_below());
    test::feed(end, std::string_view(wire).substr(last, 1), segment);
    CHECK(codec.opening_left_below());
    CHECK(codec.opens_verbatim());
    test::feed(end, std::string_view(wire).substr(last + 1), segment);
  }
  CHECK_FALSE(end.error);
  CHECK(end.codec.open_end() == winze::Errc::kEof);
}

// What a connection has carried: the bytes that the vectors' head describes, or an inner TLS of that hash.
void check_bytes(const Vector& v, const std::string& received, const std::string& expected, const std::string& hash) {
  if (!v.has(hash)) {
    CHECK(received == expected);
    return;
  }
  const auto found = sha224(as_bytes(received));
  CHECK(test::Bytes(found.begin(), found.end()) == v.bytes(hash));
}

Texts datagrams(std::string_view received) {
  Texts out;
  auto bytes = as_bytes(received);
  while (const auto datagram = decode_datagram(bytes)) out.emplace_back(as_text(*datagram));
  CHECK(bytes.empty());
  return out;
}

// Beginnings: how a carrier ends is its maker's to choose.
void check_xudp(mux::CoolSession& session, std::string_view received, std::size_t segment, const std::string& wanted) {
  test::MuxLog log;
  CHECK_FALSE(test::receive(session, received, segment, log));
  CHECK_MESSAGE(log.log.starts_with(wanted), log.log);
}

std::string xudp_requests(const Vector& v) {
  const std::string first = test::local(v, "port").to_string(), second = test::local(v, "second_port").to_string();
  return "open 0 udp " + first + " any; datagram 0 datagram; datagram 0 " + second + " again";
}
std::string xudp_answers(const Vector& v) {
  const std::string first = test::local(v, "port").to_string(), second = test::local(v, "second_port").to_string();
  return "datagram 0 " + first + " re: datagram; datagram 0 " + second + " re: again";
}

TEST_CASE("vless: what clients of other makes send, read by our server") {
  for (const Vector& v : test::load_vectors("vless/peer_sessions.txt")) {
    CAPTURE(v.text("name"));
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(segment);
      auto users = std::make_shared<UserTable>();
      users->add(*Uuid::parse(v.text("user")), {.name = "peer", .flow = has_vision(v) ? Flow::kVision : Flow::kNone});
      SeededRandom random(1);
      ServerCodec server(users, {.random = &random});
      CodecEnd end(server);
      end.step({});
      replay(server, end, v, "up", segment);
      REQUIRE(end.opened);
      CHECK(server.request().user == "peer");
      CHECK(server.request().destination == destination_of(v));
      if (is_xudp(v)) {
        mux::CoolSession session(mux::Role::kServer);
        check_xudp(session, end.received, segment, xudp_requests(v));
      } else if (is_udp(v)) {
        CHECK(datagrams(end.received) == Texts{"datagram", "again"});
      } else {
        check_bytes(v, end.received, test::sent(), "sent_sha224");
      }
    }
  }
}

TEST_CASE("vless: what servers of other makes answer, read by our client") {
  for (const Vector& v : test::load_vectors("vless/peer_sessions.txt")) {
    CAPTURE(v.text("name"));
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(segment);
      const Uuid id = *Uuid::parse(v.text("user"));
      SeededRandom random(1);
      const auto client = has_vision(v) ? std::make_unique<ClientCodec>(id, destination_of(v), random)
                                        : std::make_unique<ClientCodec>(id, destination_of(v));
      CodecEnd end(*client);
      end.step({});
      REQUIRE_FALSE(end.write("a request"));
      replay(*client, end, v, "down", segment);
      CHECK(client->answered());
      if (is_xudp(v)) {
        mux::CoolSession session(mux::Role::kClient, true);
        const auto id_of_flow = session.open({.datagrams = true, .any_peer = true});
        const Destination to = test::local(v, "port", Network::kUdp);
        Buffer datagram = Buffer::copy_of("datagram");
        REQUIRE(session.seal_datagram(*id_of_flow, datagram, &to));
        check_xudp(session, end.received, segment, xudp_answers(v));
      } else if (is_udp(v)) {
        CHECK(datagrams(end.received) == Texts{"re: datagram", "re: again"});
      } else {
        check_bytes(v, end.received, test::answered(), "got_sha224");
      }
    }
  }
}

}  // namespace
}  // namespace winze::vless
