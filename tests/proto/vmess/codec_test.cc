#include "winze/proto/vmess/codec.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "proto/vmess/header.h"
#include "support/vectors.h"
#include "support/vmess_peers.h"
#include "winze/base/error.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/packet_address.h"

namespace winze::vmess {
namespace {

using test::CodecEnd;
using test::CodecPair;
using test::VmessPeers;

std::string text_of(const test::Bytes& bytes) { return std::string(bytes.begin(), bytes.end()); }

std::string bulk() {
  std::string out(40000, 'x');
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(i * 7);
  return out;
}

void feed(CodecEnd& end, std::string_view wire, std::size_t segment) {
  test::feed(wire, segment, [&](Buffer in) {
    end.step(std::move(in));
    return !end.error;
  });
}

// The bytes of a client that asks for `destination` and says `text`.
std::string request_of(VmessPeers& peers, std::string_view text, const ClientOptions& options = {},
                       const Destination& destination = Destination("example.org", 80),
                       const Uuid& id = VmessPeers::id()) {
  const auto client = peers.make_client(destination, options, id);
  CodecEnd end(*client);
  end.step({});
  CHECK_FALSE(end.write(text));
  return end.wire;
}

TEST_CASE("vmess: client and server understand each other with every cipher and option") {
  const std::string payload = bulk();
  for (const Security security :
       {Security::kAuto, Security::kAes128Gcm, Security::kChaCha20Poly1305, Security::kNone, Security::kZero}) {
    for (const int options : {-1, 0, 1, 4, 5, 12, 13, 16, 17, 20, 21, 28, 29}) {
      for (const std::size_t segment : test::kSegmentSizes) {
        CAPTURE(static_cast<int>(security));
        CAPTURE(options);
        CAPTURE(segment);
        VmessPeers peers;
        ClientOptions wanted{.security = security};
        if (options >= 0) wanted.options = static_cast<std::uint8_t>(options);
        const auto client = peers.make_client(Destination("example.org", 443), wanted);
        const auto server = peers.make_server();
        CodecPair pair(*client, *server, segment);
        CHECK_FALSE(pair.client.write(payload));
        CHECK_FALSE(pair.client.write("tail"));
        pair.pump();
        REQUIRE(pair.server.opened);
        CHECK(server->request().destination == Destination("example.org", 443));
        CHECK(server->request().user == "ann@example.org");
        CHECK(server->request().level == 3);
        CHECK(server->id() == VmessPeers::id());
        CHECK(pair.server.received == payload + "tail");
        server->grant({});
        CHECK_FALSE(pair.server.write(payload));
        CHECK_FALSE(pair.server.write("tail"));
        pair.server.end();
        pair.pump();
        CHECK(client->answered());
        CHECK(pair.client.received == payload + "tail");
        CHECK(pair.client.error == winze::Errc::kEof);
        pair.client.end();
        pair.pump();
        CHECK(pair.server.error == winze::Errc::kEof);
      }
    }
  }
}

TEST_CASE("vmess: what destinations a client may ask for") {
  for (const Destination& destination :
       {Destination("example.org", 443), Destination("192.0.2.1", 80), Destination("2001:db8::1", 65535),
        Destination("dns.example", 53, Network::kUdp), Destination(std::string(255, 'a'), 1),
        mux::cool_destination()}) {
    CAPTURE(destination.to_string());
    VmessPeers peers;
    const auto client = peers.make_client(destination);
    const auto server = peers.make_server();
    CodecPair pair(*client, *server, 7);
    CHECK_FALSE(pair.client.write(""));
    pair.pump();
    REQUIRE(pair.server.opened);
    CHECK(server->request().destination == destination);
  }
  for (const Destination& destination :
       {Destination("", 80), Destination(std::string(256, 'a'), 80), Destination("a b", 80)}) {
    VmessPeers peers;
    const auto client = peers.make_client(destination);
    CodecEnd end(*client);
    end.step({});
    CHECK(end.error == Errc::kBadName);
    CHECK(end.write("x") == Errc::kBadName);
    end.end();
    CHECK(end.wire.empty());
  }
}

TEST_CASE("vmess server: the host of mux.cool asked for as a TCP destination is a carrier, whatever the port") {
  VmessPeers peers;
  const Request request{
      .security = Security::kAes128Gcm, .command = Command::kTcp, .destination = Destination("v1.mux.cool", 80)};
  Buffer wire;
  REQUIRE(seal_request(UserKeys(VmessPeers::id()), request, peers.clock.now, peers.random, wire));
  const auto server = peers.make_server();
  CodecEnd end(*server);
  feed(end, wire.text(), 65536);
  REQUIRE(end.opened);
  CHECK(server->request().destination == mux::cool_destination());
}

TEST_CASE("vmess server: datagrams that name their peers") {
  VmessPeers peers;
  const auto server = peers.make_server();
  CodecEnd end(*server);
  feed(end, request_of(peers, "", {}, packet_address_destination()), 65536);
  REQUIRE(end.opened);
  CHECK(server->request().destination == Destination(IpAddress(), 0, Network::kUdp));
  const auto other = peers.make_server();
  CodecEnd nowhere(*other);
  feed(nowhere, request_of(peers, "", {}, Destination("192.0.2.1", 0, Network::kUdp)), 65536);
  CHECK_FALSE(nowhere.opened);
}

TEST_CASE("vmess: datagrams, with every cipher") {
  const std::string datagrams = test::from_hex("0001 61 0003 626364 0578") + std::string(0x578, 'z');
  for (const Security security :
       {Security::kAes128Gcm, Security::kChaCha20Poly1305, Security::kNone, Security::kZero}) {
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(static_cast<int>(security));
      CAPTURE(segment);
      VmessPeers peers;
      const auto client = peers.make_client(Destination("dns.example", 53, Network::kUdp), {.security = security});
      const auto server = peers.make_server();
      CodecPair pair(*client, *server, segment);
      CHECK_FALSE(pair.client.write(datagrams));
      pair.pump();
      CHECK(server->request().destination == Destination("dns.example", 53, Network::kUdp));
      CHECK(pair.server.received == datagrams);
      server->grant({});
      CHECK_FALSE(pair.server.write(datagrams));
      pair.pump();
      CHECK(pair.client.received == datagrams);
    }
  }
}

TEST_CASE("vmess: the opening and the answer go out alone when there is no payload") {
  VmessPeers peers;
  const auto client = peers.make_client(Destination("example.org", 25));
  const auto server = peers.make_server();
  CodecPair pair(*client, *server, 1400);
  CHECK(client->holds_opening());
  CHECK_FALSE(pair.client.write(""));
  CHECK_FALSE(client->holds_opening());
  pair.pump();
  REQUIRE(pair.server.opened);
  server->grant({});
  CHECK_FALSE(pair.server.write(""));
  CHECK(pair.server.wire.empty());
  CHECK(pair.server.end() == StreamCodec::End::kShutdownBelow);
  pair.pump();
  CHECK(client->answered());
  CHECK(pair.client.error == winze::Errc::kEof);

  const auto silent = peers.make_client(Destination("example.org", 25));
  const auto waiting = peers.make_server();
  CodecPair other(*silent, *waiting, 3);
  other.client.end();
  CHECK_FALSE(silent->holds_opening());
  other.pump();
  CHECK(waiting->request().destination == Destination("example.org", 25));
  CHECK(other.server.error == winze::Errc::kEof);
}

TEST_CASE("vmess: the first write fits into the room that overhead() asks for") {
  VmessPeers peers;
  const auto client = peers.make_client(Destination("example.org", 80));
  Buffer data = Buffer::copy_of("abc", client->overhead());
  const std::size_t capacity = data.capacity();
  CHECK_FALSE(client->seal(data));
  CHECK(data.capacity() == capacity);
  CHECK(client->overhead().front == 2);
}

TEST_CASE("vmess: without chunks the bytes are as they are") {
  VmessPeers peers;
  const auto client = peers.make_client(Destination("example.org", 80), {.security = Security::kZero});
  const auto server = peers.make_server();
  CodecPair pair(*client, *server, 65536);
  CHECK_FALSE(client->seals_verbatim());
  CHECK_FALSE(pair.client.write("a"));
  CHECK(client->seals_verbatim());
  CHECK_FALSE(client->opens_verbatim());
  pair.pump();
  CHECK(server->opens_verbatim());
  CHECK_FALSE(server->seals_verbatim());
  server->grant({});
  CHECK_FALSE(pair.server.write("b"));
  CHECK(server->seals_verbatim());
  pair.pump();
  CHECK(client->opens_verbatim());
}

TEST_CASE("vmess server: a refusal is silent") {
  VmessPeers peers;
  const auto server = peers.make_server();
  CodecEnd end(*server);
  end.step(Buffer::copy_of(request_of(peers, "abc")));
  REQUIRE(end.opened);
  server->refuse(Refusal::kConnectionRefused);
  CHECK_FALSE(end.write(""));
  end.end();
  CHECK(end.wire.empty());
}

TEST_CASE("vmess client: options that contradict each other are not sent") {
  VmessPeers peers;
  const auto client =
      peers.make_client(Destination("a", 1), {.security = Security::kAes128Gcm, .options = kGlobalPadding});
  CodecEnd end(*client);
  end.step({});
  CHECK(end.error == Errc::kBadConfiguration);
}

TEST_CASE("vmess client: the end of a server that has not answered, and one in the middle") {
  VmessPeers peers;
  const auto client = peers.make_client(Destination("a", 1));
  CHECK(client->open_end() == winze::Errc::kEof);
  Buffer reply, piece = Buffer::copy_of("x");
  CHECK_FALSE(client->open(piece, reply));
  CHECK(client->open_end() == winze::Errc::kTruncated);
  Buffer rest = Buffer::copy_of(std::string(17, 'x'));
  CHECK(client->open(rest, reply) == Errc::kBadAnswer);
}

// --- what a server makes of who is not a user ---

struct Refused {
  std::error_code error;
  std::size_t read = 0;  // bytes until it gave up
  std::string detail;
};

Refused refused(VmessPeers& peers, std::string_view opening, std::size_t segment = 1) {
  const auto server = peers.make_server();
  CodecEnd end(*server);
  Refused out;
  const std::string wire = std::string(opening) + std::string(8000, 'x');
  test::feed(wire, segment, [&](Buffer in) {
    out.read += in.size();
    end.step(std::move(in));
    return !end.error;
  });
  CHECK_FALSE(end.opened);
  CHECK(end.wire.empty());
  CHECK(end.unread.empty());
  out.error = end.error;
  out.detail = server->detail();
  return out;
}

// A request of the user with what a client of ours would not say.
std::string strange_request(VmessPeers& peers, const std::function<void(Request&)>& change) {
  Request request{.options = kChunkStream, .security = Security::kAes128Gcm, .destination = Destination("a", 1)};
  peers.random.fill(request.keys.key);
  change(request);
  Buffer wire;
  CHECK(seal_request(UserKeys(VmessPeers::id()), request, peers.clock.now, peers.random, wire));
  return std::string(wire.text());
}

TEST_CASE("vmess server: whatever is wrong, it reads on for the same number of bytes and says nothing") {
  VmessPeers peers;
  struct Row {
    std::string opening;
    Errc error;
  };
  std::vector<Row> rows;
  rows.push_back({"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Errc::kUnknownUser});
  rows.push_back({std::string(16, '\0'), Errc::kUnknownUser});
  Uuid other = VmessPeers::id();
  other.bytes[15] ^= 1;
  rows.push_back({request_of(peers, "x", {}, Destination("a", 1), other), Errc::kUnknownUser});
  const std::string seen = request_of(peers, "x");
  {
    const auto server = peers.make_server();
    CodecEnd end(*server);
    feed(end, seen, 1400);
    REQUIRE(end.opened);
  }
  rows.push_back({seen, Errc::kReplayed});
  std::string bent_length = request_of(peers, "x"), bent_header = request_of(peers, "x");
  bent_length[20] ^= 1;
  bent_header[60] ^= 1;
  rows.push_back({bent_length, Errc::kBadHeader});
  rows.push_back({bent_header, Errc::kBadHeader});
  peers.clock.now -= 121;
  rows.push_back({request_of(peers, "x"), Errc::kBadTime});
  peers.clock.now += 242;
  rows.push_back({request_of(peers, "x"), Errc::kBadTime});
  peers.clock.now -= 121;
  rows.push_back(
      {strange_request(peers, [](Request& r) { r.command = static_cast<Command>(4); }), Errc::kUnsupportedCommand});
  rows.push_back({strange_request(peers, [](Request& r) { r.options = kGlobalPadding; }), Errc::kBadOptions});
  rows.push_back({strange_request(peers,
                                  [](Request& r) {
                                    r.security = Security::kNone;
                                    r.options = 0;
                                    r.command = Command::kUdp;
                                  }),
                  Errc::kBadOptions});
  const Drain drain = peers.server->drain;
  CHECK(drain.base >= kLargestRequest);
  CHECK(drain.base < 4000);
  for (const Row& row : rows) {
    CAPTURE(row.error);
    const Refused result = refused(peers, row.opening);
    CHECK(result.error == row.error);
    CHECK(result.read >= drain.base);
    CHECK(result.read < drain.base + drain.spread);
    CHECK(result.detail == std::error_code(row.error).message());
  }
}

TEST_CASE("vmess server: a bad opening in one large segment is given up at once") {
  VmessPeers peers;
  CHECK(refused(peers, "", 65536).error == Errc::kUnknownUser);
}

TEST_CASE("vmess server: of who stops in the middle it says nothing") {
  VmessPeers peers;
  const std::string whole = request_of(peers, "");
  for (std::size_t n = 0; n < whole.size(); ++n) {
    VmessPeers fresh;
    const auto server = fresh.make_server();
    CodecEnd end(*server);
    feed(end, std::string_view(whole).substr(0, n), 65536);
    CHECK_FALSE(end.error);
    CHECK_FALSE(end.opened);
    CHECK(end.wire.empty());
    CHECK(server->detail().empty());
  }
}

TEST_CASE("vmess server: the same body keys are not taken twice") {
  VmessPeers peers;
  const auto again = [](Request& r) { r.keys = {}; };
  const auto server = peers.make_server();
  CodecEnd end(*server);
  feed(end, strange_request(peers, again), 65536);
  CHECK(end.opened);
  CHECK(refused(peers, strange_request(peers, again)).error == Errc::kReplayed);
  peers.clock.now += 400;
  const auto later = peers.make_server();
  CodecEnd taken(*later);
  feed(taken, strange_request(peers, again), 65536);
  CHECK(taken.opened);
}

TEST_CASE("vmess server: security \"none\" may be refused") {
  VmessPeers peers;
  auto strict = std::make_shared<Server>(*peers.server);
  strict->refuse_unprotected = true;
  peers.server = strict;
  CHECK(refused(peers, request_of(peers, "x", {.security = Security::kZero})).error == Errc::kUnsupportedSecurity);
  const auto server = peers.make_server();
  CodecEnd end(*server);
  feed(end, request_of(peers, "x"), 65536);
  CHECK(end.opened);
}

TEST_CASE("vmess server: a user who is removed is a stranger") {
  VmessPeers peers;
  const std::string opening = request_of(peers, "x");
  CHECK(peers.users->remove("ann@example.org"));
  CHECK(refused(peers, opening).error == Errc::kUnknownUser);
}

TEST_CASE("vmess: the drain is the same for the same users") {
  VmessPeers a, b;
  CHECK(a.server->drain.base == b.server->drain.base);
  CHECK(a.server->drain.spread == b.server->drain.spread);
  b.users->add({}, {.name = "b"});
  CHECK(Drain::of(*b.users).base != a.server->drain.base);
}

// --- sessions of other makers ---

std::vector<test::Vector> recorded_sessions() {
  std::vector<test::Vector> out = test::load_vectors("vmess/v2ray_sessions.txt");
  for (test::Vector& v : test::load_vectors("vmess/singbox_sessions.txt")) out.push_back(std::move(v));
  return out;
}

TEST_CASE("vmess: sessions between clients and servers of V2Ray and sing-box, at every segment size") {
  for (const test::Vector& v : recorded_sessions()) {
    for (const std::size_t segment : test::kSegmentSizes) {
      CAPTURE(v.text("name"));
      CAPTURE(segment);
      VmessPeers peers;
      const Uuid id = Uuid::of(std::span<const std::uint8_t, 16>(v.bytes("uuid")));
      peers.users->add(id, {.name = "peer"});
      peers.clock.now = std::stoll(v.text("time"));
      const auto server = peers.make_server();
      CodecEnd end(*server);
      const std::string up = text_of(v.bytes("up")), down = text_of(v.bytes("down"));
      feed(end, up, segment);
      REQUIRE(end.opened);
      CHECK((!end.error || end.error == winze::Errc::kEof));
      const Destination wanted(v.text("host"), static_cast<std::uint16_t>(std::stoul(v.text("port"))),
                               v.text("network") == "udp" ? Network::kUdp : Network::kTcp);
      CHECK(server->request().destination == wanted);
      CHECK(server->request().user == "peer");
      if (v.has("sent")) CHECK(test::to_hex(end.received) == v.text("sent"));

      // What its server answered, by the keys that its client sent.
      const std::span<const std::uint8_t> bytes(reinterpret_cast<const std::uint8_t*>(up.data()), up.size());
      const RequestOpener opener(UserKeys(id).command, bytes.first<kAuthIdSize>());
      Request request;
      REQUIRE_FALSE(opener.open(bytes.first(opener.size(bytes)), request));
      const BodyKeys keys = response_keys(request.keys);
      std::error_code error;
      const std::size_t answer =
          open_answer(keys, request.answer, {reinterpret_cast<const std::uint8_t*>(down.data()), down.size()}, error);
      REQUIRE(answer == kAnswerSize);
      ChunkOpener body(
          {.security = request.security, .options = request.options, .datagrams = request.command == Command::kUdp},
          keys, request.keys, peers.pool);
      std::string got;
      test::feed(std::string_view(down).substr(answer), segment, [&](Buffer in) {
        error = body.open(in);
        got += in.text();
        return !error;
      });
      CHECK((!error || error == winze::Errc::kEof));
      if (v.has("got")) CHECK(test::to_hex(got) == v.text("got"));
    }
  }
}

}  // namespace
}  // namespace winze::vmess
