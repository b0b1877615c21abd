// smux: frames, sessions against each other, and peers that misbehave.
#include "winze/proto/mux/smux.h"

#include <doctest/doctest.h>

#include <string>

#include "support/codec_pair.h"
#include "support/mux_events.h"
#include "winze/proto/mux/error.h"

namespace winze::mux {
namespace {

using test::flushed;
using test::from_hex;
using test::MuxLog;
using test::receive;
using test::sealed;
using test::to_hex;

TEST_CASE("smux: what is sent") {
  SmuxSession client(Role::kClient);
  const StreamId id = *client.open({});
  CHECK(id == 3);
  CHECK(client.is_unannounced(id));
  CHECK(to_hex(sealed(client, id, "hello")) ==
        "0100000003000000"
        "0102050003000000"
        "68656c6c6f");
  CHECK_FALSE(client.is_unannounced(id));
  CHECK(to_hex(sealed(client, id, "")).empty());
  const StreamId other = *client.open({});
  CHECK(to_hex(sealed(client, other, "")) == "0100000005000000");
  client.close(id, true);
  client.end(other);
  CHECK(to_hex(flushed(client)) ==
        "0101000003000000"
        "0101000005000000");
  client.close(other, false);
  CHECK_FALSE(client.wants_flush());
  CHECK_FALSE(client.open({.datagrams = true}));
}

TEST_CASE("smux: what is for a sub-stream that is not there is passed over, and so are NOPs") {
  SmuxSession client(Role::kClient);
  MuxLog log;
  const StreamId id = *client.open({});
  sealed(client, id, "x");
  const std::string wire = from_hex("0102020009000000 4142  0101000009000000  0103000000000000  0102010003000000 43");
  CHECK_FALSE(receive(client, wire, 1, log));
  CHECK(log.log == "data 3 C");
  CHECK(flushed(client).empty());
}

TEST_CASE("smux: what a peer may not send") {
  struct Case {
    const char* what;
    Role role;
    std::string_view wire;
  };
  const Case cases[] = {
      {"another version", Role::kServer, "0200000003000000"},
      {"an unknown command", Role::kServer, "0104000003000000"},
      {"a SYN with data", Role::kServer, "0100010003000000"},
      {"a SYN for 0", Role::kServer, "0100000000000000"},
      {"a SYN for an id in use", Role::kServer, "0100000003000000 0100000003000000"},
      {"a SYN from a server", Role::kClient, "0100000002000000"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    for (const std::size_t segment : test::kSegmentSizes) {
      SmuxSession session(c.role);
      MuxLog log;
      CHECK(receive(session, from_hex(c.wire), segment, log) == Errc::kBadFrame);
    }
  }
}

}  // namespace
}  // namespace winze::mux
