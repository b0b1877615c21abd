// Sessions of other makes' clients and servers, replayed to ours at every segment size.
#include <doctest/doctest.h>

#include <cstring>

#include "support/codec_pair.h"
#include "support/shadowsocks.h"
#include "support/vectors.h"
#include "winze/base/error.h"
#include "winze/proto/shadowsocks/datagram.h"

namespace winze::shadowsocks {
namespace {

using namespace test;
using winze::test::Bytes;
using winze::test::CodecEnd;
using winze::test::Vector;

// The first `size` bytes of i * by + from.
std::string bytes_of(std::size_t size, std::size_t by, std::size_t from) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * by + from);
  return out;
}
std::string sent() { return bytes_of(120, 7, 0) + bytes_of(700, 11, 3); }
std::string answered() { return bytes_of(200, 13, 5) + bytes_of(900, 5, 1); }

void feed(CodecEnd& end, const Bytes& wire, std::size_t segment) {
  for (std::size_t at = 0; at < wire.size(); at += segment) {
    end.step(Buffer::copy_of(std::span(wire).subspan(at, std::min(segment, wire.size() - at))));
  }
}

std::uint16_t port_of(const Vector& v, const char* field) {
  return static_cast<std::uint16_t>(std::stoi(v.text(field)));
}

TEST_CASE("shadowsocks: connections of other makes, read by our server and our client") {
  for (const auto& v : winze::test::load_vectors("shadowsocks/peer_sessions.txt")) {
    const Method method = *parse_method(v.text("method"));
    CAPTURE(v.text("method"));
    const Bytes up = v.bytes("up"), down = v.bytes("down");
    for (const std::size_t segment : winze::test::kSegmentSizes) {
      CAPTURE(segment);
      World world;
      world.clock.now = std::stoll(v.text("time"));
      ServerCodec server(server_of(method, v.text("password")), world.around());
      CodecEnd taking(server);
      taking.step({});
      feed(taking, up, segment);
      REQUIRE(taking.opened);
      CHECK(server.request().destination == Destination("127.0.0.1", port_of(v, "port")));
      CHECK(taking.received == sent());
      CHECK(server.open_end() == winze::Errc::kEof);

      // An answer of 2022 is to the request with its salt.
      World asking(Bytes(up.begin(), up.begin() + static_cast<std::ptrdiff_t>(key_size(method))));
      asking.clock.now = world.clock.now;
      ClientCodec client(keys_of(method, v.text("password")), server.request().destination, asking.around());
      CodecEnd reading(client);
      reading.step({});
      REQUIRE_FALSE(reading.write(sent()));
      feed(reading, down, segment);
      CHECK_FALSE(reading.error);
      CHECK(reading.received == answered());
      CHECK(client.open_end() == winze::Errc::kEof);
    }
  }
}

TEST_CASE("shadowsocks: a connection of another make with a bit changed is not believed") {
  for (const auto& v : winze::test::load_vectors("shadowsocks/peer_sessions.txt")) {
    const Method method = *parse_method(v.text("method"));
    CAPTURE(v.text("method"));
    for (std::size_t at = 0; at < v.bytes("up").size(); at += 41) {
      Bytes up = v.bytes("up");
      up[at] ^= 1;
      World world;
      world.clock.now = std::stoll(v.text("time"));
      ServerCodec server(server_of(method, v.text("password")), world.around());
      CodecEnd taking(server);
      taking.step({});
      feed(taking, up, 1400);
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
    const Destination peer("127.0.0.1", port_of(v, "datagram_port"), Network::kUdp);
    World world;
    world.clock.now = std::stoll(v.text("time"));
    DatagramServer server(server_of(method, v.text("password")), world.around());
    Buffer datagram = Buffer::copy_of(v.bytes("datagram_up"));
    Destination to;
    std::uint64_t session = 0;
    REQUIRE(server.open(datagram, to, session) == Drop::kNone);
    CHECK(to == peer);
    CHECK(datagram.text() == "datagram");

    // An answer of 2022 is to the session of its request.
    Bytes number(8);
    std::memcpy(number.data(), &session, number.size());
    World asking(is_2022(method) ? number : Bytes());
    asking.clock.now = world.clock.now;
    DatagramClient client(keys_of(method, v.text("password")), asking.around());
    Buffer answer = Buffer::copy_of(v.bytes("datagram_down"));
    Destination from;
    REQUIRE(client.open(answer, from) == Drop::kNone);
    CHECK(from == peer);
    CHECK(answer.text() == "re: datagram");
  }
}

}  // namespace
}  // namespace winze::shadowsocks
