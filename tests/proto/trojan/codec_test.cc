#include "winze/proto/trojan/codec.h"

#include <doctest/doctest.h>

#include "support/codec_pair.h"
#include "winze/base/error.h"

namespace winze::trojan {
namespace {

using test::CodecEnd;
using test::CodecPair;
using test::from_hex;

constexpr std::string_view kPassword = "pw-123";
constexpr std::string_view kKey = "cc9adbc1b004b79a2b8f51e9cf098957180eb403310da1514d052cff";

std::shared_ptr<UserTable> one_user() {
  auto users = std::make_shared<UserTable>();
  users->add(kPassword, {.name = "ann@example.org", .level = 3});
  return users;
}

// A request whose bytes behind the first line are these.
std::string request(std::string_view rest_hex) { return std::string(kKey) + "\r\n" + from_hex(rest_hex); }

void feed(CodecEnd& end, std::string_view bytes, std::size_t segment) {
  for (std::size_t at = 0; at < bytes.size() && !end.error; at += segment) {
    end.step(Buffer::copy_of(bytes.substr(at, segment)));
  }
}

// Captured between V2Ray 4.34's client and server: TCP to 127.0.0.1:25000 with the payload "hello", which is echoed.
constexpr std::string_view kCapturedRest = "01 01 7f000001 61a8 0d0a 68656c6c6f";

TEST_CASE("trojan client: sends and takes what V2Ray does") {
  ClientCodec codec(key_of(kPassword), Destination("127.0.0.1", 25000));
  CodecEnd end(codec);
  end.step({});
  REQUIRE(end.opened);
  CHECK(end.wire.empty());
  CHECK(codec.holds_opening());
  CHECK_FALSE(codec.seals_verbatim());
  CHECK_FALSE(end.write("hello"));
  CHECK(end.wire == request(kCapturedRest));
  CHECK(codec.seals_verbatim());
  CHECK_FALSE(codec.holds_opening());
  end.step(Buffer::copy_of("hello"));
  CHECK(end.received == "hello");
  CHECK(codec.open_end() == winze::Errc::kEof);
}

TEST_CASE("trojan client: the request fits into the room that overhead() asks for") {
  ClientCodec codec(key_of(kPassword), Destination("example.org", 80));
  Buffer data = Buffer::copy_of("abc", codec.overhead());
  const std::uint8_t* payload = data.data();
  CHECK_FALSE(codec.seal(data));
  CHECK(data.data() + data.size() - 3 == payload);
  CHECK(codec.overhead() == Overhead{});
}

TEST_CASE("trojan server: takes what V2Ray sends, at every segment size, and adds nothing") {
  for (std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    ServerCodec codec(one_user());
    CodecEnd end(codec);
    feed(end, request(kCapturedRest), segment);
    REQUIRE(end.opened);
    CHECK(codec.request().destination == Destination("127.0.0.1", 25000));
    CHECK(codec.request().user == "ann@example.org");
    CHECK(codec.request().level == 3);
    CHECK(end.received == "hello");
    CHECK_FALSE(codec.answers_at_once());
    codec.grant({});
    CHECK_FALSE(end.write("hello"));
    CHECK(end.wire == "hello");
  }
}

TEST_CASE("trojan: client and server understand each other") {
  std::string bulk(200000, 'x');
  for (std::size_t i = 0; i < bulk.size(); ++i) bulk[i] = static_cast<char>(i * 7);
  for (const Destination& destination :
       {Destination("example.org", 443), Destination("192.0.2.1", 80), Destination("2001:db8::1", 65535),
        Destination("dns.example", 53, Network::kUdp), Destination(std::string(255, 'a'), 1)}) {
    for (std::size_t segment : test::kSegmentSizes) {
      CAPTURE(destination.to_string());
      CAPTURE(segment);
      ClientCodec client(key_of(kPassword), destination);
      ServerCodec server(one_user());
      CodecPair pair(client, server, segment);
      CHECK_FALSE(pair.client.write(bulk));
      CHECK_FALSE(pair.client.write("tail"));
      pair.pump();
      REQUIRE(pair.server.opened);
      // The frames say whom datagrams are for.
      const bool udp = destination.network == Network::kUdp;
      CHECK(server.request().destination == (udp ? Destination(IpAddress(), 0, Network::kUdp) : destination));
      CHECK(pair.server.received == bulk + "tail");
      CHECK_FALSE(pair.server.write(bulk));
      pair.server.end();
      pair.pump();
      CHECK(pair.client.received == bulk);
      CHECK(pair.client.error == winze::Errc::kEof);
      pair.client.end();
      pair.pump();
      CHECK(pair.server.error == winze::Errc::kEof);
    }
  }
}

TEST_CASE("trojan: the request goes out alone when there is no payload") {
  for (const bool by_end : {false, true}) {
    ClientCodec client(key_of(kPassword), Destination("example.org", 25));
    ServerCodec server(one_user());
    CodecPair pair(client, server, 1400);
    if (by_end) {
      CHECK(pair.client.end() == StreamCodec::End::kShutdownBelow);
    } else {
      CHECK_FALSE(pair.client.write(""));
    }
    pair.pump();
    CHECK(pair.server.opened);
    CHECK(server.request().destination == Destination("example.org", 25));
  }
}

TEST_CASE("trojan server: a user's malformed request is an error, and nothing for a fallback") {
  struct Row {
    std::string_view rest;
    Errc error;
  };
  for (const Row& row :
       {Row{"00 01 7f000001 61a8 0d0a", Errc::kUnsupportedCommand},
        Row{"7f 01 7f000001 61a8 0d0a", Errc::kUnsupportedCommand}, Row{"01 02 7f000001 61a8 0d0a", Errc::kBadAddress},
        Row{"01 03 00 61a8 0d0a", Errc::kBadAddress}, Row{"01 03 03 612062 61a8 0d0a", Errc::kBadAddress},
        Row{"01 01 7f000001 61a8 0d0d", Errc::kBadAddress}, Row{"03 01 00000000 0000 0a0a", Errc::kBadAddress}}) {
    for (std::size_t segment : test::kSegmentSizes) {
      CAPTURE(row.rest);
      CAPTURE(segment);
      ServerCodec codec(one_user());
      CodecEnd end(codec);
      feed(end, request(row.rest), segment);
      CHECK(end.error == row.error);
      CHECK_FALSE(codec.is_stranger(end.error));
      CHECK(end.unread.empty());
      CHECK(end.wire.empty());
    }
  }
}

TEST_CASE("trojan server: strangers fail early, and all their bytes are left for the fallback") {
  struct Row {
    std::string bytes;
    Errc error;
    std::size_t decided_at;  // the number of bytes it takes
  };
  std::string upper(kKey);
  upper[0] = 'C';
  std::string unknown(kKey);
  unknown[55] = '0';
  for (const Row& row : {Row{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Errc::kNotTrojan, 1},
                         Row{upper + "\r\n" + from_hex(kCapturedRest), Errc::kNotTrojan, 1},
                         Row{std::string(kKey) + "\n\r whatever follows", Errc::kNotTrojan, 57},
                         Row{std::string(kKey) + "\rx whatever follows", Errc::kNotTrojan, 58},
                         Row{unknown + "\r\n" + from_hex(kCapturedRest), Errc::kUnknownUser, 58}}) {
    for (std::size_t segment : test::kSegmentSizes) {
      CAPTURE(row.bytes);
      CAPTURE(segment);
      ServerCodec codec(one_user());
      CodecEnd end(codec);
      std::size_t at = 0;
      for (; at < row.bytes.size() && !end.error; at += segment) {
        end.step(Buffer::copy_of(std::string_view(row.bytes).substr(at, segment)));
      }
      CHECK(end.error == row.error);
      CHECK(codec.is_stranger(end.error));
      CHECK(end.unread == row.bytes.substr(0, at));
      CHECK(at < row.decided_at + segment);
      CHECK(end.wire.empty());
    }
  }
}

TEST_CASE("trojan server: what was taken of an opening that stopped is a fallback's, until it shows a user") {
  for (std::size_t size = 1; size < request(kCapturedRest).size() - 5; ++size) {
    CAPTURE(size);
    ServerCodec codec(one_user());
    CodecEnd end(codec);
    feed(end, std::string_view(request(kCapturedRest)).substr(0, size), 7);
    CHECK_FALSE(end.error);
    CHECK_FALSE(end.opened);
    const auto received = codec.take_received();
    REQUIRE(received.has_value() == (size < kKeySize + 2));
    if (received) CHECK(received->text() == request(kCapturedRest).substr(0, size));
  }
}

TEST_CASE("trojan client: destinations that cannot be sent") {
  for (const std::string& name : {std::string(), std::string(256, 'a'), std::string("a b"), std::string("a\0b", 3)}) {
    CAPTURE(name);
    ClientCodec codec(key_of(kPassword), Destination(name, 1));
    CodecEnd end(codec);
    end.step({});
    CHECK(end.error == Errc::kBadName);
  }
}

TEST_CASE("trojan users: found by their password's key, and changed while in use") {
  UserTable users;
  const Key key = key_of(kPassword);
  CHECK(std::string(key.begin(), key.end()) == kKey);
  CHECK(users.add(kPassword, {.name = "a", .level = 1}));
  CHECK_FALSE(users.add(kPassword, {.name = "b"}));
  CHECK(users.add("other", {.name = "a"}));
  CHECK(users.add("third", {.name = "c"}));
  REQUIRE(users.find(key) != nullptr);
  CHECK(users.find(key)->name == "a");
  CHECK(users.find(key)->level == 1);
  for (std::size_t i = 0; i < kKeySize; ++i) {
    Key wrong = key;
    wrong[i] = wrong[i] == '0' ? '1' : '0';
    CHECK(users.find(wrong) == nullptr);
  }
  CHECK(users.remove("a"));
  CHECK_FALSE(users.remove("a"));
  CHECK(users.find(key) == nullptr);
  CHECK(users.find(key_of("other")) == nullptr);
  CHECK(users.find(key_of("third")) != nullptr);
}

}  // namespace
}  // namespace winze::trojan
