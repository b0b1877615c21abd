#include "winze/io/udp.h"

#include <doctest/doctest.h>

#include <asio/io_context.hpp>
#include <iterator>
#include <string>
#include <vector>

#include "winze/base/error.h"
#include "winze/io/system.h"

namespace winze {
namespace {

struct Fixture {
  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();

  SocketResult open(const char* at, bool offload = true) {
    SocketResult result = open_udp(environment, {.bind = *Endpoint::parse(at), .offload = offload});
    REQUIRE_MESSAGE(!result.error, result.what);
    return result;
  }
};

std::vector<Datagram> datagrams(const Endpoint& to, const std::vector<std::size_t>& sizes) {
  std::vector<Datagram> out;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::string bytes(sizes[i], static_cast<char>('a' + i % 26));
    out.push_back({.payload = Buffer::copy_of(bytes), .peer = Destination(to, Network::kUdp)});
  }
  return out;
}

TEST_CASE("udp: batches arrive whole, in order, with their source, whatever the kernel joins") {
  for (bool offload : {true, false}) {
    for (const char* address : {"127.0.0.1:0", "[::1]:0"}) {
      CAPTURE(offload);
      CAPTURE(address);
      Fixture f;
      SocketResult near = f.open(address, offload), far = f.open(address, offload);
      std::vector<std::size_t> sizes = {1, 100, 100, 100, 40, 40, 1400};
      for (int i = 0; i < 100; ++i) sizes.push_back(1200);
      sizes.push_back(700);
      auto batch = datagrams(far.local, sizes);
      far.conduit->reserve({.front = 64, .back = 32});
      CHECK(near.conduit->send(batch) == sizes.size());
      std::vector<std::size_t> got;
      std::function<void()> receive = [&] {
        far.conduit->receive([&](std::error_code error, std::span<Datagram> received) {
          REQUIRE_FALSE(error);
          for (Datagram& datagram : received) {
            CHECK(datagram.payload.text() ==
                  std::string(datagram.payload.size(), static_cast<char>('a' + got.size() % 26)));
            CHECK(datagram.payload.headroom() >= 64);
            CHECK(datagram.payload.tailroom() >= 32);
            CHECK(datagram.peer == Destination(near.local, Network::kUdp));
            got.push_back(datagram.payload.size());
          }
          got.size() < sizes.size() ? receive() : f.context.stop();
        });
      };
      receive();
      f.context.run_for(std::chrono::seconds(30));
      CHECK(got == sizes);
    }
  }
}

TEST_CASE("udp: a socket of both families talks to IPv4, and tells its address as such") {
  Fixture f;
  SocketResult both = f.open("[::]:0"), v4 = f.open("127.0.0.1:0");
  Datagram datagram{
      .payload = Buffer::copy_of("hello"), .peer = Destination(v4.local, Network::kUdp), .traffic_class = 0x2a};
  CHECK(both.conduit->send(std::span(&datagram, 1)) == 1);
  std::string text;
  Destination from;
  int traffic_class = 0;
  v4.conduit->receive([&](std::error_code error, std::span<Datagram> received) {
    REQUIRE_FALSE(error);
    text = received[0].payload.text();
    from = received[0].peer;
    traffic_class = received[0].traffic_class;
    f.context.stop();
  });
  f.context.run_for(std::chrono::seconds(30));
  CHECK(text == "hello");
  CHECK(traffic_class == 0x2a);
  CHECK(from == Destination("127.0.0.1", both.local.port, Network::kUdp));
}

TEST_CASE("udp: a datagram tells where it came to, and may say where it comes from") {
  for (const char* text : {"127.0.0.9", "::1"}) {
    CAPTURE(text);
    Fixture f;
    SocketResult any = f.open("[::]:0");
    SocketResult peer = f.open(*text == '1' ? "127.0.0.1:0" : "[::1]:0");
    const Endpoint at{*IpAddress::parse(text), any.local.port};
    Datagram there{.payload = Buffer::copy_of("hello"), .peer = Destination(at, Network::kUdp)};
    CHECK(peer.conduit->send(std::span(&there, 1)) == 1);
    IpAddress local;
    any.conduit->receive([&](std::error_code error, std::span<Datagram> received) {
      REQUIRE_FALSE(error);
      local = received[0].local;
      Datagram back{.payload = Buffer::copy_of("answer"), .peer = received[0].peer, .local = local};
      CHECK(any.conduit->send(std::span(&back, 1)) == 1);
    });
    Destination from;
    peer.conduit->receive([&](std::error_code error, std::span<Datagram> received) {
      REQUIRE_FALSE(error);
      from = received[0].peer;
      f.context.stop();
    });
    f.context.run_for(std::chrono::seconds(30));
    CHECK(local == at.address);
    CHECK(from == Destination(at, Network::kUdp));
  }
}

TEST_CASE("udp: sockets that share a port get what is steered to them") {
  Fixture f;
  constexpr std::uint32_t kBase = 0xffffffff;  // wraps
  std::vector<SocketResult> sockets;
  std::uint16_t port = 0;
  for (int i = 0; i < 3; ++i) {
    sockets.push_back(open_udp(f.environment, {.bind = {*IpAddress::parse("127.0.0.1"), port},
                                               .reuse_port = true,
                                               .steering = Steering{.base = kBase, .count = 3}}));
    REQUIRE_MESSAGE(!sockets.back().error, sockets.back().what);
    port = sockets.back().local.port;
  }
  std::vector<std::string> got(3);
  std::function<void(std::size_t)> receive = [&](std::size_t i) {
    sockets[i].conduit->receive([&, i](std::error_code error, std::span<Datagram> received) {
      if (error) return;
      for (const Datagram& datagram : received) got[i] += datagram.payload.text().back();
      receive(i);
    });
  };
  for (std::size_t i = 0; i < 3; ++i) receive(i);
  SocketResult peer = f.open("127.0.0.1:0");
  const std::string texts[] = {std::string("\xff\xff\xff\xff") + "a", std::string("\0\0\0\0b", 5),
                               std::string("\0\0\0\1c", 5), std::string("\0\0\0\2d", 5), "hi"};
  for (const std::string& text : texts) {
    // Of differing sizes, so that the kernel joins none.
    Datagram datagram{.payload = Buffer::copy_of(text), .peer = Destination(sockets[0].local, Network::kUdp)};
    CHECK(peer.conduit->send(std::span(&datagram, 1)) == 1);
    f.context.restart();
    f.context.run_for(std::chrono::milliseconds(20));
  }
  for (int i = 0; i < 3000 && got[0].size() + got[1].size() + got[2].size() < std::size(texts); ++i) {
    f.context.restart();
    f.context.run_for(std::chrono::milliseconds(10));
  }
  CHECK(got[1] == "b");
  CHECK(got[2] == "c");
  CHECK(got[0] == "adi");
}

TEST_CASE("udp: with discovery on, a peer that is not there costs no other datagram") {
  Fixture f;
  SocketResult socket =
      open_udp(f.environment, {.bind = *Endpoint::parse("127.0.0.1:0"), .socket = {.path_mtu = PathMtu::kDiscover}});
  REQUIRE_MESSAGE(!socket.error, socket.what);
  SocketResult peer = f.open("127.0.0.1:0");
  for (int i = 0; i < 10; ++i) {
    Datagram nobody{.payload = Buffer::copy_of("x"), .peer = Destination("127.0.0.1", 1, Network::kUdp)};
    CHECK(socket.conduit->send(std::span(&nobody, 1)) == 1);
    Datagram datagram{.payload = Buffer::copy_of("x"), .peer = Destination(peer.local, Network::kUdp)};
    CHECK(socket.conduit->send(std::span(&datagram, 1)) == 1);
  }
  CHECK(socket.conduit->dropped() == 0);
}

TEST_CASE("udp: one batch to many peers, in order, without those that cannot be reached") {
  Fixture f;
  SocketResult socket = f.open("127.0.0.1:0");
  std::vector<SocketResult> peers;
  std::vector<std::string> got(20);
  for (int i = 0; i < 20; ++i) peers.push_back(f.open("127.0.0.1:0"));
  std::vector<Datagram> batch;
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < peers.size(); ++i) {
      batch.push_back(
          {.payload = Buffer::copy_of(std::to_string(round)), .peer = Destination(peers[i].local, Network::kUdp)});
    }
    batch.push_back({.payload = Buffer::copy_of("x"), .peer = Destination("::1", 7, Network::kUdp)});
  }
  CHECK(socket.conduit->send(batch) == 60);
  CHECK(socket.conduit->dropped() == 3);
  std::function<void(std::size_t)> receive = [&](std::size_t i) {
    peers[i].conduit->receive([&, i](std::error_code error, std::span<Datagram> received) {
      if (error) return;
      for (const Datagram& datagram : received) got[i] += datagram.payload.text();
      receive(i);
    });
  };
  for (std::size_t i = 0; i < peers.size(); ++i) receive(i);
  const std::vector<std::string> wanted(20, "012");
  for (int i = 0; i < 3000 && got != wanted; ++i) {
    f.context.restart();
    f.context.run_for(std::chrono::milliseconds(10));
  }
  CHECK(got == wanted);
}

TEST_CASE("udp: names and nobody's ports are no failure; close cancels; one receive at a time") {
  Fixture f;
  SocketResult socket = f.open("127.0.0.1:0");
  Datagram named{.payload = Buffer::copy_of("x"), .peer = Destination("a.test", 1, Network::kUdp)};
  CHECK(socket.conduit->send(std::span(&named, 1)) == 0);
  CHECK(socket.conduit->dropped() == 1);
  Datagram nobody{.payload = Buffer::copy_of("x"), .peer = Destination("127.0.0.1", 1, Network::kUdp)};
  CHECK(socket.conduit->send(std::span(&nobody, 1)) == 1);
  std::error_code first, second, third;
  socket.conduit->receive([&](std::error_code error, std::span<Datagram>) { first = error; });
  socket.conduit->receive([&](std::error_code error, std::span<Datagram>) { second = error; });
  while (!second) f.context.run_one();
  CHECK(second == Errc::kBusy);
  CHECK_FALSE(first);
  socket.conduit->close();
  socket.conduit->receive([&](std::error_code error, std::span<Datagram>) { third = error; });
  while (!first || !third) f.context.run_one();
  CHECK(first == Errc::kAborted);
  CHECK(third == Errc::kClosed);
}

TEST_CASE("udp: an address in use says so") {
  Fixture f;
  SocketResult first = f.open("127.0.0.1:0");
  const SocketResult second = open_udp(f.environment, {.bind = first.local});
  CHECK(second.error == std::errc::address_in_use);
  CHECK(second.what.find(first.local.to_string()) != std::string::npos);
}

}  // namespace
}  // namespace winze
