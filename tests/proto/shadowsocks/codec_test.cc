#include "winze/proto/shadowsocks/codec.h"

#include <doctest/doctest.h>

#include "proto/shadowsocks/chunks.h"
#include "support/codec_pair.h"
#include "support/shadowsocks.h"
#include "support/vectors.h"
#include "winze/base/error.h"

namespace winze::shadowsocks {
namespace {

using namespace test;
using winze::test::Bytes;
using winze::test::CodecEnd;
using winze::test::CodecPair;
using winze::test::from_hex;
using winze::test::to_hex;

const Destination kTo("example.test", 443);

TEST_CASE("shadowsocks: keys of passwords and of sessions, and a chunk, byte for byte") {
  for (const auto& v : winze::test::load_vectors("shadowsocks/streams.txt")) {
    const Method method = *parse_method(v.text("method"));
    CAPTURE(v.text("method"));
    const auto keys = keys_of(method, v.text("password"));
    CHECK(winze::test::hex(keys->user.span()) == v.text("key"));
    Bytes session(key_size(method));
    derive_session_key(method, keys->user.span(), v.bytes("salt"), session);
    CHECK(winze::test::hex(session) == v.text("session"));
    if (!v.has("chunk")) continue;
    BufferPool pool;
    ChunkSealer sealer(method, keys->user.span(), v.bytes("salt"), pool);
    Buffer data = Buffer::copy_of("hello");
    sealer.seal(data);
    CHECK(to_hex(data.text()) == v.text("chunk"));
  }
}

TEST_CASE("shadowsocks 2022: a request and an answer of another make, byte for byte") {
  const auto all = winze::test::load_vectors("shadowsocks/streams.txt");
  const auto& v = all.back();
  const Method method = *parse_method(v.text("method"));
  World world(winze::test::unhex(v.text("answer").substr(0, 32)));
  world.clock.now = std::stoll(v.text("time"));
  auto options = server_of(method, v.text("password"));
  ServerCodec server(options, world.around());
  CodecEnd end(server);
  end.step({});
  end.step(Buffer::copy_of(from_hex(v.text("request"))));
  // It has neither padding nor a payload of its own header: "hello" is that payload.
  REQUIRE(end.opened);
  CHECK(server.request().destination == Destination("127.0.0.1", 80));
  CHECK(end.received == "hello");
  CHECK_FALSE(end.write("world"));
  CHECK(to_hex(end.wire) == v.text("answer"));
}

TEST_CASE("shadowsocks 2022: identity headers of another make") {
  const auto all = winze::test::load_vectors("shadowsocks/streams.txt");
  const auto& v = all.back();
  const Method method = *parse_method(v.text("method"));
  const auto keys = keys_of(method, v.text("password") + ":" + base64_encode(v.bytes("user")));
  REQUIRE(keys->identity.size() == 1);
  CHECK(winze::test::hex(name_of_key(keys->user.span())) == v.text("user_name"));
  World world(v.bytes("salt"));
  ClientCodec client(keys, kTo, world.around());
  CodecEnd end(client);
  end.step({});
  CHECK_FALSE(end.write("hello"));
  CHECK(to_hex(end.wire.substr(16, 16)) == v.text("identity"));
}

struct Pair {
  explicit Pair(Method method, std::size_t segment = 65536, bool with_users = false) {
    const std::string password = password_for(method);
    options = server_of(method, password);
    std::string client_password = password;
    if (with_users) {
      auto table = std::make_shared<UserTable>();
      for (std::uint8_t i = 10; i < 14; ++i) {
        table->add(keys_of(method, password_for(method, i))->user, {.name = "user " + std::to_string(i), .level = i});
      }
      users = table;
      options->users = table;
      client_password += ":" + password_for(method, 12);
    }
    client = std::make_unique<ClientCodec>(keys_of(method, client_password), kTo, world.around());
    server = std::make_unique<ServerCodec>(options, world.around());
    pair = std::make_unique<CodecPair>(*client, *server, segment);
  }

  World world;
  std::shared_ptr<ServerOptions> options;
  std::shared_ptr<UserTable> users;
  std::unique_ptr<ClientCodec> client;
  std::unique_ptr<ServerCodec> server;
  std::unique_ptr<CodecPair> pair;
};

std::string text_of(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 7 + (i >> 8));
  return out;
}

TEST_CASE("shadowsocks: every method, both ways, through segments of any size, of small and of large writes") {
  for (const Method method : kMethods) {
    for (const std::size_t segment : winze::test::kSegmentSizes) {
      for (const bool with_users : {false, true}) {
        if (with_users && !has_identities(method)) continue;
        CAPTURE(name_of(method));
        CAPTURE(segment);
        CAPTURE(with_users);
        Pair p(method, segment, with_users);
        auto& [client, server, size] = *p.pair;
        const std::size_t large = segment < 1000 ? 40'000 : 300'000;
        std::string up, down;
        for (const std::size_t n : {std::size_t{1}, std::size_t{0x3fff}, std::size_t{0x4000}, large}) {
          REQUIRE_FALSE(client.write(text_of(n)));
          up += text_of(n);
          p.pair->pump();
          REQUIRE(server.opened);
          REQUIRE_FALSE(server.write(text_of(n + 1)));
          down += text_of(n + 1);
          p.pair->pump();
        }
        CHECK(server.received == up);
        CHECK(client.received == down);
        CHECK(p.server->request().destination == kTo);
        CHECK(p.server->request().user == (with_users ? "user 12" : "everybody"));
        CHECK(p.server->request().level == (with_users ? 12 : 2));
        client.end();
        server.end();
        p.pair->pump();
        CHECK(server.error == winze::Errc::kEof);
        CHECK(client.error == winze::Errc::kEof);
      }
    }
  }
}

TEST_CASE("shadowsocks: a first write longer than a header can hold") {
  for (const Method method : kMethods) {
    CAPTURE(name_of(method));
    Pair p(method);
    REQUIRE_FALSE(p.pair->client.write(text_of(200'000)));
    p.pair->pump();
    CHECK(p.pair->server.received == text_of(200'000));
    REQUIRE_FALSE(p.pair->server.write(text_of(200'001)));
    p.pair->pump();
    CHECK(p.pair->client.received == text_of(200'001));
  }
}

TEST_CASE("shadowsocks: empty chunks say nothing, and end nothing") {
  for (const Method method : kMethods) {
    CAPTURE(name_of(method));
    const Bytes key(key_size(method)), salt(key_size(method));
    BufferPool pool;
    ChunkSealer sealer(method, key, salt, pool);
    const auto empty_chunk = [&] {
      Bytes chunk(kLengthSize + kTagSize);
      sealer.seal_unit(chunk.data(), 2);
      sealer.seal_unit(chunk.data() + kLengthSize, 0);
      return chunk;
    };
    std::string wire;
    for (const char* text : {"", "one", "", "", "two", ""}) {
      if (*text == '\0') {
        const Bytes chunk = empty_chunk();
        wire.append(chunk.begin(), chunk.end());
      } else {
        Buffer data = Buffer::copy_of(text, ChunkSealer::kOverhead);
        sealer.seal(data);
        wire.append(data.text());
      }
    }
    for (std::size_t segment = 1; segment <= wire.size(); ++segment) {
      ChunkOpener opener(method, key, salt, pool);
      std::string plain;
      for (std::size_t at = 0; at < wire.size(); at += segment) {
        Buffer data = Buffer::copy_of(wire.substr(at, segment));
        REQUIRE_FALSE(opener.open(data));
        plain += data.text();
      }
      CHECK(plain == "onetwo");
      CHECK_FALSE(opener.is_partial());
    }
  }
}

TEST_CASE("shadowsocks: a client that has nothing to say, or that does not say it yet, still asks") {
  for (const Method method : kMethods) {
    CAPTURE(name_of(method));
    Pair quiet(method);
    CHECK(quiet.client->holds_opening());
    REQUIRE_FALSE(quiet.pair->client.write(""));
    CHECK_FALSE(quiet.client->holds_opening());
    quiet.pair->pump();
    CHECK(quiet.pair->server.opened);
    CHECK(quiet.server->request().destination == kTo);
    Pair ending(method);
    ending.pair->client.end();
    ending.pair->pump();
    CHECK(ending.pair->server.opened);
    CHECK(ending.pair->server.error == winze::Errc::kEof);
  }
}

TEST_CASE("shadowsocks: seals in place, in the room it asks for, and opens in place what came whole") {
  for (const Method method : kMethods) {
    CAPTURE(name_of(method));
    Pair p(method);
    for (const std::string_view text : {"first", "second"}) {
      Buffer data = Buffer::copy_of(text, p.client->overhead());
      const std::uint8_t* const at = data.data();
      REQUIRE_FALSE(p.client->seal(data));
      CHECK(data.data() < at);
      CHECK(data.data() + data.size() > at + text.size());
      p.pair->server.step(std::move(data));
    }
    CHECK(p.pair->server.received == "firstsecond");
    Buffer data = Buffer::copy_of("third", p.client->overhead());
    REQUIRE_FALSE(p.client->seal(data));
    const std::uint8_t* const wire = data.data();
    Buffer reply;
    REQUIRE_FALSE(p.server->open(data, reply));
    CHECK(data.text() == "third");
    CHECK(data.data() == wire + kLengthSize);
  }
}

TEST_CASE("shadowsocks: an end within a chunk is none") {
  for (const Method method : kMethods) {
    Pair p(method);
    REQUIRE_FALSE(p.pair->client.write("hello"));
    p.pair->pump();
    CHECK(p.server->open_end() == winze::Errc::kEof);
    REQUIRE_FALSE(p.pair->client.write("hello"));
    p.pair->server.step(Buffer::copy_of(p.pair->client.wire.substr(0, 20)));
    CHECK(p.server->open_end() == winze::Errc::kTruncated);
  }
}

TEST_CASE("shadowsocks: damage after the opening is an error, and nothing behind it is given out") {
  for (const Method method : kMethods) {
    Pair p(method);
    REQUIRE_FALSE(p.pair->client.write("hello"));
    p.pair->pump();
    REQUIRE_FALSE(p.pair->client.write("abc"));
    REQUIRE_FALSE(p.pair->client.write("def"));
    std::string wire = std::exchange(p.pair->client.wire, {});
    wire[wire.size() - 1] ^= 1;
    p.pair->server.step(Buffer::copy_of(wire));
    CHECK(p.pair->server.error == Errc::kBadChunk);
    CHECK(p.pair->server.received == "helloabc");
  }
}

TEST_CASE("shadowsocks client: answers that are none to its request") {
  for (const Method method : kMethods) {
    CAPTURE(name_of(method));
    const auto answer_of = [&](Pair& p) {
      REQUIRE_FALSE(p.pair->client.write("hello"));
      p.pair->pump();
      REQUIRE_FALSE(p.pair->server.write("world"));
      return std::exchange(p.pair->server.wire, {});
    };
    Pair p(method);
    std::string wire = answer_of(p);
    wire[key_size(method)] ^= 1;
    p.pair->client.step(Buffer::copy_of(wire));
    CHECK(p.pair->client.error == Errc::kBadChunk);
    if (!is_2022(method)) continue;

    Pair one(method), other(method);
    Bytes skipped(1);
    other.world.random.fill(skipped);
    const std::string foreign = answer_of(other);
    (void)answer_of(one);
    one.pair->client.step(Buffer::copy_of(foreign));
    CHECK(one.pair->client.error == Errc::kWrongAnswer);

    Pair late(method);
    const std::string old = answer_of(late);
    late.world.clock.now += 31;
    late.pair->client.step(Buffer::copy_of(old));
    CHECK(late.pair->client.error == Errc::kBadTime);

    // Its own request, sent back.
    Pair mirror(method);
    REQUIRE_FALSE(mirror.pair->client.write("hello"));
    mirror.pair->client.step(Buffer::copy_of(mirror.pair->client.wire));
    CHECK(mirror.pair->client.error);
  }
}

TEST_CASE("shadowsocks client: names that cannot be sent") {
  World world;
  for (const std::string& name : {std::string(), std::string(256, 'a')}) {
    ClientCodec client(keys_of(Method::kAes256Gcm, "x"), Destination(name, 1), world.around());
    CodecEnd end(client);
    end.step({});
    CHECK(end.error == Errc::kBadName);
    CHECK(end.write("x") == Errc::kBadName);
    end.end();
    CHECK(end.wire.empty());
  }
}

TEST_CASE("shadowsocks users: found by the names of their keys, added and removed while a server runs") {
  const Method method = Method::k2022Aes256Gcm;
  UserTable users;
  const Secret a = keys_of(method, password_for(method, 1))->user, b = keys_of(method, password_for(method, 2))->user;
  CHECK(users.add(a, {.name = "ann", .level = 1}));
  CHECK_FALSE(users.add(a, {.name = "bob"}));
  CHECK(users.add(b, {.name = "ann", .level = 2}));
  REQUIRE(users.find(name_of_key(b.span())) != nullptr);
  CHECK(users.find(name_of_key(b.span()))->account.level == 2);
  CHECK(users.remove("ann"));
  CHECK(users.find(name_of_key(a.span())) == nullptr);
  CHECK(users.find(name_of_key(b.span())) == nullptr);
  CHECK_FALSE(users.remove("ann"));
}

}  // namespace
}  // namespace winze::shadowsocks
