#include "winze/proto/ws/frame.h"

#include <doctest/doctest.h>

#include <vector>

#include "support/codec_pair.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"

namespace winze::ws {
namespace {

using test::from_hex;
using test::kSegmentSizes;
using test::to_hex;

// Yields the key of RFC 6455's examples.
class ExampleKey final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = kKey[i % 4];
  }

 private:
  static constexpr MaskKey kKey{0x37, 0xfa, 0x21, 0x3d};
};

struct Opened {
  std::string payload;
  std::string reply;
  std::error_code error;
};

// Opens `wire` in segments; replies leave at once.
Opened open_all(Framing& framing, std::string_view wire, std::size_t segment) {
  Opened result;
  test::feed(wire, segment, [&](Buffer data) {
    Buffer reply;
    result.error = framing.open(data, reply);
    result.payload += data.text();
    result.reply += reply.text();
    return !result.error;
  });
  return result;
}

std::string sealed(Framing& framing, std::string_view payload) {
  Buffer data = Buffer::copy_of(payload, {.front = framing.header_room(), .back = 0});
  CHECK_FALSE(framing.seal(data));
  return std::string(data.text());
}

std::string pattern(std::size_t size) {
  std::string out(size, 0);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 31 + (i >> 8));
  return out;
}

TEST_CASE("ws mask: every size, offset and distance of an overlap as byte by byte") {
  const MaskKey key{0x37, 0xfa, 0x21, 0x3d};
  for (std::size_t size = 0; size < 200; ++size) {
    const std::string plain = pattern(size);
    for (std::size_t offset = 0; offset < 4; ++offset) {
      std::string expected = plain;
      for (std::size_t i = 0; i < size; ++i) {
        expected[i] = static_cast<char>(expected[i] ^ static_cast<char>(key[(i + offset) % 4]));
      }
      for (std::size_t distance : {0, 1, 2, 6, 13, 63, 64, 100}) {
        std::vector<std::uint8_t> room(distance + size + 1, 0xee);
        std::copy(plain.begin(), plain.end(), room.begin() + static_cast<std::ptrdiff_t>(distance));
        apply_mask(room.data(), room.data() + distance, size, key, offset);
        REQUIRE(as_text(std::span(room).first(size)) == expected);
        REQUIRE(room.back() == 0xee);
      }
    }
  }
}

// RFC 6455 §5.7.
TEST_CASE("ws frames: the examples of the RFC are read") {
  const std::string k256 = pattern(256);
  const std::string k64k = pattern(65536);
  struct Row {
    std::string wire;
    std::string payload;
    std::string reply;
  };
  const Row from_server[] = {
      {from_hex("810548656c6c6f"), "Hello", ""},
      {from_hex("010348656c 80026c6f"), "Hello", ""},
      {from_hex("890548656c6c6f"), "", from_hex("8a8537fa213d7f9f4d5158")},
      {from_hex("827e0100") + k256, k256, ""},
      {from_hex("827f0000000000010000") + k64k, k64k, ""},
  };
  ExampleKey key;
  for (const Row& row : from_server) {
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(to_hex(row.wire.substr(0, 20)));
      CAPTURE(segment);
      Framing client(&key, Ending::kBoth);
      const Opened opened = open_all(client, row.wire, segment);
      CHECK_FALSE(opened.error);
      CHECK(opened.payload == row.payload);
      CHECK(to_hex(opened.reply) == to_hex(row.reply));
    }
  }
  for (std::size_t segment : kSegmentSizes) {
    Framing server(nullptr, Ending::kBoth);
    CHECK(open_all(server, from_hex("818537fa213d7f9f4d5158"), segment).payload == "Hello");
  }
}

TEST_CASE("ws frames: what is sealed") {
  ExampleKey key;
  Framing client(&key, Ending::kBoth);
  Framing server(nullptr, Ending::kBoth);
  CHECK(to_hex(sealed(client, "Hello")) == "828537fa213d7f9f4d5158");
  CHECK(to_hex(sealed(server, "Hello")) == "820548656c6c6f");
  CHECK(sealed(server, "").empty());
  struct Row {
    std::size_t size;
    std::string_view header;
  };
  for (const Row& row : {Row{125, "827d"}, Row{126, "827e007e"}, Row{65535, "827effff"},
                         Row{65536, "827f0000000000010000"}, Row{262144, "827f0000000000040000"}}) {
    const std::string frame = sealed(server, pattern(row.size));
    CHECK(to_hex(frame.substr(0, row.header.size() / 2)) == row.header);
    CHECK(frame.size() == row.header.size() / 2 + row.size);
  }
}

TEST_CASE("ws frames: sealing and opening stay within the buffer") {
  SeededRandom random(1);
  Framing client(&random, Ending::kBoth);
  Framing server(nullptr, Ending::kBoth);
  Buffer data = Buffer::copy_of(pattern(100000), {.front = client.header_room(), .back = 0});
  const std::uint8_t* payload = data.data();
  Buffer reply;
  CHECK_FALSE(client.seal(data));
  CHECK(data.data() == payload - client.header_room());
  CHECK_FALSE(server.open(data, reply));
  CHECK(data.data() == payload);
  CHECK(data.text() == pattern(100000));
}

TEST_CASE("ws frames: many frames of all sizes, control frames between, at every segment size") {
  for (bool from_client : {true, false}) {
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(from_client);
      CAPTURE(segment);
      SeededRandom random(3);
      Framing sender(from_client ? &random : nullptr, Ending::kBoth);
      Framing receiver(from_client ? nullptr : &random, Ending::kBoth);
      const std::string pong = from_client ? from_hex("8a8000000000") : from_hex("8a00");
      std::string wire;
      std::string payload;
      for (std::size_t size = 1; size < 70000; size = size * 3 / 2 + 1) {
        const std::string part = pattern(size);
        payload += part;
        wire += sealed(sender, part) + pong;
      }
      const Opened opened = open_all(receiver, wire, segment);
      CHECK_FALSE(opened.error);
      CHECK(opened.payload == payload);
      CHECK(opened.reply.empty());
    }
  }
}

TEST_CASE("ws frames: empty ones, and a ping within a message") {
  for (std::size_t segment : kSegmentSizes) {
    SeededRandom random(1);
    Framing client(&random, Ending::kBoth);
    const Opened opened = open_all(client, from_hex("0200 0001 61 890178 0000 000162 8000 8200 820163"), segment);
    CHECK_FALSE(opened.error);
    CHECK(opened.payload == "abc");
    CHECK(opened.reply.size() == 7);
    CHECK_FALSE(client.open_end() != winze::Errc::kEof);
  }
}

TEST_CASE("ws frames: only the latest ping is answered when the pong could not leave") {
  Framing server(nullptr, Ending::kBoth);
  const auto ping = [](std::string_view payload) {
    return from_hex("89") + static_cast<char>(0x80 | payload.size()) + std::string(4, '\0') + std::string(payload);
  };
  Buffer reply;
  reply.append(std::string_view("other"));
  for (std::string_view payload : {"first", "second", "third"}) {
    Buffer data = Buffer::copy_of(ping(payload));
    CHECK_FALSE(server.open(data, reply));
  }
  CHECK(reply.text() == "other" + from_hex("8a05") + "third");
  Buffer data = Buffer::copy_of("");
  CHECK_FALSE(server.open(data, reply));
  CHECK(reply.text() == "other" + from_hex("8a05") + "third");
  // When it has left, the next one is for the next ping.
  reply = {};
  data = Buffer::copy_of(ping("a") + ping("b"));
  CHECK_FALSE(server.open(data, reply));
  CHECK(reply.text() == from_hex("8a01") + "b");
  reply = {};
  data = Buffer::copy_of(ping(std::string(125, 'x')));
  CHECK_FALSE(server.open(data, reply));
  CHECK(reply.text() == from_hex("8a7d") + std::string(125, 'x'));
}

TEST_CASE("ws frames: what is malformed ends with 1002") {
  struct Row {
    bool to_client;
    std::string_view wire;
    Errc error;
  };
  for (const Row& row : {
           Row{true, "c100", Errc::kReservedBits},
           Row{true, "a100", Errc::kReservedBits},
           Row{true, "9100", Errc::kReservedBits},
           Row{true, "8300", Errc::kBadOpcode},
           Row{true, "8700", Errc::kBadOpcode},
           Row{true, "8b00", Errc::kBadOpcode},
           Row{true, "8f00", Errc::kBadOpcode},
           Row{true, "818537fa213d7f9f4d5158", Errc::kBadMask},
           Row{false, "810548656c6c6f", Errc::kBadMask},
           Row{false, "8900", Errc::kBadMask},
           Row{true, "827e007d", Errc::kBadLength},
           Row{true, "827f000000000000ffff", Errc::kBadLength},
           Row{true, "827f8000000000000000", Errc::kBadLength},
           Row{true, "897e007e", Errc::kBadLength},
           Row{true, "887f0000000000010000", Errc::kBadLength},
           Row{true, "0900", Errc::kBadFragment},
           Row{true, "8000", Errc::kBadFragment},
           Row{true, "0000", Errc::kBadFragment},
           Row{true, "0200 8200", Errc::kBadFragment},
           Row{true, "0200 0100", Errc::kBadFragment},
           Row{true, "8200 8000", Errc::kBadFragment},
           Row{true, "880103", Errc::kBadClose},
           Row{true, "880203e7", Errc::kBadClose},
           Row{true, "880203ec", Errc::kBadClose},
           Row{true, "880203ed", Errc::kBadClose},
           Row{true, "880203ee", Errc::kBadClose},
           Row{true, "880203f7", Errc::kBadClose},
           Row{true, "88020bb7", Errc::kBadClose},
           Row{true, "88021388", Errc::kBadClose},
       }) {
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(row.wire);
      CAPTURE(segment);
      ExampleKey key;
      Framing framing(row.to_client ? &key : nullptr, Ending::kBoth);
      const std::string good = row.to_client ? from_hex("820161") : from_hex("82810000000061");
      const Opened opened = open_all(framing, good + from_hex(row.wire) + "never looked at", segment);
      CHECK(opened.error == row.error);
      CHECK(opened.payload == "a");
      CHECK(to_hex(opened.reply) == (row.to_client ? "888237fa213d3410" : "880203ea"));
    }
  }
}

TEST_CASE("ws frames: a close frame ends both directions, and is answered once") {
  struct Row {
    std::string_view wire;
    std::uint16_t code;
    std::string_view reply;
    std::error_code error;
  };
  const std::error_code eof = winze::Errc::kEof;
  for (const Row& row :
       {Row{"880203e8", 1000, "880203e8", eof}, Row{"8800", 1005, "8800", eof},
        Row{"880403e96869", 1001, "880203e9", eof}, Row{"880203f3", 1011, "880203f3", Errc::kClosedWithError},
        Row{"88020bb8", 3000, "88020bb8", Errc::kClosedWithError},
        Row{"88021387", 4999, "88021387", Errc::kClosedWithError}}) {
    CAPTURE(row.wire);
    // As a server's, masked with zeros.
    std::string wire = from_hex(row.wire);
    wire[1] = static_cast<char>(wire[1] | 0x80);
    wire.insert(2, 4, '\0');
    Framing server(nullptr, Ending::kBoth);
    const Opened opened = open_all(server, from_hex("82810000000061") + wire + "ignored", 65536);
    CHECK(opened.payload == "a");
    CHECK(opened.error == row.error);
    CHECK(to_hex(opened.reply) == row.reply);
    CHECK(server.close_code() == row.code);
    Buffer data = Buffer::copy_of("late");
    CHECK(server.seal(data) == Errc::kClosed);
    Buffer mark;
    CHECK(server.seal_end(mark) == StreamCodec::End::kShutdownBelow);
    CHECK(mark.empty());
  }
}

TEST_CASE("ws frames: our end is not on the wire, unless both sides know half-close") {
  Framing plain(nullptr, Ending::kBoth);
  Buffer mark;
  CHECK(plain.seal_end(mark) == StreamCodec::End::kKeepBelow);
  CHECK(mark.empty());
  CHECK(plain.open_end() == winze::Errc::kEof);

  ExampleKey key;
  Framing client(&key, Ending::kHalf);
  Framing server(nullptr, Ending::kHalf);
  CHECK(client.open_end() == winze::Errc::kTruncated);
  CHECK(client.seal_end(mark) == StreamCodec::End::kKeepBelow);
  CHECK(to_hex(mark.text()) == "888237fa213d3412");
  Buffer data = Buffer::copy_of("late");
  CHECK(client.seal(data) == Errc::kClosed);

  const Opened opened = open_all(server, mark.text(), 1);
  CHECK(opened.error == winze::Errc::kEof);
  CHECK(opened.reply.empty());
  CHECK(to_hex(sealed(server, "still here")) == "820a" + to_hex("still here"));
  Buffer answer;
  CHECK(server.seal_end(answer) == StreamCodec::End::kShutdownBelow);
  CHECK(to_hex(answer.text()) == "880203e8");
  CHECK(open_all(client, answer.text(), 1).error == winze::Errc::kEof);
}

TEST_CASE("ws frames: an end amid a frame or message is none") {
  for (std::string_view wire : {"82", "827e01", "820261", "820161 82", "0201 61", "8901", "02016189"}) {
    CAPTURE(wire);
    ExampleKey key;
    Framing client(&key, Ending::kBoth);
    CHECK_FALSE(open_all(client, from_hex(wire), 65536).error);
    CHECK(client.open_end() == winze::Errc::kTruncated);
  }
}

}  // namespace
}  // namespace winze::ws
