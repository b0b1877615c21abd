// Carriers of sing-box's clients and servers, replayed to ours at every segment size.
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "support/codec_pair.h"
#include "support/mux_events.h"
#include "support/opening.h"
#include "support/vectors.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/proto/mux/sing.h"

namespace winze::mux::sing {
namespace {

using test::Vector;

// The first `size` bytes of i * by + from.
std::string bytes_of(std::size_t size, std::size_t by, std::size_t from) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * by + from);
  return out;
}
std::string sent() { return bytes_of(120, 7, 0) + bytes_of(700, 11, 3); }
std::string answered() { return bytes_of(200, 13, 5) + bytes_of(900, 5, 1); }

Destination local(const Vector& v, const char* field, Network network) {
  return {"127.0.0.1", static_cast<std::uint16_t>(std::stoi(v.text(field))), network};
}

Protocol protocol_of(const Vector& v) {
  const std::string& name = v.text("protocol");
  return name == "smux" ? Protocol::kSmux : name == "yamux" ? Protocol::kYamux : Protocol::kHttp2;
}

// What comes on each sub-stream, and which have ended; that one begins before it goes on.
struct SubStreams final : Events {
  void on_open(StreamId id, Opening) override { CHECK(bytes.try_emplace(id).second); }
  void on_data(StreamId id, std::span<const std::uint8_t> data) override {
    REQUIRE(bytes.contains(id));
    CHECK_FALSE(ended.contains(id));
    bytes[id] += as_text(data);
  }
  void on_datagram(StreamId, const Destination*, std::span<const std::uint8_t>) override { CHECK(false); }
  void on_end(StreamId id) override { ended.insert(id); }
  void on_close(StreamId id, std::error_code error) override {
    CHECK(error == winze::Errc::kEof);
    ended.insert(id);
  }
  void on_writable(StreamId) override {}

  std::map<StreamId, std::string> bytes;
  std::set<StreamId> ended;
};

void replay(StreamCodec& codec, Session& session, const Vector& v, const char* way, std::size_t segment,
            SubStreams& into) {
  const test::Bytes wire = v.bytes(way);
  test::CodecEnd end(codec);
  end.step({});
  test::feed(as_text(wire), segment, [&](Buffer in) {
    end.step(std::move(in));
    REQUIRE_FALSE(end.error);
    const std::string frames = std::exchange(end.received, {});
    REQUIRE_FALSE(session.receive(as_bytes(frames), into));
    return true;
  });
  REQUIRE(into.bytes.size() == 3);
}

struct Got {
  Destination peer;
  std::string text;
  bool operator==(const Got&) const = default;
};

std::vector<Got> datagrams(std::string_view payload, bool addressed) {
  std::vector<Got> out;
  auto rest = as_bytes(payload);
  std::error_code error;
  Destination peer;
  while (const auto datagram = decode_datagram(rest, addressed ? &peer : nullptr, error)) {
    out.push_back({peer, std::string(as_text(*datagram))});
  }
  CHECK_FALSE(error);
  CHECK(rest.empty());
  return out;
}

TEST_CASE("sing-mux: carriers of sing-box's clients, read by our server") {
  for (const Vector& v : test::load_vectors("mux/sing_sessions.txt")) {
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(v.text("protocol"));
      CAPTURE(v.text("padded"));
      CAPTURE(segment);
      SeededRandom random(1);
      CarrierServerCodec codec(v.text("padded") == "yes", random);
      const auto session = make_session(protocol_of(v), Role::kServer);
      SubStreams streams;
      replay(codec, *session, v, "up", segment, streams);
      CHECK(codec.protocol() == protocol_of(v));
      // HTTP/2's server has reset the first before its client was done.
      CHECK(streams.ended.contains(streams.bytes.begin()->first) == (protocol_of(v) != Protocol::kHttp2));

      std::vector<Destination> asked;
      std::vector<std::string> payloads;
      for (const auto& [id, bytes] : streams.bytes) {
        StreamServerCodec request("", 0);
        const test::Opening opening = test::run_opening(request, bytes, segment);
        REQUIRE(opening.done);
        asked.push_back(request.request().destination);
        payloads.push_back(opening.payload);
      }
      const Destination first = local(v, "first_port", Network::kUdp), second = local(v, "second_port", Network::kUdp);
      CHECK(asked == std::vector{local(v, "port", Network::kTcp), Destination(IpAddress(), 0, Network::kUdp), first});
      CHECK(payloads[0] == sent());
      CHECK(datagrams(payloads[1], true) == std::vector<Got>{{first, "datagram"}, {second, "datagram"}});
      CHECK(datagrams(payloads[2], false) == std::vector<Got>{{{}, "first"}, {{}, "second"}});
    }
  }
}

TEST_CASE("sing-mux: carriers of sing-box's servers, read by our client") {
  for (const Vector& v : test::load_vectors("mux/sing_sessions.txt")) {
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(v.text("protocol"));
      CAPTURE(v.text("padded"));
      CAPTURE(segment);
      SeededRandom random(1);
      CarrierClientCodec codec(protocol_of(v), v.text("padded") == "yes", random);
      const auto session = make_session(protocol_of(v), Role::kClient);
      SubStreams streams;
      for (int i = 0; i < 3; ++i) {
        const StreamId id = *session->open({});
        streams.bytes[id];
        test::sealed(*session, id, "request");
      }
      replay(codec, *session, v, "down", segment, streams);
      CHECK(streams.ended == std::set{streams.bytes.begin()->first});

      std::vector<std::string> payloads;
      for (const auto& [id, bytes] : streams.bytes) {
        StreamClientCodec answer(local(v, "port", Network::kTcp));
        const test::Opening opening = test::run_opening(answer, bytes, segment);
        CHECK_FALSE(opening.error);
        payloads.push_back(opening.payload);
      }
      const Destination first = local(v, "first_port", Network::kUdp), second = local(v, "second_port", Network::kUdp);
      CHECK(payloads[0] == answered());
      CHECK(datagrams(payloads[1], true) == std::vector<Got>{{first, "re: datagram"}, {second, "re: datagram"}});
      CHECK(datagrams(payloads[2], false) == std::vector<Got>{{{}, "re: first"}, {{}, "re: second"}});
    }
  }
}

}  // namespace
}  // namespace winze::mux::sing
