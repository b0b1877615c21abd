// Sessions of other makes' clients and servers, replayed to ours at every segment size.
#include "support/peer_sessions.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "winze/base/error.h"
#include "winze/proto/trojan/codec.h"
#include "winze/proto/trojan/datagram.h"

namespace winze::trojan {
namespace {

using test::CodecEnd;
using test::Vector;

struct Datagrams {
  std::vector<std::string> texts;
  std::vector<Destination> peers;
};

Datagrams datagrams(std::string_view received) {
  Datagrams out;
  auto bytes = as_bytes(received);
  Destination peer;
  std::error_code error;
  while (const auto datagram = decode_datagram(bytes, peer, error)) {
    out.texts.emplace_back(as_text(*datagram));
    out.peers.push_back(peer);
  }
  CHECK_FALSE(error);
  CHECK(bytes.empty());
  return out;
}

// Those of a vector, each with `before` in front.
void check_datagrams(const Vector& v, std::string_view received, const std::string& before) {
  const Datagrams found = datagrams(received);
  CHECK(found.texts == std::vector{before + "datagram", before + "again"});
  CHECK(found.peers ==
        std::vector{test::local(v, "port", Network::kUdp), test::local(v, "second_port", Network::kUdp)});
}

TEST_CASE("trojan: sessions of other makes, read by our server and our client") {
  for (const Vector& v : test::load_vectors("trojan/peer_sessions.txt")) {
    CAPTURE(v.text("name"));
    const bool udp = v.text("kind") == "udp";
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(segment);
      auto users = std::make_shared<UserTable>();
      users->add(v.text("password"), {.name = "peer"});
      ServerCodec server(users);
      CodecEnd taking(server);
      taking.step({});
      test::feed(taking, test::wire_of(v, "up"), segment);
      REQUIRE(taking.opened);
      CHECK_FALSE(taking.error);
      CHECK(server.open_end() == winze::Errc::kEof);
      CHECK(server.request().user == "peer");

      ClientCodec client(key_of(v.text("password")), server.request().destination);
      CodecEnd reading(client);
      reading.step({});
      REQUIRE_FALSE(reading.write("a request"));
      test::feed(reading, test::wire_of(v, "down"), segment);
      CHECK_FALSE(reading.error);
      CHECK(client.open_end() == winze::Errc::kEof);

      if (udp) {
        CHECK(server.request().destination.network == Network::kUdp);
        check_datagrams(v, taking.received, "");
        check_datagrams(v, reading.received, "re: ");
      } else {
        CHECK(server.request().destination == test::local(v, "port"));
        CHECK(taking.received == test::sent());
        CHECK(reading.received == test::answered());
      }
    }
  }
}

}  // namespace
}  // namespace winze::trojan
