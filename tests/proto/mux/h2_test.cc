// h2mux: sessions against each other, windows, ends, and peers that misbehave.
#include "winze/proto/mux/h2.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/codec_pair.h"
#include "support/mux_events.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/mux/error.h"

namespace winze::mux {
namespace {

using test::flushed;
using test::from_hex;
using test::MuxLog;
using test::receive;
using test::sealed;
using test::to_hex;

enum Type : std::uint8_t {
  kData,
  kHeaders,
  kPriority,
  kReset,
  kSettings,
  kPush,
  kPing,
  kGoAway,
  kWindow,
  kContinuation
};
constexpr std::uint8_t kAck = 1, kEndHeaders = 4;
// Codes of RST_STREAM.
constexpr std::uint32_t kFlowControlError = 3, kRefusedStream = 7, kCancel = 8;

std::string u32(std::uint32_t value) {
  std::string out(4, '\0');
  store_u32(reinterpret_cast<std::uint8_t*>(out.data()), value);
  return out;
}

std::string frame(Type type, std::uint8_t flags, std::uint32_t stream, std::string_view payload = {}) {
  std::string out = u32(static_cast<std::uint32_t>(payload.size())).substr(1);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  return out.append(u32(stream)).append(payload);
}

// Fields of HPACK (RFC 7541) without Huffman's code.
const std::string kConnect = from_hex("02 07") + "CONNECT" + from_hex("01 09") + "localhost";
const std::string kOk = from_hex("88");
std::string request(std::uint32_t stream, std::string_view fields = kConnect) {
  return frame(kHeaders, kEndHeaders, stream, fields);
}
// A client's first bytes.
const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(kSettings, 0, 0);

std::string said(std::error_code error) { return error.message(); }
std::string said(Errc error) { return said(make_error_code(error)); }
const std::string kInOrder = said(winze::Errc::kEof);

std::string pattern(std::size_t size) {
  std::string text(size, 'x');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 23);
  return text;
}

// A client and a server that have exchanged their settings.
struct Pair {
  explicit Pair(std::size_t segment_size = 65536) : segment(segment_size) {
    deliver();
    at_client.log.clear();
    at_server.log.clear();
  }
  // What both have to say, until neither has.
  void deliver() {
    while (client.wants_flush() || server.wants_flush()) {
      CHECK_FALSE(receive(server, flushed(client), segment, at_server));
      CHECK_FALSE(receive(client, flushed(server), segment, at_client));
    }
  }
  void write(H2Session& from, StreamId id, std::string_view text) {
    const bool up = &from == &client;
    CHECK_FALSE(receive(up ? server : client, sealed(from, id, text), segment, up ? at_server : at_client));
  }
  // A sub-stream that both have; the server numbers it as it is on the wire.
  StreamId open() {
    const StreamId id = *client.open({});
    write(client, id, "");
    deliver();
    at_server.log.clear();
    return id;
  }

  std::size_t segment;
  H2Session client{Role::kClient}, server{Role::kServer};
  MuxLog at_client, at_server;
};

TEST_CASE("h2mux: bytes of any length go both ways, whatever the segments") {
  for (const std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    Pair pair(segment);
    const StreamId id = *pair.client.open({});
    CHECK(pair.client.is_unannounced(id));
    std::string up = "open 1; data 1 ", down = "data 1 ";
    for (const std::size_t size : {std::size_t{1}, std::size_t{16384}, std::size_t{16385}, std::size_t{200000}}) {
      const std::string text = pattern(size);
      pair.write(pair.client, id, text);
      pair.write(pair.server, 1, text);
      up += text;
      down += text;
    }
    CHECK_FALSE(pair.client.is_unannounced(id));
    CHECK((pair.at_server.log == up));
    CHECK((pair.at_client.log == down));
    CHECK_FALSE(pair.client.open({.datagrams = true}));
  }
}

TEST_CASE("h2mux: each direction ends by itself, and what has ended leaves nothing") {
  Pair pair;
  const StreamId id = pair.open();
  pair.client.end(id);
  pair.deliver();
  CHECK(pair.at_server.log == "end 1");
  pair.write(pair.server, 1, "answer");
  pair.server.end(1);
  pair.deliver();
  CHECK(pair.at_client.log == "data 1 answer; end 1");
  pair.client.close(id, false);
  pair.server.close(1, false);
  CHECK_FALSE(pair.client.wants_flush());
  CHECK_FALSE(pair.server.wants_flush());
  CHECK(sealed(pair.client, id, "late").empty());
}

TEST_CASE("h2mux: an end that announces its sub-stream") {
  Pair pair;
  const StreamId id = *pair.client.open({});
  pair.client.end(id);
  pair.deliver();
  CHECK(pair.at_server.log == "open 1; end 1");
  // One that nobody has heard of is closed without a word.
  pair.client.close(*pair.client.open({}), true);
  CHECK_FALSE(pair.client.wants_flush());
}

TEST_CASE("h2mux: what the other end is told of a close") {
  struct Case {
    std::string what;
    bool by_client, failed;
    std::string told;
  };
  const std::string reset = "close 1 " + said(Errc::kReset);
  const Case cases[] = {
      {"a client does not read on", true, false, "end 1; " + reset},
      {"a server's last word", false, false, "end 1; close 1 " + kInOrder},
      {"a client's failure", true, true, reset},
      {"a server's failure", false, true, reset},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    Pair pair;
    const StreamId id = pair.open();
    c.by_client ? pair.client.close(id, c.failed) : pair.server.close(1, c.failed);
    pair.deliver();
    CHECK((c.by_client ? pair.at_server : pair.at_client).log == c.told);
    CHECK((c.by_client ? pair.at_client : pair.at_server).log.empty());
  }
}

TEST_CASE("h2mux: a reader that stops has a window full, and the others go on") {
  Pair pair;
  const StreamId slow = pair.open(), other = pair.open();
  CHECK(pair.client.window(slow) == H2Session::kWindow);
  const std::string half(H2Session::kWindow / 2, 'x');
  pair.write(pair.client, slow, half);
  pair.write(pair.client, slow, half);
  pair.deliver();
  CHECK(pair.client.window(slow) == 0);
  CHECK(pair.client.window(other) == H2Session::kWindow);
  // The window of all of them is open however much the one holds.
  for (int i = 0; i < 300; ++i) {
    pair.write(pair.client, other, half);
    pair.write(pair.client, other, half);
    pair.server.consumed(3, 2 * half.size());
    pair.deliver();
    pair.at_server.log.clear();
    REQUIRE(pair.client.window(other) == H2Session::kWindow);
  }
  CHECK(pair.client.window(slow) == 0);
  pair.at_client.log.clear();
  pair.server.consumed(1, half.size() - 1);
  CHECK_FALSE(pair.server.wants_flush());
  pair.server.consumed(1, 1);
  pair.deliver();
  CHECK(pair.client.window(slow) == half.size());
  CHECK(pair.at_client.log == "writable 1");
}

TEST_CASE("h2mux: more than the window ends the sub-stream alone") {
  H2Session server(Role::kServer);
  MuxLog log;
  std::string wire = kPreface + request(1) + request(3);
  for (int i = 0; i < 17; ++i) wire += frame(kData, 0, 1, std::string(16384, 'x'));
  CHECK_FALSE(receive(server, wire, 65536, log));
  CHECK(log.log.ends_with("; close 1 " + said(Errc::kWindowExceeded)));
  CHECK(flushed(server).ends_with(frame(kReset, 0, 1, u32(kFlowControlError))));
  log.log.clear();
  CHECK_FALSE(receive(server, frame(kData, 0, 3, "y"), 65536, log));
  CHECK(log.log == "data 3 y");
}

TEST_CASE("h2mux: the server says how many there may be") {
  H2Session client(Role::kClient);
  MuxLog log;
  std::vector<StreamId> ids;
  while (client.may_open()) ids.push_back(*client.open({}));
  CHECK(ids.size() == 100);
  for (std::size_t i = 2; i < ids.size(); ++i) client.close(ids[i], false);
  CHECK_FALSE(receive(client, frame(kSettings, 0, 0, from_hex("0003 00000003")), 1, log));
  CHECK(client.open({}));
  CHECK_FALSE(client.open({}));
  client.close(ids[0], false);
  CHECK(client.may_open());
}

TEST_CASE("h2mux: requests for something else, answers that refuse, and heads without end") {
  const std::string fill = std::string(1, '\x40') + from_hex("01 78 7f a11e") + std::string(4000, 'v');  // x: vvv...
  const std::string again = from_hex("be");
  SUBCASE("server") {
    struct Case {
      std::string what;
      std::string fields;
    };
    const Case cases[] = {
        {"another method", from_hex("82 86 84 01 09") + "localhost"},
        {"no method", from_hex("01 09") + "localhost"},
        {"no authority", from_hex("02 07") + "CONNECT"},
        {"a bomb: one field of 4 KiB, many times", kConnect + fill + again + again},
    };
    for (const Case& c : cases) {
      CAPTURE(c.what);
      H2Session server(Role::kServer);
      MuxLog log;
      CHECK_FALSE(receive(server, kPreface + request(1, c.fields), 7, log));
      CHECK(log.log == "writable 0");
      CHECK(flushed(server).find(frame(kReset, 0, 1).substr(3, 6)) != std::string::npos);
      CHECK_FALSE(receive(server, request(3) + frame(kData, 0, 3, "x"), 7, log));
      CHECK(log.log == "writable 0; open 3; data 3 x");
    }
  }
  SUBCASE("client") {
    struct Case {
      std::string fields;
      Errc error;
    };
    const Case cases[] = {{from_hex("8d"), Errc::kRefused},                // 404
                          {kOk + fill + again + again, Errc::kBadFrame}};  // a bomb
    for (const Case& c : cases) {
      H2Session client(Role::kClient);
      MuxLog log;
      sealed(client, *client.open({}), "x");
      CHECK_FALSE(receive(client, frame(kSettings, 0, 0) + request(1, c.fields), 7, log));
      CHECK(log.log == "writable 0; close 1 " + said(c.error));
    }
  }
}

TEST_CASE("h2mux: a peer that goes away takes no more, and ends what it has not heard of") {
  Pair pair;
  const StreamId first = pair.open(), second = pair.open();
  const StreamId unannounced = *pair.client.open({});
  const std::string away = frame(kGoAway, 0, 0, u32(1) + u32(0));
  CHECK_FALSE(receive(pair.client, away, 3, pair.at_client));
  CHECK_FALSE(pair.client.may_open());
  CHECK_FALSE(pair.client.open({}));
  CHECK(pair.at_client.log.find("close 2 " + said(Errc::kRefused)) != std::string::npos);
  CHECK(pair.at_client.log.find("close 3 " + said(Errc::kCarrierEnded)) != std::string::npos);
  CHECK(sealed(pair.client, second, "x").empty());
  CHECK(sealed(pair.client, unannounced, "x").empty());
  pair.at_client.log.clear();
  pair.write(pair.client, first, "x");
  pair.write(pair.server, 1, "y");
  CHECK(pair.at_server.log.ends_with("data 1 x"));
  CHECK(pair.at_client.log == "data 1 y");
  // With the last sub-stream the carrier ends.
  CHECK(receive(pair.client, frame(kReset, 0, 1, u32(kCancel)), 3, pair.at_client) == Errc::kCarrierEnded);
  Pair idle;
  CHECK(receive(idle.client, away, 3, idle.at_client) == Errc::kCarrierEnded);
}

TEST_CASE("h2mux: a sub-stream that the server would not begin") {
  Pair pair;
  pair.open();
  CHECK_FALSE(receive(pair.client, frame(kReset, 0, 1, u32(kRefusedStream)), 3, pair.at_client));
  CHECK(pair.at_client.log == "close 1 " + said(Errc::kRefused));
}

TEST_CASE("h2mux: what is for a sub-stream that is closed is passed over, and so are frames to come") {
  Pair pair;
  const StreamId id = pair.open();
  pair.client.close(id, true);
  flushed(pair.client);  // on its way
  const std::string unknown = frame(static_cast<Type>(0xfa), 0, 0, "x");
  CHECK_FALSE(receive(pair.client, sealed(pair.server, 1, "late") + unknown, 1, pair.at_client));
  CHECK(pair.at_client.log.empty());
  CHECK_FALSE(pair.client.wants_flush());
}

TEST_CASE("h2mux: sub-streams may be reset as often as they carry something") {
  H2Session server(Role::kServer);
  MuxLog log;
  CHECK_FALSE(receive(server, kPreface, 65536, log));
  for (std::uint32_t id = 1; id < 20000; id += 2) {
    CHECK_FALSE(
        receive(server, request(id) + frame(kData, 0, id, "x") + frame(kReset, 0, id, u32(kCancel)), 65536, log));
    flushed(server);
  }
  CHECK(log.log.ends_with("open 19999; data 19999 x; close 19999 " + said(Errc::kReset)));
}

TEST_CASE("h2mux: what a peer may not send") {
  struct Case {
    std::string what;
    Role role;
    std::string wire;
  };
  const Case cases[] = {
      {"another preface", Role::kServer, "GET / HTTP/1.1\r\n\r\n"},
      {"no settings at first", Role::kServer, kPreface.substr(0, 24) + frame(kPing, 0, 0, "12345678")},
      {"a setting out of range", Role::kServer, kPreface + frame(kSettings, 0, 0, from_hex("0004 80000000"))},
      {"settings of no length", Role::kServer, kPreface + frame(kSettings, 0, 0, "12345")},
      {"a frame too long", Role::kServer, kPreface + request(1) + frame(kData, 0, 1, std::string(16385, 'x'))},
      {"data for no sub-stream", Role::kServer, kPreface + frame(kData, 0, 0, "x")},
      {"data for one that has not begun", Role::kServer, kPreface + frame(kData, 0, 1, "x")},
      {"a server's number", Role::kServer, kPreface + request(2)},
      {"a head that cannot be read", Role::kServer, kPreface + request(1, from_hex("ff ff ff ff ff ff"))},
      {"a window beyond all bounds", Role::kServer, kPreface + frame(kWindow, 0, 0, u32(0x7fffffff))},
      {"a push", Role::kClient,
       frame(kSettings, 0, 0) + frame(kSettings, kAck, 0) + frame(kPush, kEndHeaders, 1, u32(2) + kConnect)},
      {"a request from a server", Role::kClient, frame(kSettings, 0, 0) + request(2)},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(segment);
      H2Session session(c.role);
      MuxLog log;
      if (c.role == Role::kClient) sealed(session, *session.open({}), "x");
      CHECK(receive(session, c.wire, segment, log) == Errc::kBadFrame);
    }
  }
}

}  // namespace
}  // namespace winze::mux
