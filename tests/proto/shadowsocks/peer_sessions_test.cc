// Sessions of other makes' clients and servers, replayed to ours at every segment size.
#include "support/peer_sessions.h"

#include <doctest/doctest.h>

#include <cstring>

#include "support/shadowsocks.h"
#include "winze/base/error.h"
#include "winze/proto/shadowsocks/datagram.h"

namespace winze::shadowsocks {
namespace {

using namespace test;
using winze::test::answered;
using winze::test::Bytes;
using winze::test::CodecEnd;
using winze::test::local;
using winze::test::sent;
using winze::test::Vector;
using winze::test::wire_of;

std::shared_ptr<ServerOptions> server_of(const Vector& v) {
  const Method method = *parse_method(v.text("method"));
  auto options = test::server_of(method, v.text("password"));
  if (v.has("user")) {
    auto users = std::make_shared<UserTable>();
    users->add(keys_of(method, password_for(method, 9))->user, {.name = "bob"});
    users->add(keys_of(method, v.text("user"))->user, {.name = "ann"});
    options->users = std::move(users);
  }
  return options;
}

std::shared_ptr<const Keys> client_of(const Vector& v) {
  return keys_of(*parse_method(v.text("method")), v.text("password") + (v.has("user") ? ":" + v.text("user") : ""));
}

std::string user_of(const Vector& v) { return v.has("user") ? "ann" : "everybody"; }

TEST_CASE("shadowsocks: connections of other makes, read by our server and our client") {
  for (const auto& v : winze::test::load_vectors("shadowsocks/peer_sessions.txt")) {
    const Method method = *parse_method(v.text("method"));
    CAPTURE(v.text("method"));
    const Bytes up = v.bytes("up");
    for (const std::size_t segment : winze::test::kSegmentSizes) {
      CAPTURE(segment);
      World world;
      world.clock.now = std::stoll(v.text("time"));
      ServerCodec server(server_of(v), world.around());
      CodecEnd taking(server);
      taking.step({});
      winze::test::feed(taking, wire_of(v, "up"), segment);
      REQUIRE(taking.opened);
      CHECK(server.request().destination == local(v, "port"));
      CHECK(server.request().user == user_of(v));
      CHECK(taking.received == sent());
      CHECK(server.open_end() == winze::Errc::kEof);

      // An answer of 2022 is to the request with its salt.
      World asking(Bytes(up.begin(), up.begin() + static_cast<std::ptrdiff_t>(key_size(method))));
      asking.clock.now = world.clock.now;
      ClientCodec client(client_of(v), server.request().destination, asking.around());
      CodecEnd reading(client);
      reading.step({});
      REQUIRE_FALSE(reading.write(sent()));
      winze::test::feed(reading, wire_of(v, "down"), segment);
      CHECK_FALSE(reading.error);
      CHECK(reading.received == answered());
      CHECK(client.open_end() == winze::Errc::kEof);
    }
  }
}

TEST_CASE("shadowsocks: a connection of another make with a bit changed is not believed") {
  for (const auto& v : winze::test::load_vectors("shadowsocks/peer_sessions.txt")) {
    CAPTURE(v.text("method"));
    for (std::size_t at = 0; at < wire_of(v, "up").size(); at += 41) {
      std::string up = wire_of(v, "up");
      up[at] ^= 1;
      World world;
      world.clock.now = std::stoll(v.text("time"));
      ServerCodec server(server_of(v), world.around());
      CodecEnd taking(server);
      taking.step({});
      winze::test::feed(taking, up, 1400);
      const bool refused = taking.error || !server.detail().empty();
      CHECK(refused);
      CHECK(sent().starts_with(taking.received));
    }
  }
}

TEST_CASE("shadowsocks: datagrams of other makes, read by our server and our client") {
  for (const auto& v : winze::test::load_vectors("shadowsocks/peer_sessions.txt")) {
    const Method method = *parse_method(v.text("method"));
    CAPTURE(v.text("method"));
    const Destination peer = local(v, "datagram_port", Network::kUdp);
    World world;
    world.clock.now = std::stoll(v.text("time"));
    DatagramServer server(server_of(v), world.around());
    Buffer datagram = Buffer::copy_of(v.bytes("datagram_up"));
    Destination to;
    std::uint64_t session = 0;
    REQUIRE(server.open(datagram, to, session) == Drop::kNone);
    CHECK(to == peer);
    CHECK(datagram.text() == "datagram");
    CHECK(server.account(session).name == user_of(v));

    // An answer of 2022 is to the session of its request.
    Bytes number(8);
    std::memcpy(number.data(), &session, number.size());
    World asking(is_2022(method) ? number : Bytes());
    asking.clock.now = world.clock.now;
    DatagramClient client(client_of(v), asking.around());
    Buffer answer = Buffer::copy_of(v.bytes("datagram_down"));
    Destination from;
    REQUIRE(client.open(answer, from) == Drop::kNone);
    CHECK(from == peer);
    CHECK(answer.text() == "re: datagram");
  }
}

}  // namespace
}  // namespace winze::shadowsocks
