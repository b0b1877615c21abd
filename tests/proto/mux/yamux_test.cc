// yamux: frames, windows, sessions against each other, and peers that misbehave.
#include "winze/proto/mux/yamux.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/codec_pair.h"
#include "support/mux_events.h"
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

TEST_CASE("yamux: what is sent") {
  YamuxSession client(Role::kClient);
  const StreamId id = *client.open({});
  CHECK(id == 1);
  CHECK(client.is_unannounced(id));
  CHECK(to_hex(sealed(client, id, "hello")) ==
        "00000001"
        "00000001"
        "00000005"
        "68656c6c6f");
  CHECK(to_hex(sealed(client, id, "!")) ==
        "00000000"
        "00000001"
        "00000001"
        "21");
  CHECK(sealed(client, id, "").empty());
  const StreamId other = *client.open({});
  CHECK(to_hex(sealed(client, other, "")) ==
        "00010001"
        "00000003"
        "00000000");
  const StreamId third = *client.open({});
  client.end(third);
  client.close(id, true);
  client.close(other, false);
  client.close(third, false);  // its end is said
  CHECK(to_hex(flushed(client)) ==
        "00010005"
        "00000005"
        "00000000"
        "00010008"
        "00000001"
        "00000000"
        "00010004"
        "00000003"
        "00000000");
  client.close(*client.open({}), true);
  CHECK_FALSE(client.wants_flush());
  CHECK_FALSE(client.open({.datagrams = true}));
}

TEST_CASE("yamux: bytes go through as far as the window, whatever the segments") {
  for (const std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    YamuxSession client(Role::kClient), server(Role::kServer);
    MuxLog at_server, at_client;
    const StreamId id = *client.open({});
    CHECK(client.window(id) == YamuxSession::kWindow);
    const std::string half(YamuxSession::kWindow / 2, 'x');
    CHECK_FALSE(receive(server, sealed(client, id, half), segment, at_server));
    CHECK_FALSE(receive(server, sealed(client, id, half), segment, at_server));
    CHECK((at_server.log == "open 1; data 1 " + half + half));
    CHECK(client.window(id) == 0);
    CHECK_FALSE(receive(client, flushed(server), segment, at_client));  // ACK alone
    CHECK(client.window(id) == 0);
    server.consumed(id, half.size() - 1);
    CHECK_FALSE(server.wants_flush());
    server.consumed(id, 1);
    CHECK_FALSE(receive(client, flushed(server), segment, at_client));
    CHECK(client.window(id) == half.size());
    CHECK(at_client.log == "writable 1");
  }
}

TEST_CASE("yamux: each direction ends by itself, also with the last data") {
  YamuxSession client(Role::kClient), server(Role::kServer);
  MuxLog at_server, at_client;
  const StreamId id = *client.open({});
  client.end(id);
  CHECK_FALSE(receive(server, flushed(client), 7, at_server));
  CHECK(at_server.log == "open 1; end 1");
  CHECK_FALSE(receive(client, flushed(server) + from_hex("00000004 00000001 00000003 616263"), 7, at_client));
  CHECK(at_client.log == "data 1 abc; end 1");
  client.close(id, true);
  CHECK_FALSE(client.wants_flush());
}

TEST_CASE("yamux: what comes for a sub-stream that is closed is answered with RST, once for a run") {
  YamuxSession client(Role::kClient);
  MuxLog log;
  const StreamId id = *client.open({});
  sealed(client, id, "x");
  client.close(id, false);
  flushed(client);
  const std::string data = from_hex("00000000 00000001 00000002 6162");
  CHECK_FALSE(receive(client, data + data + from_hex("00010004 00000001 00000000"), 1, log));
  CHECK(log.log.empty());
  CHECK(to_hex(flushed(client)) ==
        "00010008"
        "00000001"
        "00000000");
}

TEST_CASE("yamux: a reset ends both directions") {
  YamuxSession client(Role::kClient);
  MuxLog log;
  const StreamId id = *client.open({});
  sealed(client, id, "x");
  CHECK_FALSE(receive(client, from_hex("00010008 00000001 00000000"), 5, log));
  CHECK(log.log == "close 1 " + make_error_code(Errc::kReset).message());
  CHECK(sealed(client, id, "y").empty());
}

TEST_CASE("yamux: pings are answered, and who goes away gets no more sub-streams") {
  YamuxSession client(Role::kClient);
  MuxLog log;
  CHECK_FALSE(receive(client, from_hex("00020001 00000000 01020304  00020002 00000000 00000007"), 3, log));
  CHECK(to_hex(flushed(client)) ==
        "00020002"
        "00000000"
        "01020304");
  CHECK_FALSE(receive(client, from_hex("00030000 00000000 00000000"), 3, log));
  CHECK_FALSE(client.may_open());
  CHECK_FALSE(client.open({}));
  CHECK(receive(client, from_hex("00030000 00000000 00000002"), 3, log) == Errc::kCarrierEnded);
}

TEST_CASE("yamux: so many new sub-streams wait for their answer, the others for them") {
  YamuxSession client(Role::kClient), server(Role::kServer);
  MuxLog at_server, at_client;
  std::vector<StreamId> ids;
  std::string wire;
  for (std::size_t i = 0; i < YamuxSession::kUnanswered; ++i) {
    ids.push_back(*client.open({}));
    CHECK(client.window(ids.back()) != 0);
    wire += sealed(client, ids.back(), "x");
  }
  const StreamId late = *client.open({});
  CHECK(client.window(late) == 0);
  CHECK(client.window(ids[0]) != 0);
  CHECK_FALSE(receive(server, wire, 65536, at_server));
  CHECK_FALSE(receive(client, flushed(server), 65536, at_client));
  CHECK(at_client.log == "writable 0");
  CHECK(client.window(late) != 0);
}

TEST_CASE("yamux: what a peer may not send") {
  struct Case {
    const char* what;
    Role role;
    std::string_view wire;
    Errc error = Errc::kBadFrame;
  };
  const Case cases[] = {
      {"another version", Role::kServer, "01000001 00000001 00000000"},
      {"an unknown type", Role::kServer, "00040001 00000001 00000000"},
      {"SYN for 0", Role::kServer, "00010001 00000000 00000000"},
      {"SYN for an id in use", Role::kServer, "00010001 00000001 00000000 00010001 00000001 00000000"},
      {"SYN from a server", Role::kClient, "00010001 00000002 00000000"},
      {"data behind the end", Role::kServer, "00010005 00000001 00000000 00000000 00000001 00000001"},
      {"a window beyond all bounds", Role::kServer, "00010001 00000001 ffffffff"},
      {"more than the window", Role::kServer, "00000001 00000001 00040001", Errc::kWindowExceeded},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    for (const std::size_t segment : test::kSegmentSizes) {
      YamuxSession session(c.role);
      MuxLog log;
      CHECK(receive(session, from_hex(c.wire), segment, log) == c.error);
      const std::string said = to_hex(flushed(session));
      CHECK(
          said.ends_with("00030000"
                         "00000000"
                         "00000001"));
    }
  }
}

}  // namespace
}  // namespace winze::mux
