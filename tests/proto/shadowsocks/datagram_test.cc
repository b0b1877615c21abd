#include "winze/proto/shadowsocks/datagram.h"

#include <doctest/doctest.h>

#include "support/shadowsocks.h"
#include "support/vectors.h"

namespace winze::shadowsocks {
namespace {

using namespace test;
using winze::test::Bytes;

Destination udp(std::string_view host, std::uint16_t port) { return Destination(host, port, Network::kUdp); }

TEST_CASE("shadowsocks 2022: datagrams of another make, byte for byte") {
  for (const auto& v : winze::test::load_vectors("shadowsocks/datagrams.txt")) {
    const Method method = *parse_method(v.text("method"));
    World world;
    world.clock.now = std::stoll(v.text("time"));
    auto options = server_of(method, v.text("password"));
    if (v.has("user")) {
      auto users = std::make_shared<UserTable>();
      users->add(keys_of(method, v.text("user"))->user, {.name = "ann", .level = 1});
      options->users = users;
    }
    DatagramServer server(options, world.around());
    const Bytes packet = v.bytes("packet");
    Buffer datagram = Buffer::copy_of(packet);
    Destination to;
    std::uint64_t session = 0;
    CHECK(server.open(datagram, to, session) == Drop::kNone);
    CHECK(session == 0x0102030405060708);
    CHECK(to == udp("127.0.0.1", 53));
    CHECK(datagram.text() == "hello");
    CHECK(server.account(session).name == (v.has("user") ? "ann" : "everybody"));
    Buffer again = Buffer::copy_of(packet);
    CHECK(server.open(again, to, session) == Drop::kReplayed);
  }
}

struct Pair {
  explicit Pair(Method with, bool with_users = false) : method(with) {
    std::string password = password_for(method);
    options = server_of(method, password);
    if (with_users) {
      users = std::make_shared<UserTable>();
      users->add(keys_of(method, password_for(method, 5))->user, {.name = "ann", .level = 1});
      options->users = users;
      password += ":" + password_for(method, 5);
    }
    client = std::make_unique<DatagramClient>(keys_of(method, password), world.around());
    server = std::make_unique<DatagramServer>(options, world.around());
  }

  std::string request(std::string_view text, const Destination& to) {
    Buffer datagram = Buffer::copy_of(text, client->overhead());
    CHECK(client->seal(datagram, to));
    return std::string(datagram.text());
  }
  std::string answer(std::string_view text, const Destination& from) {
    Buffer datagram = Buffer::copy_of(text, server->overhead());
    CHECK(server->seal(datagram, from, session));
    return std::string(datagram.text());
  }
  Drop at_server(std::string_view wire) {
    opened = Buffer::copy_of(wire);
    return server->open(opened, peer, session);
  }
  Drop at_client(std::string_view wire) {
    opened = Buffer::copy_of(wire);
    return client->open(opened, peer);
  }

  Method method;
  World world;
  std::shared_ptr<ServerOptions> options;
  std::shared_ptr<UserTable> users;
  std::unique_ptr<DatagramClient> client;
  std::unique_ptr<DatagramServer> server;
  std::uint64_t session = 0;
  Buffer opened;
  Destination peer;
};

TEST_CASE("shadowsocks: datagrams of any size both ways, to addresses and to names") {
  for (const Method method : kMethods) {
    for (const bool with_users : {false, true}) {
      if (with_users && !has_identities(method)) continue;
      CAPTURE(name_of(method));
      Pair p(method, with_users);
      for (const Destination& to : {udp("a.test", 7), udp("192.0.2.1", 53), udp("2001:db8::1", 65535)}) {
        for (const std::size_t size : {0, 1, 2, 3, 899, 900, 1400, 60000}) {
          CAPTURE(size);
          const std::string text(size, 'x');
          REQUIRE(p.at_server(p.request(text, to)) == Drop::kNone);
          CHECK(p.opened.text() == text);
          CHECK(p.peer == to);
          REQUIRE(p.at_client(p.answer(text, to)) == Drop::kNone);
          CHECK(p.opened.text() == text);
          CHECK(p.peer == to);
        }
      }
    }
  }
}

TEST_CASE("shadowsocks: a datagram is sealed in the room that was asked for") {
  for (const Method method : kMethods) {
    Pair p(method);
    Buffer datagram = Buffer::copy_of("hello", p.client->overhead());
    const std::uint8_t* const payload = datagram.data();
    REQUIRE(p.client->seal(datagram, udp("a.test", 7)));
    CHECK(datagram.data() < payload);
    CHECK(datagram.data() + datagram.size() == payload + 5 + 16);
  }
}

TEST_CASE("shadowsocks: datagrams that are damaged, cut short, sent back or of others") {
  for (const Method method : kMethods) {
    CAPTURE(name_of(method));
    Pair p(method);
    const std::string request = p.request("hello", udp("192.0.2.1", 7));
    for (std::size_t at = 0; at < request.size(); ++at) {
      std::string changed = request;
      changed[at] ^= 1;
      CHECK(p.at_server(changed) == Drop::kBadTag);
    }
    for (std::size_t size = 0; size < request.size(); ++size)
      CHECK(p.at_server(request.substr(0, size)) != Drop::kNone);
    CHECK(p.at_client(request) != (is_2022(method) ? Drop::kNone : Drop::kBadTag));
    Pair other(method);
    other.options->key = keys_of(method, password_for(method, 9))->user;
    DatagramServer stranger(other.options, other.world.around());
    Buffer datagram = Buffer::copy_of(request);
    CHECK(stranger.open(datagram, other.peer, other.session) == Drop::kBadTag);
    CHECK(p.at_server(request) == Drop::kNone);
  }
  World world;
  DatagramClient client(keys_of(Method::kAes128Gcm, "x"), world.around());
  Buffer datagram = Buffer::copy_of("x");
  CHECK_FALSE(client.seal(datagram, udp("", 1)));
  CHECK(datagram.text() == "x");
}

TEST_CASE("shadowsocks: a datagram is taken once, by whichever server shares the window") {
  for (const Method method : kMethods) {
    CAPTURE(name_of(method));
    Pair p(method);
    const std::string first = p.request("one", udp("192.0.2.1", 7)), second = p.request("two", udp("192.0.2.1", 7));
    std::string forged = first;
    forged.back() ^= 1;
    CHECK(p.at_server(forged) == Drop::kBadTag);
    // What did not authenticate has not been seen.
    CHECK(p.at_server(first) == Drop::kNone);
    CHECK(p.at_server(second) == Drop::kNone);
    CHECK(p.at_server(first) == Drop::kReplayed);
    CHECK(p.at_server(second) == Drop::kReplayed);
    CHECK(p.server->dropped(Drop::kReplayed) == 2);
    CHECK(p.server->dropped(Drop::kBadTag) == 1);
    CHECK(p.server->dropped(Drop::kNone) == 2);
    DatagramServer other(p.options, p.world.around());
    Buffer again = Buffer::copy_of(first);
    CHECK(other.open(again, p.peer, p.session) == Drop::kReplayed);
    p.options->datagram_salts = nullptr;
    CHECK((p.at_server(first) == Drop::kNone) == !is_2022(method));
  }
}

TEST_CASE("shadowsocks 2022: a window of numbers, each taken once, late ones too") {
  for (const Method method : {Method::k2022Aes128Gcm, Method::k2022ChaCha20Poly1305}) {
    Pair p(method);
    std::vector<std::string> sent;
    for (int i = 0; i < 6000; ++i) sent.push_back(p.request("x", udp("192.0.2.1", 7)));
    CHECK(p.at_server(sent[5000]) == Drop::kNone);
    CHECK(p.at_server(sent[5000]) == Drop::kReplayed);
    CHECK(p.at_server(sent[4999]) == Drop::kNone);
    CHECK(p.at_server(sent[905]) == Drop::kNone);
    CHECK(p.at_server(sent[904]) == Drop::kReplayed);
    CHECK(p.at_server(sent[5999]) == Drop::kNone);
    const std::string answer = p.answer("x", udp("192.0.2.1", 7));
    CHECK(p.at_client(answer) == Drop::kNone);
    CHECK(p.at_client(answer) == Drop::kReplayed);
    p.world.clock.now += 31;
    CHECK(p.at_server(p.request("x", udp("192.0.2.1", 7))) == Drop::kNone);
    CHECK(p.at_server(sent[5500]) == Drop::kBadTime);
  }
}

TEST_CASE("shadowsocks 2022: what has been seen outlives its session; a removed user does not come back in it") {
  for (const bool with_users : {false, true}) {
    Pair p(Method::k2022Aes128Gcm, with_users);
    const std::string first = p.request("x", udp("192.0.2.1", 7));
    const std::string second = p.request("y", udp("192.0.2.1", 7));
    CHECK(p.at_server(first) == Drop::kNone);
    p.server->end(p.session);
    CHECK(p.at_server(first) == Drop::kReplayed);
    if (with_users) {
      p.users->remove("ann");
      CHECK(p.at_server(second) == Drop::kUnknownUser);
    } else {
      CHECK(p.at_server(second) == Drop::kNone);
    }
  }
}

TEST_CASE("shadowsocks 2022: the number of sessions is bounded, those ended long ago give way") {
  World world;
  const Method method = Method::k2022Aes128Gcm;
  auto options = server_of(method, password_for(method));
  DatagramServer server(options, world.around());
  const auto keys = keys_of(method, password_for(method));
  const auto open_one = [&] {
    DatagramClient client(keys, world.around());
    Buffer datagram = Buffer::copy_of("x");
    REQUIRE(client.seal(datagram, udp("192.0.2.1", 7)));
    Destination to;
    std::uint64_t session = 0;
    const Drop drop = server.open(datagram, to, session);
    if (drop == Drop::kNone) server.end(session);
    return drop;
  };
  for (int i = 0; i < 8192; ++i) REQUIRE(open_one() == Drop::kNone);
  CHECK(open_one() == Drop::kFull);
  world.clock.now += 61;
  CHECK(open_one() == Drop::kNone);
}

TEST_CASE("shadowsocks 2022 client: a server that was started again is heard, one that always is is not") {
  const Method method = Method::k2022Aes128Gcm;
  Pair p(method);
  const auto answer_anew = [&] {
    DatagramServer server(p.options, p.world.around());
    Buffer request = Buffer::copy_of(p.request("x", udp("192.0.2.1", 7)));
    REQUIRE(server.open(request, p.peer, p.session) == Drop::kNone);
    Buffer answer = Buffer::copy_of("y");
    REQUIRE(server.seal(answer, udp("192.0.2.1", 7), p.session));
    return std::string(answer.text());
  };
  CHECK(p.at_client(answer_anew()) == Drop::kNone);
  CHECK(p.at_client(answer_anew()) == Drop::kNone);
  CHECK(p.at_client(answer_anew()) == Drop::kForeign);
  p.world.clock.now += 61;
  CHECK(p.at_client(answer_anew()) == Drop::kNone);
  // Answers to another client's session.
  Pair other(method);
  other.world.random.u64();
  other.client = std::make_unique<DatagramClient>(keys_of(method, password_for(method)), other.world.around());
  REQUIRE(other.at_server(other.request("x", udp("192.0.2.1", 7))) == Drop::kNone);
  CHECK(p.at_client(other.answer("y", udp("192.0.2.1", 7))) != Drop::kNone);
}

}  // namespace
}  // namespace winze::shadowsocks
