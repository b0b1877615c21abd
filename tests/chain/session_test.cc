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

}  // namespace
}  // namespace winze::chain
