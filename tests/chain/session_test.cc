// Sessions over streams, from the accept to the record.
#include "winze/chain/session.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/io/memory.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/proxy_protocol/header.h"
#include "winze/proto/socks/server.h"
#include "winze/proto/vless/codec.h"

namespace winze::chain {
namespace {

using namespace std::chrono_literals;

const Uuid kId = *Uuid::parse("6d1c6a3e-2f0b-4f0e-9a57-0d5b7c2f4a11");

// A VLESS request for a.test:80.
std::string request() {
  return std::string(1, '\0') + std::string(as_text(kId.bytes)) + std::string("\0\x01\0\x50\x02\x06", 6) + "a.test";
}

// A session of a VLESS server, whose outbound and whose fallback are fakes.
struct Fixture {
  Fixture() {
    auto users = std::make_shared<vless::UserTable>();
    users->add(kId, {.name = "peer"});
    inbound->tag = "in";
    inbound->protocol = "vless";
    inbound->policy = {.handshake = 4s, .idle = 10s};
    inbound->make_proxy = [users](const Connection&) { return std::make_unique<vless::ServerCodec>(users); };
    inbound->router = [this](const Connection&) { return Route{"out", dialer}; };
    inbound->on_end = [this](const Connection& connection) { records.push_back(connection); };
  }

  void fall_back(int proxy_protocol = 0) {
    inbound->fallback = [this, proxy_protocol](const Connection&, std::span<const std::uint8_t>) {
      return FallbackTarget{.dialer = web, .proxy_protocol = proxy_protocol};
    };
  }

  void start(StreamPtr near, StreamPtr far) {
    client = std::move(near);
    session = serve(sim.environment(), inbound, std::move(far), [this] { ended = sim.now() - begun; });
    sim.run_ready();
  }
  void start() {
    auto [near, far] = memory_pair(sim.environment());
    start(std::move(near), std::move(far));
  }

  void send(Stream& stream, std::string_view text) {
    stream.write(Buffer::copy_of(text), [](std::error_code) {});
    sim.run_ready();
  }
  void end(Stream& stream) {
    stream.shutdown_write([](std::error_code) {});
    sim.run_ready();
  }
  std::string receive(Stream& stream) {
    std::string out = "nothing";
    stream.read([&](std::error_code error, Buffer data) { out = error ? error.message() : std::string(data.text()); });
    sim.run_ready();
    return out;
  }

  // The far end of what the session has dialed.
  StreamPtr connect(test::FakeDialer& by) {
    REQUIRE(by.dials.size() == 1);
    auto [near, far] = memory_pair(sim.environment());
    test::answer(by.dials[0], {}, std::move(near));
    sim.run_ready();
    return std::move(far);
  }

  test::Simulator sim{1};
  TimePoint begun = sim.now();
  std::shared_ptr<test::FakeDialer> dialer = std::make_shared<test::FakeDialer>(sim.environment());
  std::shared_ptr<test::FakeDialer> web = std::make_shared<test::FakeDialer>(sim.environment());
  std::shared_ptr<Inbound> inbound = std::make_shared<Inbound>();
  StreamPtr client;
  Pending session;
  std::vector<Connection> records;
  std::optional<Duration> ended;
};

const std::string kEnd = std::error_code(Errc::kEof).message();
const std::string kReset = std::make_error_code(std::errc::connection_reset).message();

TEST_CASE("session: a stranger who says less than a request, and waits, goes to the fallback with what he said") {
  for (const std::string_view said : {std::string_view("\0abc", 4), std::string_view()}) {
    CAPTURE(said.size());
    Fixture f;
    f.fall_back();
    f.start();
    if (!said.empty()) f.send(*f.client, said);
    f.sim.run_for(3s);
    CHECK(f.web->dials.empty());
    f.sim.run_for(2s);
    const StreamPtr web = f.connect(*f.web);
    if (!said.empty()) CHECK(f.receive(*web) == said);
    // The read that the time ran out on goes on.
    f.send(*f.client, "more");
    CHECK(f.receive(*web) == "more");
    f.send(*f.client, "and more");
    CHECK(f.receive(*web) == "and more");
    f.send(*web, "HTTP/1.1 400");
    CHECK(f.receive(*f.client) == "HTTP/1.1 400");
    f.end(*f.client);
    CHECK(f.receive(*web) == kEnd);
    f.end(*web);
    REQUIRE(f.records.size() == 1);
    CHECK(f.records[0].outbound == "fallback");
    CHECK_FALSE(f.records[0].error);
    CHECK(f.dialer->dials.empty());
  }
}

TEST_CASE("session: a stranger who says less than a request, and ends, goes to the fallback too") {
  Fixture f;
  f.fall_back();
  f.start();
  f.send(*f.client, std::string_view("\0abc", 4));
  f.end(*f.client);
  const StreamPtr web = f.connect(*f.web);
  CHECK(f.receive(*web) == std::string_view("\0abc", 4));
  CHECK(f.receive(*web) == kEnd);
  f.send(*web, "HTTP/1.1 400");
  CHECK(f.receive(*f.client) == "HTTP/1.1 400");
}

TEST_CASE("session: a user's unfinished or bad request is no fallback's") {
  const std::string whole = request();
  const std::string bad = whole.substr(0, 18) + "\x07" + whole.substr(19);
  for (const std::string& said : {whole.substr(0, 17), whole.substr(0, 25), bad}) {
    CAPTURE(said.size());
    Fixture f;
    f.fall_back();
    f.start();
    f.send(*f.client, said);
    f.sim.run_for(5s);
    CHECK(f.web->dials.empty());
    REQUIRE(f.records.size() == 1);
    CHECK(f.records[0].stage == "vless");
    CHECK(f.receive(*f.client) == kEnd);
  }
}

TEST_CASE("session: a stranger goes to the fallback at once, behind the source that a PROXY protocol header told") {
  struct Row {
    int version;
    std::string_view header;
  };
  // The session's own end has no address in memory.
  for (const Row& row : {Row{0, ""}, Row{1, "PROXY TCP4 192.0.2.7 0.0.0.0 4711 0\r\n"}}) {
    Fixture f;
    f.fall_back(row.version);
    f.inbound->transports.push_back({.name = "proxy-protocol",
                                     .make = [] { return std::make_unique<proxy_protocol::ServerCodec>(); },
                                     .learn =
                                         [](StreamCodec& codec, Connection& connection) {
                                           connection.source =
                                               static_cast<proxy_protocol::ServerCodec&>(codec).addresses()->source;
                                         }});
    f.start();
    f.send(*f.client, "PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n");
    f.send(*f.client, "GET / HTTP/1.1\r\n\r\n");
    const StreamPtr web = f.connect(*f.web);
    CHECK(f.receive(*web) == std::string(row.header) + "GET / HTTP/1.1\r\n\r\n");
    f.client.reset();
    f.sim.run_for(10s);
    REQUIRE(f.records.size() == 1);
    CHECK(f.records[0].source == Endpoint{*IpAddress::parse("192.0.2.7"), 4711});
    CHECK(f.records[0].detail == std::error_code(vless::Errc::kWrongVersion).message());
  }
}

TEST_CASE("session: a fallback that does not answer is the session's failure") {
  Fixture f;
  f.fall_back();
  f.start();
  f.send(*f.client, "GET / HTTP/1.1\r\n\r\n");
  REQUIRE(f.web->dials.size() == 1);
  test::answer(f.web->dials[0], std::make_error_code(std::errc::connection_refused), StreamPtr());
  f.sim.run_ready();
  CHECK(f.receive(*f.client) == kEnd);
  REQUIRE(f.records.size() == 1);
  CHECK(f.records[0].stage == "fallback");
  CHECK(f.records[0].error == std::errc::connection_refused);
}

TEST_CASE("session: without a fallback a stranger is closed without a word") {
  Fixture f;
  f.start();
  f.send(*f.client, "GET / HTTP/1.1\r\n\r\n");
  CHECK(f.receive(*f.client) == kEnd);
  REQUIRE(f.records.size() == 1);
  CHECK(f.records[0].stage == "vless");
  CHECK(f.records[0].error == vless::Errc::kWrongVersion);
}

TEST_CASE("session: a request is relayed, and recorded") {
  Fixture f;
  f.start();
  f.send(*f.client, request() + "payload");
  const StreamPtr server = f.connect(*f.dialer);
  CHECK(f.dialer->dials[0]->destination == Destination("a.test", 80));
  CHECK(f.receive(*server) == "payload");
  f.send(*server, "answer");
  CHECK(f.receive(*f.client) == std::string("\0\0answer", 8));
  f.end(*f.client);
  f.end(*server);
  REQUIRE(f.records.size() == 1);
  const Connection& record = f.records[0];
  CHECK(record.inbound == "in");
  CHECK(record.outbound == "out");
  CHECK(record.user == "peer");
  CHECK(record.up == 7);
  CHECK(record.down == 6);
  CHECK_FALSE(record.error);
  CHECK(record.stage.empty());
}

TEST_CASE("session: what cannot be dialed is refused in the protocol's words, and recorded with the dialer's") {
  struct Row {
    std::error_code error;
    char code;  // RFC 1928 section 6
  };
  for (const Row& row : {Row{std::make_error_code(std::errc::connection_refused), 5}, Row{Errc::kUnresolved, 4},
                         Row{Errc::kTimedOut, 6}, Row{Errc::kRefusedPolicy, 2}}) {
    CAPTURE(row.error.message());
    Fixture f;
    f.inbound->protocol = "socks";
    f.inbound->make_proxy = [](const Connection&) {
      return std::make_unique<socks::ServerCodec>(socks::ServerOptions{});
    };
    // Of our own rules no dialer is asked.
    if (row.error == Errc::kRefusedPolicy) f.inbound->router = [](const Connection&) { return Route{}; };
    f.start();
    f.send(*f.client, std::string_view("\x05\x01\x00", 3));
    CHECK(f.receive(*f.client) == std::string_view("\x05\x00", 2));
    f.send(*f.client, std::string_view("\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50", 10));
    if (!f.dialer->dials.empty()) {
      test::answer(f.dialer->dials[0], DialError(row.error, "its own words"), StreamPtr());
    }
    const std::string answer = f.receive(*f.client);
    REQUIRE(answer.size() == 10);
    CHECK(answer[1] == row.code);
    CHECK(f.receive(*f.client) == kEnd);
    REQUIRE(f.records.size() == 1);
    CHECK(f.records[0].stage == "dial");
    CHECK(f.records[0].error == row.error);
    CHECK(f.records[0].detail == (f.dialer->dials.empty() ? "" : "its own words"));
  }
}

TEST_CASE("session: what nothing holds up ends outside the call that serves it") {
  Fixture f;
  f.inbound->make_proxy = nullptr;  // dokodemo-door
  f.inbound->router = [](const Connection&) { return Route{}; };
  auto [near, far] = memory_pair(f.sim.environment());
  f.session = serve(f.sim.environment(), f.inbound, std::move(far), [&] { f.ended = 0s; });
  CHECK(!f.ended);
  f.sim.run_ready();
  REQUIRE(f.ended);
  REQUIRE(f.records.size() == 1);
  CHECK(f.records[0].error == Errc::kRefusedPolicy);
}

TEST_CASE("session: where all connections are for the host that stands for mux.cool, all are carriers") {
  // New, id 1, TCP to a.test:80, with "hello".
  const std::string carried = std::string(
                                  "\0\x0f\0\x01\x01\x01\x01\0\x50\x02\x06"
                                  "a.test\0\x05",
                                  19) +
                              "hello";
  for (const bool accepts : {true, false}) {
    CAPTURE(accepts);
    Fixture f;
    f.inbound->make_proxy = nullptr;
    f.inbound->destination = mux::cool_destination();
    f.inbound->mux.accepts = accepts;
    f.start();
    f.send(*f.client, carried);
    if (accepts) {
      const StreamPtr server = f.connect(*f.dialer);
      CHECK(f.dialer->dials[0]->destination == Destination("a.test", 80));
      CHECK(f.receive(*server) == "hello");
      f.session.cancel();
      f.sim.run_ready();
      CHECK(f.records.size() == 2);
    } else {
      CHECK(f.dialer->dials.empty());
      REQUIRE(f.records.size() == 1);
      CHECK(f.records[0].stage == "mux");
      CHECK(f.records[0].error == Errc::kRefusedPolicy);
    }
  }
}

TEST_CASE("session: the handshake's time is that of all layers together") {
  Fixture f;
  f.inbound->transports.push_back({.name = "proxy-protocol",
                                   .make = [] { return std::make_unique<proxy_protocol::ServerCodec>(); },
                                   .learn = nullptr});
  f.start();
  f.sim.run_for(3s);
  f.send(*f.client, "PROXY UNKNOWN\r\n");
  f.send(*f.client, request().substr(0, 10));
  f.sim.run_for(3s);
  CHECK(f.ended == 4s);
  REQUIRE(f.records.size() == 1);
  CHECK(f.records[0].stage == "vless");
  CHECK(f.records[0].error == Errc::kTimedOut);
}

// Brings a session to each of its steps in turn.
enum class Step { kHandshake, kDial, kRelay, kFallbackDial, kFallbackRelay };

StreamPtr bring_to(Fixture& f, Step step) {
  f.fall_back();
  f.start();
  const bool fallback = step >= Step::kFallbackDial;
  f.send(*f.client, fallback                   ? "GET / HTTP/1.1\r\n\r\n"
                    : step == Step::kHandshake ? request().substr(0, 5)
                                               : request());
  if (step == Step::kRelay) return f.connect(*f.dialer);
  return step == Step::kFallbackRelay ? f.connect(*f.web) : nullptr;
}

TEST_CASE("session: cancelled at any step, it ends once, and both streams with it") {
  for (const Step step : {Step::kHandshake, Step::kDial, Step::kRelay, Step::kFallbackDial, Step::kFallbackRelay}) {
    CAPTURE(static_cast<int>(step));
    Fixture f;
    const StreamPtr server = bring_to(f, step);
    CHECK_FALSE(f.ended);
    f.session.cancel();
    CHECK_FALSE(f.ended);  // never inside the call
    f.sim.run_ready();
    CHECK(f.ended);
    REQUIRE(f.records.size() == 1);
    CHECK(f.records[0].error == Errc::kAborted);
    // Broken off: nobody shall take that for the end of what was sent.
    CHECK(f.receive(*f.client) == (step == Step::kHandshake ? kEnd : kReset));
    if (step == Step::kRelay) CHECK(f.receive(*server) == kReset);
    if (step == Step::kFallbackRelay) {
      CHECK(f.receive(*server) == "GET / HTTP/1.1\r\n\r\n");
      CHECK(f.receive(*server) == kEnd);
    }
    f.sim.run_for(20s);
    CHECK(f.records.size() == 1);
  }
}

TEST_CASE("session: a client that breaks at any operation ends it once") {
  const std::error_code reset = std::make_error_code(std::errc::connection_reset);
  for (std::uint64_t fail_at = 0; fail_at < 8; ++fail_at) {
    CAPTURE(fail_at);
    Fixture f;
    auto [near, far] = memory_pair(f.sim.environment());
    f.start(std::move(near), faulty_stream(std::move(far), fail_at, reset));
    f.send(*f.client, request() + "payload");
    if (!f.dialer->dials.empty()) {
      const StreamPtr server = f.connect(*f.dialer);
      f.send(*server, "answer");
      f.end(*server);
      f.end(*f.client);
      f.sim.run_for(20s);
    }
    CHECK(f.ended);
    CHECK(f.records.size() == 1);
  }
}

}  // namespace
}  // namespace winze::chain
