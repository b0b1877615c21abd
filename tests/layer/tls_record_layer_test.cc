#include "layer/tls_record_layer.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "support/tls_session.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/layer/tls.h"

namespace winze::tls {
namespace {

constexpr std::uint16_t kSuite = 0x1301;
constexpr std::array<std::uint8_t, 32> kForth{1}, kBack{2};
const std::string kUpdate("\x18\0\0\1\0", 5), kUpdateAndAnswer("\x18\0\0\1\1", 5);

std::string sealed(RecordKey& key, ContentType type, std::string_view content) {
  Buffer record;
  key.seal(type, as_bytes(content), record.append(content.size() + kRecordOverhead));
  return std::string(record.text());
}

// Opens one record of that type; "nothing" when it does not authenticate.
std::string opened(RecordKey& key, ContentType wanted, std::string_view record) {
  std::vector<std::uint8_t> plain(record.size());
  ContentType type;
  std::size_t length;
  if (key.open(as_bytes(record), plain.data(), type, length)) return "nothing";
  CHECK(type == wanted);
  return std::string(as_text({plain.data(), length}));
}

// A layer under test, and a peer's two keys.
struct Fixture {
  explicit Fixture(Side side, std::uint64_t records_per_key = kRecordsPerKey) : layer(side, pool, records_per_key) {
    layer.start_reading(kSuite, kForth, 0);
    layer.start_writing(kSuite, kBack, 0);
    REQUIRE(peer_writes.init(kSuite, kForth, 0));
    REQUIRE(peer_reads.init(kSuite, kBack, 0));
  }

  std::string open(std::string_view wire) {
    Buffer data = Buffer::copy_of(wire), out;
    error = layer.open(data, out);
    reply = out.text();
    return std::string(data.text());
  }
  std::string seal(std::string_view text) {
    Buffer data = Buffer::copy_of(text);
    layer.seal(data);
    return std::string(data.text());
  }

  BufferPool pool;
  RecordLayer layer;
  RecordKey peer_writes, peer_reads;
  std::error_code error;
  std::string reply;
};

TEST_CASE("tls records: the keys for writing are renewed at the limit") {
  static_assert(kRecordsPerKey == 1 << 24);
  constexpr std::size_t kRecord = kRecordOverhead + 5;  // of kUpdate too
  Fixture f(Side::kClient, 4);
  for (int i = 0; i < 13; ++i) {
    CAPTURE(i);
    std::string wire = f.seal("hello");
    const bool renews = i > 0 && i % 4 == 0;
    REQUIRE(wire.size() == (renews ? 2 : 1) * kRecord);
    if (renews) {
      CHECK(opened(f.peer_reads, kHandshakeRecord, wire.substr(0, kRecord)) == kUpdate);
      f.peer_reads.update();
      wire.erase(0, kRecord);
    }
    CHECK(opened(f.peer_reads, kApplicationData, wire) == "hello");
  }
  // Within one long write, and before the end.
  Fixture g(Side::kClient, 4);
  Fixture other(Side::kServer);
  other.layer.start_reading(kSuite, kBack, 0);
  const std::string text(10 * kMaxContent, 'x');
  CHECK(other.open(g.seal(text)) == text);
  CHECK_FALSE(other.error);
  Buffer end;
  g.seal("one");
  g.seal("two");
  g.layer.seal_end(end);
  CHECK(end.size() == 2 * kRecordOverhead + kUpdate.size() + 2);
}

TEST_CASE("tls records: old keys do not open what comes after an update") {
  Fixture f(Side::kClient, 1);
  f.seal("first");
  const std::string wire = f.seal("second");
  f.peer_reads.update();
  RecordKey old;
  REQUIRE(old.init(kSuite, kBack, 2));
  CHECK(opened(old, kApplicationData, wire.substr(kRecordOverhead + kUpdate.size())) == "nothing");
  CHECK(opened(f.peer_reads, kApplicationData, wire.substr(kRecordOverhead + kUpdate.size())) == "second");
}

TEST_CASE("tls records: a key update is followed, and answered where that is asked for") {
  for (const Side side : {Side::kClient, Side::kServer}) {
    for (const bool asks : {false, true}) {
      CAPTURE(asks);
      Fixture f(side);
      for (int round = 0; round < 3; ++round) {
        const std::string update = sealed(f.peer_writes, kHandshakeRecord, asks ? kUpdateAndAnswer : kUpdate);
        f.peer_writes.update();
        CHECK(f.open(update + sealed(f.peer_writes, kApplicationData, "new keys")) == "new keys");
        CHECK_FALSE(f.error);
        if (asks) {
          CHECK(opened(f.peer_reads, kHandshakeRecord, f.reply) == kUpdate);
          f.peer_reads.update();
        } else {
          CHECK(f.reply.empty());
        }
        CHECK(opened(f.peer_reads, kApplicationData, f.seal("answer")) == "answer");
      }
    }
  }
}

TEST_CASE("tls records: which messages may come after the handshake, and how") {
  struct Row {
    const char* what;
    Side reader;
    std::vector<std::string> pieces;
    std::error_code error;
  };
  const std::string ticket("\4\0\0\3abc", 7);
  const Row rows[] = {
      {"a ticket", Side::kClient, {ticket}, {}},
      {"a ticket in pieces", Side::kClient, {"\4", ticket.substr(1, 4), ticket.substr(5)}, {}},
      {"two tickets, cut elsewhere", Side::kClient, {ticket + ticket.substr(0, 2), ticket.substr(2)}, {}},
      {"a ticket to a server", Side::kServer, {ticket}, Errc::kUnexpectedMessage},
      {"a ticket without content", Side::kClient, {ticket.substr(0, 3) + '\0'}, Errc::kUnexpectedMessage},
      {"another message", Side::kClient, {std::string("\1\0\0\1x", 5)}, Errc::kUnexpectedMessage},
      {"no bytes", Side::kClient, {""}, Errc::kUnexpectedMessage},
      {"an update with bytes behind it", Side::kServer, {kUpdate + '\x18'}, Errc::kUnexpectedMessage},
      {"an update of another length", Side::kServer, {std::string("\x18\0\0\2\0\0", 6)}, Errc::kUnexpectedMessage},
      {"an update that asks for what there is not",
       Side::kServer,
       {"\x18", std::string("\0\0\1\2", 4)},
       Errc::kUnexpectedMessage},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Fixture f(row.reader);
    std::string wire;
    for (const std::string& piece : row.pieces) wire += sealed(f.peer_writes, kHandshakeRecord, piece);
    CHECK(f.open(wire).empty());
    CHECK(f.error == row.error);
  }
  Fixture f(Side::kServer);
  std::string wire = sealed(f.peer_writes, kHandshakeRecord, kUpdate.substr(0, 4));
  wire += sealed(f.peer_writes, kHandshakeRecord, kUpdate.substr(4));
  f.peer_writes.update();
  wire += sealed(f.peer_writes, kApplicationData, "x");
  CHECK(f.open(wire) == "x");
}

TEST_CASE("tls records: nothing stands between the records of one message") {
  for (const ContentType type : {kApplicationData, kAlertRecord}) {
    for (const bool together : {true, false}) {
      Fixture f(Side::kClient);
      std::string wire = sealed(f.peer_writes, kHandshakeRecord, "\4");
      if (!together) CHECK(f.open(std::exchange(wire, {})).empty());
      CHECK(f.open(wire + sealed(f.peer_writes, type, std::string("\1\0", 2))).empty());
      CHECK(f.error == Errc::kUnexpectedMessage);
    }
  }
}

TEST_CASE("tls records: a peer that sends neither bytes nor an end is left") {
  for (const bool updates : {false, true}) {
    Fixture f(Side::kServer);
    const auto idle = [&] {
      const std::string wire = sealed(f.peer_writes, updates ? kHandshakeRecord : kApplicationData,
                                      updates ? kUpdateAndAnswer : std::string());
      if (updates) f.peer_writes.update();
      f.open(wire);
    };
    for (int i = 0; i < kIdleRecordLimit; ++i) idle();
    CHECK_FALSE(f.error);
    CHECK(f.open(sealed(f.peer_writes, kApplicationData, "x")) == "x");
    for (int i = 0; i < kIdleRecordLimit; ++i) idle();
    CHECK_FALSE(f.error);
    idle();
    CHECK(f.error == Errc::kUnexpectedMessage);
    CHECK(f.reply.empty());
  }
}

TEST_CASE("tls records: BoringSSL and we follow each other's key updates") {
  BufferPool pool;
  test::LibraryClient client;
  const auto server = server_codec(test::server_context(), pool);
  REQUIRE_FALSE(client.shake(*server));
  for (const int request : {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_REQUESTED}) {
    REQUIRE(SSL_key_update(client.ssl(), request) == 1);
    REQUIRE(SSL_write(client.ssl(), "ping", 4) == 4);
    Buffer data = client.sent(), reply;
    CHECK_FALSE(server->open(data, reply));
    CHECK(data.text() == "ping");
    CHECK(reply.empty() == (request == SSL_KEY_UPDATE_NOT_REQUESTED));
    client.receive(reply);
    Buffer answer = Buffer::copy_of("pong");
    CHECK_FALSE(server->seal(answer));
    client.receive(answer);
    CHECK(client.read() == "pong");
  }
}

}  // namespace
}  // namespace winze::tls
