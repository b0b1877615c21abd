#include "winze/proto/vless/codec.h"

#include <doctest/doctest.h>

#include "support/codec_pair.h"
#include "winze/base/error.h"
#include "winze/proto/mux/cool.h"

namespace winze::vless {
namespace {

using test::CodecEnd;
using test::CodecPair;
using test::from_hex;
using test::to_hex;

const Uuid kId = *Uuid::parse("b831381d-6324-4d53-ad4f-8cda48b30811");
constexpr std::string_view kIdHex = "b831381d63244d53ad4f8cda48b30811";

std::shared_ptr<UserTable> one_user() {
  auto users = std::make_shared<UserTable>();
  users->add(kId, {.name = "ann@example.org", .level = 3});
  return users;
}

std::string request_hex(std::string_view rest) { return "00" + std::string(kIdHex) + std::string(rest); }

// Captured between V2Ray 4.34's client and server: TCP to localhost:23000 with the payload "abc", and the echo.
constexpr std::string_view kCapturedRest = "00 01 59d8 02 09 6c6f63616c686f7374 616263";
constexpr std::string_view kCapturedAnswer = "00 00 616263";

TEST_CASE("vless client: sends and takes what V2Ray does") {
  ClientCodec codec(kId, Destination("localhost", 23000));
  CodecEnd end(codec);
  end.step({});
  REQUIRE(end.opened);
  CHECK(end.wire.empty());
  CHECK(codec.holds_opening());
  CHECK_FALSE(codec.seals_verbatim());
  CHECK_FALSE(end.write("abc"));
  CHECK(end.wire == from_hex(request_hex(kCapturedRest)));
  CHECK(codec.seals_verbatim());
  CHECK_FALSE(codec.holds_opening());
  CHECK_FALSE(codec.answered());
  end.step(Buffer::copy_of(from_hex(kCapturedAnswer)));
  CHECK(end.received == "abc");
  CHECK(codec.answered());
  CHECK(codec.opens_verbatim());
}

TEST_CASE("vless client: the request fits into the room that overhead() asks for") {
  ClientCodec codec(kId, Destination("example.org", 80));
  Buffer data = Buffer::copy_of("abc", codec.overhead());
  const std::uint8_t* payload = data.data();
  CHECK_FALSE(codec.seal(data));
  CHECK(data.data() + data.size() - 3 == payload);
  CHECK(codec.overhead() == Overhead{});
}

TEST_CASE("vless server: takes and answers what V2Ray does, at every segment size") {
  for (std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    ServerCodec codec(one_user());
    CodecEnd end(codec);
    const std::string bytes = from_hex(request_hex(kCapturedRest));
    for (std::size_t at = 0; at < bytes.size(); at += segment) end.step(Buffer::copy_of(bytes.substr(at, segment)));
    REQUIRE(end.opened);
    CHECK(codec.request().destination == Destination("localhost", 23000));
    CHECK(codec.request().user == "ann@example.org");
    CHECK(codec.request().level == 3);
    CHECK(codec.id() == kId);
    CHECK(end.received == "abc");
    CHECK_FALSE(codec.answers_at_once());
    codec.grant({});
    CHECK_FALSE(end.write("abc"));
    CHECK(end.wire == from_hex(kCapturedAnswer));
    CHECK(codec.seals_verbatim());
  }
}

// source: v2ray 4.34.0 as a client of an outbound with mux.
TEST_CASE("vless: a carrier of mux.cool is asked for by a command of its own") {
  const std::string request = from_hex(request_hex("00 03 000f0001"));
  ClientCodec client(kId, mux::cool_destination());
  CodecEnd asking(client);
  asking.step({});
  CHECK_FALSE(asking.write(from_hex("000f0001")));
  CHECK(asking.wire == request);
  for (std::size_t segment : test::kSegmentSizes) {
    ServerCodec server(one_user());
    CodecEnd end(server);
    for (std::size_t at = 0; at < request.size(); at += segment) end.step(Buffer::copy_of(request.substr(at, segment)));
    REQUIRE(end.opened);
    CHECK(mux::is_cool(server.request().destination));
    CHECK(end.received == from_hex("000f0001"));
  }
}

TEST_CASE("vless: client and server understand each other") {
  std::string bulk(200000, 'x');
  for (std::size_t i = 0; i < bulk.size(); ++i) bulk[i] = static_cast<char>(i * 7);
  for (const Destination& destination :
       {Destination("example.org", 443), Destination("192.0.2.1", 80), Destination("2001:db8::1", 65535),
        Destination("dns.example", 53, Network::kUdp), Destination(std::string(255, 'a'), 1)}) {
    for (std::size_t segment : test::kSegmentSizes) {
      CAPTURE(destination.to_string());
      CAPTURE(segment);
      ClientCodec client(kId, destination);
      ServerCodec server(one_user());
      CodecPair pair(client, server, segment);
      CHECK_FALSE(pair.client.write(bulk));
      CHECK_FALSE(pair.client.write("tail"));
      pair.pump();
      REQUIRE(pair.server.opened);
      CHECK(server.request().destination == destination);
      CHECK(pair.server.received == bulk + "tail");
      server.grant({});
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

TEST_CASE("vless: the opening and the answer go out alone when there is no payload") {
  ClientCodec client(kId, Destination("example.org", 25));
  ServerCodec server(one_user());
  CodecPair pair(client, server, 1400);
  CHECK_FALSE(pair.client.write(""));
  pair.pump();
  REQUIRE(pair.server.opened);
  server.grant({});
  CHECK(pair.server.end() == StreamCodec::End::kShutdownBelow);
  pair.pump();
  CHECK(client.answered());
  CHECK(pair.client.error == winze::Errc::kEof);

  ClientCodec silent(kId, Destination("example.org", 25));
  ServerCodec waiting(one_user());
  CodecPair other(silent, waiting, 3);
  CHECK(other.client.end() == StreamCodec::End::kShutdownBelow);
  CHECK_FALSE(silent.holds_opening());
  other.pump();
  CHECK(waiting.request().destination == Destination("example.org", 25));
  CHECK(other.server.error == winze::Errc::kEof);
}

TEST_CASE("vless server: a refusal is silent") {
  ServerCodec codec(one_user());
  CodecEnd end(codec);
  end.step(Buffer::copy_of(from_hex(request_hex(kCapturedRest))));
  codec.refuse(Refusal::kConnectionRefused);
  CHECK_FALSE(end.write(""));
  end.end();
  CHECK(end.wire.empty());
}

TEST_CASE("vless server: addons are read, and passed over where they ask for nothing") {
  for (std::string_view addons : {"00", "02 0a00", "04 1202abcd", "04 0a00 2005", "06 32026162 1801",
                                  "0a 19 0102030405060708 1a", "05 2d 01020304"}) {
    CAPTURE(addons);
    ServerCodec codec(one_user());
    CodecEnd end(codec);
    end.step(Buffer::copy_of(from_hex(request_hex(std::string(addons) + "01 0050 01 7f000001"))));
    if (addons.starts_with("0a 19")) {
      CHECK(end.error == Errc::kBadAddons);
    } else {
      CHECK_FALSE(end.error);
      CHECK(end.opened);
    }
  }
}

TEST_CASE("vless server: users with requests that are refused") {
  struct Row {
    std::string_view rest;
    Errc error;
  };
  for (const Row& row : {
           Row{"12 0a10 78746c732d727072782d766973696f6e 01 0050 01 7f000001", Errc::kUnsupportedFlow},
           Row{"01 0a 01 0050 01 7f000001", Errc::kBadAddons},
           Row{"02 0a01 01 0050 01 7f000001", Errc::kBadAddons},
           Row{"02 0b00 01 0050 01 7f000001", Errc::kBadAddons},
           Row{"02 0200 01 0050 01 7f000001", Errc::kBadAddons},
           Row{"0b 08ffffffffffffffffffff 01 0050 01 7f000001", Errc::kBadAddons},
           Row{"00 00 0050 01 7f000001", Errc::kUnsupportedCommand},
           Row{"00 04", Errc::kUnsupportedCommand},
           Row{"00 01 0050 00 7f000001", Errc::kBadAddress},
           Row{"00 01 0050 04 7f000001", Errc::kBadAddress},
           Row{"00 01 0050 02 00", Errc::kBadAddress},
           Row{"00 01 0050 02 03 612062", Errc::kBadAddress},
           Row{"00 01 0050 02 03 610062", Errc::kBadAddress},
       }) {
    for (std::size_t segment : test::kSegmentSizes) {
      CAPTURE(row.rest);
      CAPTURE(segment);
      ServerCodec codec(one_user());
      CodecEnd end(codec);
      const std::string bytes = from_hex(request_hex(row.rest));
      for (std::size_t at = 0; at < bytes.size(); at += segment) end.step(Buffer::copy_of(bytes.substr(at, segment)));
      CHECK(end.error == row.error);
      CHECK_FALSE(codec.is_stranger(end.error));
      CHECK(end.unread.empty());
      CHECK(end.wire.empty());
    }
  }
}

TEST_CASE("vless server: strangers fail early, and all their bytes are left for the fallback") {
  struct Row {
    std::string bytes;
    Errc error;
    std::size_t decided_at;  // the number of bytes it takes
  };
  const std::string unknown = from_hex("00 b831381d63244d53ad4f8cda48b30812") + "whatever follows";
  for (const Row& row :
       {Row{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Errc::kWrongVersion, 1},
        Row{from_hex("01") + std::string(30, 'x'), Errc::kWrongVersion, 1}, Row{unknown, Errc::kUnknownUser, 17}}) {
    for (std::size_t segment : test::kSegmentSizes) {
      CAPTURE(row.bytes);
      CAPTURE(segment);
      ServerCodec codec(one_user());
      CodecEnd end(codec);
      std::size_t at = 0;
      for (; at < row.bytes.size() && !end.error; at += segment) {
        end.step(Buffer::copy_of(row.bytes.substr(at, segment)));
      }
      CHECK(end.error == row.error);
      CHECK(codec.is_stranger(end.error));
      CHECK(end.unread == row.bytes.substr(0, at));
      CHECK(at < row.decided_at + segment);
      CHECK(end.wire.empty());
    }
  }
}

TEST_CASE("vless server: a short start") {
  ServerCodec patient(one_user());
  CodecEnd waiting(patient);
  waiting.step(Buffer::copy_of(from_hex("00b831")));
  CHECK_FALSE(waiting.error);
  const auto received = patient.take_received();
  REQUIRE(received);
  CHECK(to_hex(received->text()) == "00b831");

  // Behind a user's id the bytes are no fallback's.
  ServerCodec trusting(one_user());
  CodecEnd known(trusting);
  known.step(Buffer::copy_of(from_hex(request_hex("")).substr(0, 17)));
  CHECK_FALSE(known.error);
  CHECK_FALSE(trusting.take_received());

  ServerCodec strict(one_user(), {.short_start_falls_back = true});
  CodecEnd end(strict);
  end.step(Buffer::copy_of(from_hex("00b831")));
  CHECK(end.error == Errc::kUnknownUser);
  CHECK(to_hex(end.unread) == "00b831");
}

TEST_CASE("vless client: answers") {
  struct Row {
    std::string_view bytes;
    std::string_view payload;
    std::error_code error;      // of open()
    std::error_code end_error;  // of open_end()
  };
  const std::error_code eof = winze::Errc::kEof;
  const std::error_code truncated = winze::Errc::kTruncated;
  for (const Row& row :
       {Row{"", "", {}, eof}, Row{"00", "", {}, truncated}, Row{"0000", "", {}, eof}, Row{"000361626378", "x", {}, eof},
        Row{"00036162", "", {}, truncated}, Row{"0161", "", Errc::kWrongVersion, {}}}) {
    for (std::size_t segment : test::kSegmentSizes) {
      CAPTURE(row.bytes);
      CAPTURE(segment);
      ClientCodec codec(kId, Destination("a", 1));
      CodecEnd end(codec);
      end.step({});
      const std::string bytes = from_hex(row.bytes);
      for (std::size_t at = 0; at < bytes.size(); at += segment) end.step(Buffer::copy_of(bytes.substr(at, segment)));
      CHECK(end.received == row.payload);
      CHECK(end.error == row.error);
      if (!row.error) CHECK(codec.open_end() == row.end_error);
    }
  }
}

TEST_CASE("vless client: destinations that cannot be sent") {
  for (const std::string& name : {std::string(), std::string(256, 'a'), std::string("a b"), std::string("a\0b", 3)}) {
    CAPTURE(name);
    ClientCodec codec(kId, Destination(name, 1));
    CodecEnd end(codec);
    end.step({});
    CHECK(end.error == Errc::kBadName);
    CHECK(end.write("abc") == Errc::kBadName);
    end.end();
    CHECK(end.wire.empty());
  }
}

TEST_CASE("vless users: found by id alone") {
  UserTable users;
  CHECK(users.add(kId, {.name = "a", .level = 0}));
  CHECK_FALSE(users.add(kId, {.name = "b", .level = 0}));
  REQUIRE(users.find(kId) != nullptr);
  CHECK(users.find(kId)->name == "a");
  CHECK(users.find(Uuid{}) == nullptr);
  CHECK(users.remove(kId));
  CHECK_FALSE(users.remove(kId));
  CHECK(users.find(kId) == nullptr);
}

}  // namespace
}  // namespace winze::vless
