// What holds for several multiplexing protocols: bytes of any length, ends, and peers that flood.
#include "winze/proto/mux/session.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "support/codec_pair.h"
#include "support/mux_events.h"
#include "winze/base/error.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/mux/error.h"
#include "winze/proto/mux/h2.h"
#include "winze/proto/mux/smux.h"
#include "winze/proto/mux/yamux.h"

namespace winze::mux {
namespace {

using test::flushed;
using test::from_hex;
using test::MuxLog;
using test::receive;
using test::sealed;

template <typename T>
std::unique_ptr<Session> make(Role role) {
  return std::make_unique<T>(role);
}
using Make = std::unique_ptr<Session> (*)(Role);

// About the largest frame of either.
constexpr std::size_t kSizes[] = {1, 32768, 32769, 65535, 65536, 200000};

TEST_CASE("mux: without windows bytes of any length go through, whatever the segments") {
  for (const Make make_session : {make<CoolSession>, make<SmuxSession>}) {
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(segment);
      const auto client = make_session(Role::kClient), server = make_session(Role::kServer);
      MuxLog log;
      std::string expected;
      const StreamId id = *client->open({.destination = Destination("a.test", 80)});
      for (const std::size_t size : kSizes) {
        std::string text(size, 'x');
        for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 23);
        CHECK_FALSE(receive(*server, sealed(*client, id, text), segment, log));
        expected += text;
      }
      CHECK((log.log.ends_with("; data " + std::to_string(id) + " " + expected)));
    }
  }
}

TEST_CASE("mux: where an end closes both directions, each ends by itself between two of ours") {
  for (const Make make_session : {make<CoolSession>, make<SmuxSession>}) {
    const auto client = make_session(Role::kClient), server = make_session(Role::kServer);
    MuxLog at_server, at_client;
    const StreamId id = *client->open({.destination = Destination("a.test", 80)});
    const std::string number = std::to_string(id);
    client->end(id);
    CHECK_FALSE(receive(*server, flushed(*client), 7, at_server));
    CHECK(at_server.log.starts_with("open " + number));
    CHECK(at_server.log.ends_with("; end " + number));
    CHECK_FALSE(receive(*client, sealed(*server, id, "answer"), 7, at_client));
    server->end(id);
    CHECK_FALSE(receive(*client, flushed(*server), 7, at_client));
    CHECK(at_client.log ==
          "data " + number + " answer; close " + number + " " + make_error_code(winze::Errc::kEof).message());
    server->close(id, false);
    CHECK(flushed(*server).empty());
  }
}

// A driver that refuses what is opened, or not.
struct Driver final : Events {
  Driver(Session& of, bool accepts_all) : session(of), accepts(accepts_all) {}
  void on_open(StreamId id, Opening) override {
    if (!accepts) session.close(id, true);
  }
  void on_data(StreamId, std::span<const std::uint8_t>) override {}
  void on_datagram(StreamId, const Destination*, std::span<const std::uint8_t>) override {}
  void on_end(StreamId) override {}
  void on_close(StreamId, std::error_code) override {}
  void on_writable(StreamId) override {}
  Session& session;
  bool accepts;
};

std::string repeated(std::string_view hex, std::size_t count) {
  const std::string once = from_hex(hex);
  std::string out;
  out.reserve(once.size() * count);
  for (std::size_t i = 0; i < count; ++i) out += once;
  return out;
}

// `count` sub-streams, each opened with `hex`, in which NNNNNNNN stands for its number.
std::string many_streams(std::string_view hex, std::size_t count, bool little_endian = false) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    const auto id = static_cast<std::uint32_t>(2 * i + 3);
    std::string number(4, '\0');
    for (int byte = 0; byte < 4; ++byte) {
      number[static_cast<std::size_t>(little_endian ? byte : 3 - byte)] = static_cast<char>(id >> (8 * byte));
    }
    std::string text(hex);
    for (std::size_t at; (at = text.find("NNNNNNNN")) != std::string::npos;) text.replace(at, 8, test::to_hex(number));
    out += from_hex(text);
  }
  return out;
}

struct Flood {
  std::string what;
  Make make_session;
  std::string wire;
  std::error_code error;        // of one who reads no answers
  std::error_code error_heard;  // of one who reads them
  Role role = Role::kServer;
  bool accepts = false;
};

const std::string kH2 = "505249202a20485454502f322e300d0a0d0a534d0d0a0d0a 000000 04 00 00000000";
constexpr std::string_view kH2Request = "000014 01 04 NNNNNNNN 02 07 434f4e4e454354 01 09 6c6f63616c686f7374";

std::vector<Flood> floods() {
  const std::string h2 = from_hex(kH2);
  const std::string open_h2 = h2 + many_streams(kH2Request, 1);
  const std::string reset_h2 = std::string(kH2Request) + "000004 03 00 NNNNNNNN 00000008";
  const std::string no_method = "00000b 01 04 NNNNNNNN 01 09 6c6f63616c686f7374";
  const std::string reset_yamux = "0000 0001 NNNNNNNN 00000000  0000 0008 NNNNNNNN 00000000";
  const Make cool = make<CoolSession>, smux = make<SmuxSession>, yamux = make<YamuxSession>, http2 = make<H2Session>;
  const std::error_code kNone;
  constexpr std::size_t kMany = 20000;
  constexpr std::size_t kSome = 5000;  // newer versions of nghttp2 end more of these
  const std::string empty_h2 = open_h2 + repeated("000000 00 00 00000003", kMany);
  return {
      {"mux.cool: data for nobody", cool, repeated("0004 0001 02 00", kMany), Errc::kFlood, kNone},
      {"mux.cool: KeepAlive", cool, repeated("0004 0000 04 00", kMany), kNone, kNone},
      {"smux: NOP", smux, repeated("01 03 0000 00000000", kMany), kNone, kNone},
      {"smux: data for nobody", smux, repeated("01 02 0000 09000000", kMany), kNone, kNone},
      {"smux: begun, and refused", smux, many_streams("01 00 0000 NNNNNNNN", kMany, true), Errc::kFlood, kNone},
      {"smux: begun and ended", smux, many_streams("01 00 0000 NNNNNNNN 01 01 0000 NNNNNNNN", kMany, true),
       Errc::kFlood, kNone},
      {"yamux: pings", yamux, repeated("0002 0001 00000000 00000001", kMany), Errc::kFlood, kNone},
      {"yamux: answers to pings", yamux, repeated("0002 0002 00000000 00000001", kMany), kNone, kNone},
      {"yamux: data for nobody", yamux, many_streams("0000 0000 NNNNNNNN 00000001 78", kMany), Errc::kFlood, kNone},
      {"yamux: windows for nobody", yamux, many_streams("0001 0000 NNNNNNNN 00000001", kMany), kNone, kNone},
      {"yamux: begun, and refused", yamux, many_streams("0001 0001 NNNNNNNN 00000000", kMany), Errc::kFlood, kNone},
      {"yamux: begun and reset", yamux, many_streams(reset_yamux, kMany), Errc::kFlood, kNone},
      {"yamux: reset by a server", yamux, many_streams("0001 0008 NNNNNNNN 00000000", kMany), kNone, kNone,
       Role::kClient},
      {"h2mux: pings", http2, h2 + repeated("000008 06 00 00000000 0000000000000000", kMany), Errc::kFlood,
       Errc::kFlood},
      {"h2mux: answers to pings", http2, h2 + repeated("000008 06 01 00000000 0000000000000000", kMany), Errc::kFlood,
       Errc::kFlood},
      {"h2mux: settings", http2, h2 + repeated("000000 04 00 00000000", kMany), Errc::kFlood, Errc::kFlood},
      {"h2mux: priorities", http2, h2 + repeated("000005 02 00 00000003 0000000000", kMany), Errc::kFlood,
       Errc::kFlood},
      {"h2mux: windows", http2, h2 + repeated("000004 08 00 00000000 00000001", kMany), Errc::kFlood, Errc::kFlood},
      {"h2mux: begun, and refused", http2, h2 + many_streams(kH2Request, kMany), Errc::kFlood, Errc::kFlood},
      {"h2mux: begun and reset", http2, h2 + many_streams(reset_h2, kMany), Errc::kFlood, Errc::kFlood},
      {"h2mux: heads that are refused", http2, h2 + many_streams(no_method, kMany), Errc::kFlood, Errc::kFlood},
      {"h2mux: empty data", http2, empty_h2, Errc::kFlood, Errc::kFlood, Role::kServer, true},
      {"h2mux: empty data for nobody", http2, open_h2 + repeated("000000 00 00 00000003", kSome), kNone, kNone},
      {"h2mux: data of padding alone", http2, open_h2 + repeated("000001 00 08 00000003 00", kMany), Errc::kFlood,
       Errc::kFlood, Role::kServer, true},
      {"h2mux: a head without end", http2,
       h2 + from_hex("000000 01 00 00000001") + repeated("000000 09 00 00000001", kMany), Errc::kFlood, Errc::kFlood},
      {"h2mux: a head of fields without end", http2,
       h2 + from_hex("000000 01 00 00000001") + repeated("000004 09 00 00000001 00016100", kMany), Errc::kFlood,
       Errc::kFlood},
      {"h2mux: frames to come", http2, h2 + repeated("000000 fa 00 00000000", kSome), kNone, kNone},
  };
}

// Neither grows by it nor says more than it is asked.
TEST_CASE("mux: floods end the carrier, or cost nothing") {
  for (const bool heard : {false, true}) {
    for (const Flood& flood : floods()) {
      CAPTURE(flood.what);
      CAPTURE(heard);
      const auto session = flood.make_session(flood.role);
      Driver events(*session, flood.accepts);
      std::error_code error;
      std::size_t most = 0, taken = 0;
      test::feed(flood.wire, 1400, [&](const Buffer& in) {
        taken += in.size();
        error = session->receive(in.span(), events);
        Buffer said;
        if (heard) session->flush(said);
        most = std::max(most, said.size());
        return !error;
      });
      CHECK(error == (heard ? flood.error_heard : flood.error));
      CHECK(most < 8192);
      if (!heard && !error) CHECK(flushed(*session).size() < 256);
      if (error) CHECK(taken < flood.wire.size());
    }
  }
}

}  // namespace
}  // namespace winze::mux
