// Users as live objects, and sessions that live under their terms.
#include "winze/chain/users.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "support/stream_around.h"
#include "winze/base/error.h"
#include "winze/chain/session.h"
#include "winze/io/memory.h"
#include "winze/proto/http/server.h"
#include "winze/proto/socks/server.h"

namespace winze::chain {
namespace {

using namespace std::chrono_literals;

const std::string kReset = std::make_error_code(std::errc::connection_reset).message();

// A memory stream with an address.
class From final : public test::StreamAround {
 public:
  From(StreamPtr below, const char* address)
      : StreamAround(std::move(below)), from_{*IpAddress::parse(address), 4711} {}
  Endpoint local() const override { return {}; }
  Endpoint remote() const override { return from_; }

 private:
  Endpoint from_;
};

// A SOCKS server with the account alice:secret, and what it dials.
struct Fixture {
  Fixture() {
    auto accounts = std::make_shared<PasswordList>();
    accounts->add("alice", "secret");
    inbound->tag = "in";
    inbound->protocol = "socks";
    inbound->make_proxy = [accounts](const Connection&) {
      return std::make_unique<socks::ServerCodec>(socks::ServerOptions{.credentials = accounts});
    };
    inbound->router = [this](const Connection&) { return Route{"out", dialer, out}; };
    inbound->on_end = [this](const Connection& connection) { records.push_back(connection); };
    inbound->users = users;
    inbound->traffic = in;
  }

  struct Client {
    StreamPtr stream;
    StreamPtr server;  // the far end of what was dialed
    Pending session;
    std::string answer;
  };

  // Asks for a connection, and answers its dial.
  Client connect(const char* from = "192.0.2.1") {
    Client c;
    auto [near, far] = memory_pair(sim.environment());
    c.stream = std::move(near);
    c.session = serve(sim.environment(), inbound, std::make_unique<From>(std::move(far), from), [] {});
    send(*c.stream, std::string("\x05\x01\x02", 3) + std::string("\x01\x05", 2) + "alice" + "\x06" + "secret" +
                        std::string("\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50", 10));
    if (dialer->dials.size() > answered) {
      auto [up, down] = memory_pair(sim.environment());
      test::answer(dialer->dials[answered++], {}, std::move(up));
      c.server = std::move(down);
      sim.run_ready();
    }
    while (c.answer.size() < 14) {
      const std::string more = receive(*c.stream);
      if (more == "nothing" || more == kEnd || more == kReset) break;
      c.answer += more;
    }
    return c;
  }

  void send(Stream& stream, std::string_view text) {
    stream.write(Buffer::copy_of(text), [](std::error_code) {});
    sim.run_ready();
  }
  std::string receive(Stream& stream) {
    std::string text = "nothing";
    stream.read([&](std::error_code error, Buffer data) { text = error ? error.message() : std::string(data.text()); });
    sim.run_ready();
    return text;
  }
  const std::string kEnd = std::error_code(Errc::kEof).message();

  // Whether the user, and not its peers, saw it break off, and why the record says so.
  void check_dismissed(Client& c, UserErrc why) {
    CHECK(receive(*c.stream) == kReset);
    CHECK(receive(*c.server) == kReset);
    REQUIRE_FALSE(records.empty());
    CHECK(records.back().stage == "user");
    CHECK(records.back().error == why);
  }
  // That it was told that it is not allowed (RFC 1928 section 6: 2).
  void check_refused(const Client& c, UserErrc why, std::string_view detail = {}) {
    REQUIRE(c.answer.size() == 14);
    CHECK(c.answer[5] == 2);
    CHECK(c.server == nullptr);
    REQUIRE_FALSE(records.empty());
    CHECK(records.back().stage == "user");
    CHECK(records.back().error == why);
    CHECK(records.back().detail == detail);
  }
  UserStatistics alice() const {
    const auto found = users->find("alice");
    REQUIRE(found);
    return *found;
  }

  test::Simulator sim{1};
  std::shared_ptr<Users> users = std::make_shared<Users>();
  std::shared_ptr<TagTraffic> in = std::make_shared<TagTraffic>();
  std::shared_ptr<TagTraffic> out = std::make_shared<TagTraffic>();
  std::shared_ptr<test::FakeDialer> dialer = std::make_shared<test::FakeDialer>(sim.environment());
  std::shared_ptr<Inbound> inbound = std::make_shared<Inbound>();
  std::size_t answered = 0;
  std::vector<Connection> records;
};

TEST_CASE("users: added, counted, and exact at every moment") {
  Fixture f;
  CHECK(f.users->add("alice", 3, {}));
  CHECK_FALSE(f.users->add("alice", 0, {}));
  auto c = f.connect();
  CHECK(f.alice().connections == 1);
  CHECK(f.alice().addresses == 1);
  CHECK(f.alice().level == 3);
  f.send(*c.stream, "request");
  CHECK(f.receive(*c.server) == "request");
  CHECK(f.alice().up == 7);
  f.send(*c.server, "answer");
  CHECK(f.receive(*c.stream) == "answer");
  CHECK(f.alice().down == 6);
  for (const auto& tag : {f.in, f.out}) {
    CHECK(tag->up == 7);
    CHECK(tag->down == 6);
    CHECK(tag->connections == 1);
  }
  c.stream.reset();
  c.server.reset();
  f.sim.run_for(10s);
  REQUIRE(f.records.size() == 1);
  CHECK(f.records[0].up == 7);
  CHECK(f.records[0].down == 6);
  CHECK(f.alice().up == 7);
  CHECK(f.alice().connections == 0);
  CHECK(f.alice().connections_total == 1);
  CHECK(f.alice().addresses == 0);
  for (const auto& tag : {f.in, f.out}) {
    CHECK(tag->connections == 0);
    CHECK(tag->connections_total == 1);
  }
}

TEST_CASE("users: removal ends all connections at once, whatever they do, and refuses new ones") {
  Fixture f;
  f.users->add("alice", 0, {});
  auto first = f.connect();
  auto second = f.connect();
  const TimePoint at = f.sim.now();
  CHECK(f.users->remove("alice"));
  CHECK_FALSE(f.users->remove("alice"));
  f.sim.run_ready();
  CHECK(f.sim.now() == at);
  CHECK(f.records.size() == 2);
  f.check_dismissed(first, UserErrc::kRemoved);
  f.check_dismissed(second, UserErrc::kRemoved);
  CHECK_FALSE(f.users->find("alice"));
  f.check_refused(f.connect(), UserErrc::kRemoved);
  // One of the same name is another user.
  f.users->add("alice", 0, {});
  auto third = f.connect();
  CHECK(third.server != nullptr);
  CHECK(f.alice().connections_total == 1);
}

TEST_CASE("users: an expiry ends connections when it comes, may be put off, and refuses from then on") {
  Fixture f;
  const UnixTime now = f.sim.environment().clock.unix_now();
  f.users->add("alice", 0, {.expiry = now + 100});
  auto c = f.connect();
  for (int i = 0; i < 9; ++i) {
    f.sim.run_for(10s);
    f.send(*c.stream, "x");
    CHECK(f.receive(*c.server) == "x");
  }
  CHECK(f.users->update("alice", {.expiry = now + 150}));
  f.sim.run_for(59s);
  f.send(*c.stream, "still there");
  CHECK(f.receive(*c.server) == "still there");
  f.sim.run_for(1100ms);
  f.check_dismissed(c, UserErrc::kExpired);
  f.check_refused(f.connect(), UserErrc::kExpired);
  CHECK(f.users->update("alice", {}));
  CHECK(f.connect().server != nullptr);
  CHECK(f.alice().refused == 1);
}

TEST_CASE("users: limits of connections and of addresses, in the record's words") {
  Fixture f;
  f.users->add("alice", 0, {.limits = {.connections = 2}});
  auto first = f.connect();
  auto second = f.connect();
  f.check_refused(f.connect(), UserErrc::kTooManyConnections, "2 of 2");
  second.session.cancel();
  f.sim.run_ready();
  auto third = f.connect();
  CHECK(third.server != nullptr);

  f.users->update("alice", {.limits = {.addresses = 2}});
  auto fourth = f.connect("2001:db8::1");
  auto fifth = f.connect("2001:db8::ffff");  // the same network of 64 bits
  CHECK(fifth.server != nullptr);
  CHECK(f.alice().addresses == 2);
  f.check_refused(f.connect("192.0.2.2"), UserErrc::kTooManyAddresses, "2 of 2");
  CHECK(f.connect("::ffff:192.0.2.1").server != nullptr);
}

TEST_CASE("users: a quiet address gives way to one that goes on asking") {
  for (const UserLimits& limits : {UserLimits{.addresses = 2}, UserLimits{.connections = 2}}) {
    const UserErrc refusal = limits.addresses != 0 ? UserErrc::kTooManyAddresses : UserErrc::kTooManyConnections;
    Fixture f;
    f.users->add("alice", 0, {.limits = limits});
    auto quiet = f.connect("192.0.2.1");
    auto busy = f.connect("192.0.2.2");
    f.send(*quiet.stream, "long ago");
    f.sim.run_for(60s);
    // From now on it is watched.
    f.check_refused(f.connect("192.0.2.3"), refusal, "2 of 2");
    f.sim.run_for(9s);
    f.send(*busy.server, "something");
    f.check_refused(f.connect("192.0.2.3"), refusal, "2 of 2");
    f.sim.run_for(1s);
    auto moved = f.connect("192.0.2.3");
    CHECK(moved.server != nullptr);
    CHECK(f.alice().connections == 2);
    CHECK(f.alice().addresses == 2);
    f.sim.run_ready();
    REQUIRE(f.records.size() == 3);
    CHECK(f.records[2].error == UserErrc::kGaveWay);
    CHECK(f.alice().up == 8);
    // It has not passed a byte yet, but has only just come.
    f.check_refused(f.connect("192.0.2.4"), refusal, "2 of 2");
    f.send(*busy.stream, "more");
    CHECK(f.receive(*busy.server) == "more");
    moved.session.cancel();
    busy.session.cancel();
    f.sim.run_ready();
    CHECK(f.alice().connections == 0);
    CHECK(f.alice().addresses == 0);
  }
}

TEST_CASE("users: nobody gives way to connections of his own address") {
  Fixture f;
  f.users->add("alice", 0, {.limits = {.connections = 1}});
  auto quiet = f.connect();
  for (int i = 0; i < 3; ++i) {
    f.check_refused(f.connect(), UserErrc::kTooManyConnections, "1 of 1");
    f.sim.run_for(20s);
  }
}

TEST_CASE("users: carriers give way with what they carry, and count for nothing from then on") {
  Fixture f;
  f.users->add("alice", 0, {.limits = {.connections = 1, .addresses = 1}});
  std::vector<std::error_code> dismissed;
  const auto ask = [&](const char* from, Asking asking) {
    return f.users->admit(
        f.sim.environment(), "alice", *IpAddress::parse(from),
        [&](std::error_code error) { dismissed.push_back(error); }, asking);
  };
  auto carrier = ask("192.0.2.1", Asking::kCarrier), carried = ask("192.0.2.1", Asking::kConnection);
  CHECK(ask("192.0.2.2", Asking::kCarrier).error == UserErrc::kTooManyAddresses);
  f.sim.run_for(10s);
  auto next = ask("192.0.2.2", Asking::kCarrier);
  auto next_carried = ask("192.0.2.2", Asking::kConnection);
  CHECK(next.admission);
  CHECK(next_carried.admission);
  f.sim.run_ready();
  CHECK(dismissed == std::vector<std::error_code>(2, UserErrc::kGaveWay));
  carrier.admission.reset();
  carried.admission.reset();
  CHECK(f.alice().connections == 1);
  CHECK(f.alice().addresses == 1);
}

TEST_CASE("users: carriers have a limit of their own, and end with their user") {
  Fixture f;
  f.users->add("alice", 0, {.limits = {.connections = 1}});
  std::vector<std::error_code> dismissed;
  const auto ask = [&](Asking asking) {
    return f.users->admit(
        f.sim.environment(), "alice", *IpAddress::parse("192.0.2.1"),
        [&](std::error_code error) { dismissed.push_back(error); }, asking);
  };
  auto carrier = ask(Asking::kCarrier), next = ask(Asking::kCarrier);
  auto connection = ask(Asking::kConnection);
  CHECK(carrier.admission);
  CHECK(next.admission);
  CHECK(connection.admission);
  CHECK(f.alice().connections == 1);
  CHECK(f.alice().connections_total == 1);
  CHECK(ask(Asking::kConnection).detail == "1 of 1");
  CHECK(ask(Asking::kCarrier).detail == "2 of 2 carriers");
  carrier.admission.reset();
  CHECK(f.alice().connections == 1);
  carrier = ask(Asking::kCarrier);
  CHECK(carrier.admission);
  f.users->remove("alice");
  f.sim.run_ready();
  CHECK(dismissed == std::vector<std::error_code>(3, UserErrc::kRemoved));
}

TEST_CASE("users: who takes the place of a connection counts, and is let in beside it") {
  Fixture f;
  f.users->add("alice", 0, {.limits = {.connections = 1, .addresses = 1}});
  const auto ask = [&](const char* from, Asking asking) {
    return f.users->admit(
        f.sim.environment(), "alice", *IpAddress::parse(from), [](std::error_code) {}, asking);
  };
  auto first = ask("192.0.2.1", Asking::kConnection);
  auto second = ask("192.0.2.2", Asking::kSuccessor);
  REQUIRE(second.admission);
  CHECK(f.alice().connections == 2);
  first.admission.reset();
  CHECK(f.alice().connections == 1);
  CHECK(ask("192.0.2.2", Asking::kConnection).error == UserErrc::kTooManyConnections);
  second.admission.reset();
  CHECK(f.alice().connections == 0);
  CHECK(f.alice().addresses == 0);
  CHECK(ask("192.0.2.1", Asking::kConnection).admission);
}

TEST_CASE("users: a quota passes to the byte, then ends all connections") {
  Fixture f;
  f.users->add("alice", 0, {.limits = {.quota = 100}});
  auto c = f.connect();
  auto other = f.connect();
  f.send(*c.stream, std::string(60, 'x'));
  CHECK(f.receive(*c.server).size() == 60);
  f.send(*c.server, std::string(60, 'y'));
  CHECK(f.receive(*c.stream).size() == 40);
  f.sim.run_for(100ms);
  CHECK(f.records.size() == 2);
  f.check_dismissed(other, UserErrc::kQuotaUsedUp);
  CHECK(f.alice().up + f.alice().down == 100);
  f.check_refused(f.connect(), UserErrc::kQuotaUsedUp);
  f.users->update("alice", {.limits = {.quota = 200}});
  auto again = f.connect();
  f.send(*again.stream, std::string(150, 'x'));
  CHECK(f.receive(*again.server).size() == 100);
}

TEST_CASE("users: a rate holds over all connections of the user, and may be set while they run") {
  Fixture f;
  f.users->add("alice", 0, {});
  auto c = f.connect();
  f.users->update("alice", {.limits = {.up = 1000}});
  f.send(*c.stream, std::string(10'000, 'x'));
  f.sim.run_for(5s);
  CHECK(f.alice().up > 4500);
  CHECK(f.alice().up < 5500);
  f.users->remove("alice");  // while bytes wait
  f.sim.run_ready();
  CHECK(f.records.size() == 1);
}

TEST_CASE("users: a plain HTTP request is its user's too") {
  Fixture f;
  auto accounts = std::make_shared<PasswordList>();
  accounts->add("alice", "secret");
  f.inbound->make_proxy = [accounts](const Connection&) {
    return std::make_unique<http::ServerCodec>(http::ServerOptions{.credentials = accounts});
  };
  f.inbound->forward = http::ForwardOptions{.credentials = accounts};
  f.users->add("alice", 0, {});
  auto [near, far] = memory_pair(f.sim.environment());
  const Pending session = serve(f.sim.environment(), f.inbound, std::move(far), [] {});
  const std::string get =
      "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n\r\n";
  f.send(*near, get);
  REQUIRE(f.dialer->dials.size() == 1);
  auto [up, origin] = memory_pair(f.sim.environment());
  test::answer(f.dialer->dials[0], {}, std::move(up));
  f.sim.run_ready();
  const std::string request = f.receive(*origin);
  CHECK(request.starts_with("GET / HTTP/1.1\r\n"));
  CHECK(f.alice().connections == 1);
  CHECK(f.alice().up == request.size());
  CHECK(f.in->up == request.size());
  f.send(*origin, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal");
  std::string answer = f.receive(*near);
  answer += f.receive(*near);
  CHECK(answer.ends_with("hal"));
  CHECK(f.alice().down == answer.size());
  f.users->remove("alice");
  f.sim.run_ready();
  CHECK(f.receive(*near) == kReset);
  CHECK(f.receive(*origin) == kReset);
  REQUIRE(f.records.size() == 1);
  CHECK(f.records[0].error == UserErrc::kRemoved);
  CHECK(f.records[0].up == request.size());
  CHECK(f.in->connections_total == 1);
  CHECK(f.in->connections == 0);
  // The next one is refused in HTTP's words.
  auto [again, far_again] = memory_pair(f.sim.environment());
  const Pending other = serve(f.sim.environment(), f.inbound, std::move(far_again), [] {});
  f.send(*again, get);
  CHECK(f.receive(*again).starts_with("HTTP/1.1 403 "));
}

}  // namespace
}  // namespace winze::chain
