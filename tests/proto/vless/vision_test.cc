#include "proto/vless/vision.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "support/codec_pair.h"
#include "support/inner_tls.h"
#include "winze/base/error.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/vless/codec.h"

namespace winze::vless {
namespace {

using test::application_data;
using test::client_hello;
using test::from_hex;
using test::server_hello;

const Uuid kId = *Uuid::parse("b831381d-6324-4d53-ad4f-8cda48b30811");
constexpr std::string_view kIdHex = "b831381d63244d53ad4f8cda48b30811";

struct End {
  explicit End(std::uint64_t seed) : random(seed), vision(kId, random) {}

  std::string write(std::string_view text) {
    Buffer data = Buffer::copy_of(text, {.front = 300, .back = 0});
    vision.seal(data);
    return std::string(data.text());
  }
  std::error_code read(std::string_view wire, std::size_t segment) {
    std::error_code error;
    test::feed(wire, segment, [&](Buffer in) {
      error = vision.open(in);
      received += in.text();
      return !error;
    });
    return error;
  }

  SeededRandom random;
  Vision vision;
  std::string received;
};

struct Block {
  int command;
  std::size_t content, padding;
};

std::vector<Block> blocks(std::string_view wire, bool first) {
  std::vector<Block> out;
  if (first) wire.remove_prefix(16);
  while (!wire.empty() && (out.empty() || out.back().command == 0)) {
    const auto at = [&](int i) { return static_cast<std::size_t>(static_cast<unsigned char>(wire[i])); };
    out.push_back({static_cast<int>(at(0)), at(1) << 8 | at(2), at(3) << 8 | at(4)});
    wire.remove_prefix(5 + out.back().content + out.back().padding);
  }
  return out;
}

TEST_CASE("vision: opens what Xray writes, at every segment size") {
  struct Row {
    std::string_view wire;  // behind the id
    std::string_view received;
    bool around;
    bool verbatim;
  };
  for (const Row& row :
       {Row{"00 0005 0003 68656c6c6f 787878", "hello", false, false},
        Row{"00 0002 0001 6865 00 00 0000 0002 0000 01 0003 0001 6c6c6f ff 2121", "hello!!", false, true},
        Row{"02 0005 0000 68656c6c6f 2121", "hello!!", true, true},
        Row{"00 0000 0000 02 0000 0003 616161", "", true, true}}) {
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(row.wire);
      CAPTURE(segment);
      End end(1);
      CHECK_FALSE(end.read(from_hex(std::string(kIdHex) + std::string(row.wire)), segment));
      CHECK(end.received == row.received);
      CHECK(end.vision.opening_left_below() == row.around);
      CHECK(end.vision.opens_verbatim() == row.verbatim);
      CHECK(end.vision.open_end() == winze::Errc::kEof);
    }
  }
}

TEST_CASE("vision: what does not begin with the id has no blocks; an unknown command is an error; a cut shows") {
  for (const std::size_t segment : test::kSegmentSizes) {
    const std::string nearly = from_hex(kIdHex).substr(0, 15) + "and so on";
    End other(1);
    CHECK_FALSE(other.read(nearly, segment));
    CHECK(other.received == nearly);
    CHECK(other.vision.opens_verbatim());
    CHECK_FALSE(other.vision.opening_left_below());
    End unknown(1);
    CHECK(unknown.read(from_hex(std::string(kIdHex) + "03 0000 0000"), segment) == Errc::kBadPadding);
    for (const std::string_view cut : {"", "00", "00 0001 0000", "00 0001 0001 61"}) {
      End end(1);
      CHECK_FALSE(end.read(from_hex(std::string(kIdHex) + std::string(cut)), segment));
      CHECK(end.vision.open_end() == (cut.empty() ? winze::Errc::kEof : winze::Errc::kTruncated));
    }
  }
}

TEST_CASE("vision: an inner TLS 1.3 goes around from its first whole record of data, in each direction") {
  // Smaller ones use up the pieces that are looked at. TLS, below, opens whole records.
  for (const std::size_t segment : {1400, 65536}) {
    CAPTURE(segment);
    End client(1), server(2);
    std::string up, down;
    const auto send = [&](End& from, End& to, std::string& all, std::string_view text) {
      const std::string wire = from.write(text);
      CHECK_FALSE(to.read(wire, segment));
      all += text;
      return wire;
    };
    const auto hello = blocks(send(client, server, up, client_hello()), true);
    CHECK(hello.size() == 1);
    CHECK(hello[0].command == 0);
    CHECK(hello[0].content + hello[0].padding >= 900);
    const auto flight = blocks(send(server, client, down, server_hello() + application_data(2000)), true);
    CHECK(flight.back().command == 0);
    CHECK_FALSE(server.vision.sealing_left_below());
    // The client's Finished, and half of a record that was read with it.
    const std::string request = application_data(300);
    const std::string wire = send(client, server, up, application_data(53) + request.substr(0, 100));
    CHECK(blocks(wire, false).back().command == 2);
    CHECK(client.vision.sealing_left_below());
    CHECK_FALSE(client.vision.seals_verbatim());
    CHECK(server.received.size() == up.size() - 100);
    CHECK(server.vision.opening_left_below());
    send(client, server, up, request.substr(100));
    CHECK(client.vision.seals_verbatim());
    CHECK(server.received == up);
    // A record that is longer than one write stays in blocks.
    const std::string large = application_data(16000);
    CHECK(blocks(send(server, client, down, large.substr(0, 9000)), false).back().command == 0);
    send(server, client, down, large.substr(9000));
    CHECK_FALSE(server.vision.sealing_left_below());
    CHECK(blocks(send(server, client, down, application_data(10)), false).back().command == 2);
    CHECK(server.vision.seals_verbatim());
    CHECK(send(server, client, down, "raw") == "raw");
    CHECK(client.received == down);
    CHECK(client.vision.opens_verbatim());
  }
}

TEST_CASE("vision: what was held back goes out at the end") {
  End client(1), server(2);
  server.read(client.write(client_hello()), 65536);
  client.read(server.write(server_hello()), 65536);
  const std::string data = application_data(5) + "\x17\x03";
  server.read(client.write(data), 65536);
  Buffer mark;
  client.vision.seal_end(mark);
  CHECK(mark.text() == "\x17\x03");
}

TEST_CASE("vision: other traffic is padded at its beginning alone, and stays within the layer below") {
  struct Row {
    std::string answer;
    std::string then;
    int ends_at;  // write of the client's
  };
  for (const Row& row : {Row{server_hello(false), application_data(100), 1},
                         Row{server_hello(true, {"\x13\x05", 2}), application_data(100), 1},
                         Row{"HTTP/1.1 200 OK\r\n\r\n", "more and more", 4}}) {
    End client(1), server(2);
    const bool tls = row.answer[0] == 0x16;
    std::string up = tls ? client_hello() : "GET / HTTP/1.1\r\n\r\n";
    CHECK_FALSE(server.read(client.write(up), 7));
    CHECK_FALSE(client.read(server.write(row.answer), 7));
    int writes = 0;
    while (!client.vision.seals_verbatim() && writes < 20) {
      const std::string wire = client.write(row.then);
      CHECK_FALSE(server.read(wire, 7));
      up += row.then;
      ++writes;
      if (client.vision.seals_verbatim()) CHECK(blocks(wire, false).back().command == 1);
    }
    CHECK(writes <= 8);
    CHECK(server.received == up);
    CHECK_FALSE(client.vision.sealing_left_below());
    CHECK_FALSE(server.vision.opening_left_below());
    CHECK(server.vision.opens_verbatim());
    CHECK(client.received == row.answer);
  }
}

TEST_CASE("vision: any size of write comes through in blocks that fit a peer's buffer") {
  for (const std::size_t size : {1, 21, 899, 900, 8170, 8171, 8172, 8192, 100000}) {
    CAPTURE(size);
    End client(size), server(2);
    const std::string text = client_hello() + std::string(size, 'x');
    const std::string wire = client.write(text);
    for (const Block& block : blocks(wire, true)) CHECK(21 + block.content + block.padding <= 8192);
    CHECK_FALSE(server.read(wire, 1400));
    CHECK(server.received == text);
  }
}

// --- in the codecs ---

std::shared_ptr<UserTable> user_with(Flow flow) {
  auto users = std::make_shared<UserTable>();
  users->add(kId, {.name = "ann", .flow = flow});
  return users;
}

TEST_CASE("vless with a flow: asked for in the addons, and padded behind the request") {
  SeededRandom random(1);
  ClientCodec client(kId, Destination("localhost", 23000), random);
  ServerCodec server(user_with(Flow::kVision), {.random = &random});
  test::CodecPair pair(client, server, 7);
  CHECK(client.may_leave_below());
  CHECK_FALSE(pair.client.write(""));
  const std::string head =
      from_hex("00" + std::string(kIdHex) + "12 0a10") + "xtls-rprx-vision" + from_hex("01 59d8 02 09") + "localhost";
  CHECK(pair.client.wire.starts_with(head + from_hex(std::string(kIdHex) + "00 0000")));
  pair.pump();
  REQUIRE(pair.server.opened);
  CHECK(server.may_leave_below());
  CHECK_FALSE(pair.client.write("GET / HTTP/1.1\r\n\r\n"));
  pair.pump();
  CHECK(pair.server.received == "GET / HTTP/1.1\r\n\r\n");
  CHECK_FALSE(pair.server.write("HTTP/1.1 200 OK\r\n\r\n"));
  CHECK(pair.server.wire.starts_with(from_hex("0000" + std::string(kIdHex) + "00 0013")));
  pair.pump();
  CHECK(pair.client.received == "HTTP/1.1 200 OK\r\n\r\n");
}

TEST_CASE("vless with a flow: who may ask for it, and who must") {
  struct Row {
    Flow users;
    std::string_view asked;  // the addons
    int command;
    std::error_code error;
  };
  const std::string vision = "12 0a10 78746c732d727072782d766973696f6e";
  const Row rows[] = {{Flow::kVision, vision, 1, {}},
                      {Flow::kVision, "00", 1, Errc::kMissingFlow},
                      {Flow::kVision, "00", 2, {}},
                      {Flow::kVision, vision, 2, Errc::kUnsupportedFlow},
                      {Flow::kVision, vision, 3, {}},
                      {Flow::kVision, "00", 3, {}},
                      {Flow::kNone, "00", 3, {}},
                      {Flow::kNone, vision, 3, Errc::kUnsupportedFlow},
                      {Flow::kNone, vision, 1, Errc::kUnsupportedFlow},
                      {Flow::kVision, "03 0a01 78", 1, Errc::kUnsupportedFlow}};
  for (const Row& row : rows) {
    CAPTURE(row.asked);
    CAPTURE(row.command);
    SeededRandom random(1);
    ServerCodec codec(user_with(row.users), {.random = &random});
    test::CodecEnd end(codec);
    end.step(Buffer::copy_of(from_hex("00" + std::string(kIdHex) + std::string(row.asked) + "0" +
                                      std::to_string(row.command) + "0050 01 7f000001")));
    CHECK(end.error == row.error);
    CHECK_FALSE(codec.is_stranger(end.error));
    CHECK(end.opened == !row.error);
    // A user with a flow multiplexes datagrams alone.
    CHECK(codec.request().datagrams_only == (row.command == 3 && row.users == Flow::kVision));
  }
  ServerCodec without(user_with(Flow::kVision));
  test::CodecEnd end(without);
  end.step(Buffer::copy_of(from_hex("00" + std::string(kIdHex) + vision + "01 0050 01 7f000001")));
  CHECK(end.error == Errc::kUnsupportedFlow);
}

TEST_CASE("vless with a flow: a carrier asked for by the host's name is one of datagrams alone, too") {
  for (const Flow flow : {Flow::kNone, Flow::kVision}) {
    SeededRandom random(1);
    ServerCodec codec(user_with(flow), {.random = &random});
    test::CodecEnd end(codec);
    const std::string asked = flow == Flow::kVision ? "12 0a10 78746c732d727072782d766973696f6e" : "00";
    end.step(Buffer::copy_of(from_hex("00" + std::string(kIdHex) + asked + "01 0050 02 0b") + "v1.mux.cool"));
    REQUIRE(end.opened);
    CHECK(codec.request().destination == mux::cool_destination());
    CHECK(codec.request().datagrams_only == (flow == Flow::kVision));
  }
}

}  // namespace
}  // namespace winze::vless
