// Connections that carry others: each has its own route and record, and what a carrier may not do.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>

#include "support/codec_pair.h"
#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/chain/associations.h"
#include "winze/chain/session.h"
#include "winze/io/memory.h"
#include "winze/layer/mux_carrier.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/mux/error.h"
#include "winze/proto/mux/sing.h"
#include "winze/proto/vless/codec.h"

namespace winze::chain {
namespace {

using namespace std::chrono_literals;

const Uuid kId = *Uuid::parse("6d1c6a3e-2f0b-4f0e-9a57-0d5b7c2f4a11");

// A VLESS server with a client whose connection is a carrier.
struct Fixture {
  // `sing`: of sing-mux, with this protocol; none: of mux.cool.
  explicit Fixture(std::optional<mux::sing::Protocol> sing = std::nullopt, Inbound::Mux options = {}) {
    inbound->mux = options;
    auto users = std::make_shared<vless::UserTable>();
    users->add(kId, {.name = "peer", .level = 1});
    inbound->tag = "in";
    inbound->protocol = "vless";
    inbound->policy_of = [](std::uint32_t level) { return Policy{.idle = level == 1 ? 10s : 300s}; };
    inbound->make_proxy = [users](const Connection&) { return std::make_unique<vless::ServerCodec>(users); };
    inbound->router = [this](const Connection& connection) {
      return Route{"to " + connection.destination.host_text(), dialer};
    };
    inbound->on_end = [this](const Connection& connection) { records.push_back(connection); };
    auto [near, far] = memory_pair(sim.environment());
    session = serve(sim.environment(), inbound, std::move(far), [this] { ended = true; });
    auto codec =
        std::make_unique<vless::ClientCodec>(kId, sing ? mux::sing::carrier_destination() : mux::cool_destination());
    opening = open_codec(sim.environment(), std::move(near), std::move(codec), 1s, [this, sing](Opened opened) {
      if (!sing) return carry(std::move(opened), std::make_unique<mux::CoolSession>(mux::Role::kClient));
      auto preface = std::make_unique<mux::sing::CarrierClientCodec>(*sing, false, sim.environment().random);
      opening =
          open_codec(sim.environment(), std::move(opened.stream), std::move(preface), 1s, [this, sing](Opened carried) {
            carry(std::move(carried), mux::sing::make_session(*sing, mux::Role::kClient));
          });
    });
    sim.run_ready();
  }
  void carry(Opened opened, std::unique_ptr<mux::Session> client_session) {
    opening.detach();
    carrier.emplace(sim.environment(), std::move(opened.stream), std::move(client_session), mux::CarrierOptions{},
                    nullptr, [this](std::error_code) { carrier_ended = true; });
  }
  // Another connection of the same client, a carrier too.
  void come_again() {
    auto [near, far] = memory_pair(sim.environment());
    next_session = serve(sim.environment(), inbound, std::move(far), [] {});
    opening = open_codec(sim.environment(), std::move(near),
                         std::make_unique<vless::ClientCodec>(kId, mux::cool_destination()), 1s, [this](Opened opened) {
                           opening.detach();
                           next.emplace(sim.environment(), std::move(opened.stream),
                                        std::make_unique<mux::CoolSession>(mux::Role::kClient), mux::CarrierOptions{},
                                        nullptr, [](std::error_code) {});
                         });
    sim.run_ready();
    REQUIRE(next);
  }
  // What reads still is called back.
  ~Fixture() {
    next.reset();
    next_session.cancel();
    carrier.reset();
    session.cancel();
    sim.run_ready();
  }

  StreamPtr open(std::string_view host) {
    StreamPtr stream = carrier->open_stream({.destination = Destination(host, 80)});
    stream->write(Buffer::copy_of("x"), [](std::error_code) {});
    sim.run_ready();
    return stream;
  }

  test::Simulator sim{1};
  std::shared_ptr<Inbound> inbound = std::make_shared<Inbound>();
  std::shared_ptr<test::FakeDialer> dialer = std::make_shared<test::FakeDialer>(sim.environment());
  Pending session, opening;
  std::optional<mux::Carrier> carrier;
  Pending next_session;
  std::optional<mux::Carrier> next;
  std::vector<Connection> records;
  bool ended = false;
  bool carrier_ended = false;
};

struct Reading {
  void start(Stream& from) {
    from.read([this, &from](std::error_code failed, Buffer data) {
      text += data.text();
      error = failed;
      if (!failed) start(from);
    });
  }
  std::string text;
  std::error_code error;
};

// A request as sing-mux writes it, with its first byte of payload.
std::string request(std::uint8_t flags, std::string_view address, std::string_view payload) {
  return std::string(1, '\0') + static_cast<char>(flags) + test::from_hex(address) + std::string(payload);
}

TEST_CASE("carrier: its connections have routes and records of their own") {
  Fixture f;
  StreamPtr a = f.open("a.test"), b = f.open("b.test");
  REQUIRE(f.dialer->dials.size() == 2);
  CHECK(f.dialer->dials[1]->destination == Destination("b.test", 80));
  auto [server, origin] = memory_pair(f.sim.environment());
  test::answer(f.dialer->dials[0], {}, std::move(server));
  Reading up, down;
  up.start(*origin);
  down.start(*a);
  origin->write(Buffer::copy_of("answer"), [](std::error_code) {});
  origin->shutdown_write([](std::error_code) {});
  f.sim.run_ready();
  CHECK(up.text == "x");
  CHECK(down.text == "answer");
  CHECK(down.error == Errc::kEof);
  a.reset();
  f.sim.run_ready();
  REQUIRE(f.records.size() == 1);
  CHECK(f.records[0].outbound == "to a.test");
  CHECK(f.records[0].user == "peer");
  CHECK(f.records[0].up == 1);
  CHECK(f.records[0].down == 6);
  CHECK(f.records[0].error == std::error_code());
  // A destination that cannot be reached is one connection's matter.
  Reading refused;
  refused.start(*b);
  test::answer(f.dialer->dials[1], std::make_error_code(std::errc::connection_refused), StreamPtr());
  f.sim.run_ready();
  CHECK(refused.error == mux::Errc::kReset);
  REQUIRE(f.records.size() == 2);
  CHECK(f.records[1].stage == "dial");
  CHECK_FALSE(f.ended);
  f.carrier.reset();
  f.sim.run_ready();
  CHECK(f.ended);
  REQUIRE(f.records.size() == 3);
  CHECK(f.records[2].outbound == "mux");
  CHECK(mux::is_cool(f.records[2].destination));
  CHECK(f.records[2].error == std::error_code());
}

TEST_CASE("carrier: the timers are those of its user's policy") {
  Fixture f;
  StreamPtr a = f.open("a.test");
  auto [server, origin] = memory_pair(f.sim.environment());
  test::answer(f.dialer->dials[0], {}, std::move(server));
  f.sim.run_for(11s);
  CHECK(f.records.size() == 1);
  CHECK_FALSE(f.ended);
  a.reset();
  f.sim.run_for(11s);
  CHECK(f.ended);
}

TEST_CASE("carrier: the end of a carrier is the end of its connections, and each has its record") {
  for (const bool by_client : {true, false}) {
    Fixture f;
    const StreamPtr a = f.open("a.test"), b = f.open("b.test");
    auto [server, origin] = memory_pair(f.sim.environment());
    test::answer(f.dialer->dials[0], {}, std::move(server));
    f.sim.run_ready();
    if (by_client) {
      f.carrier.reset();
      f.sim.run_for(10s);
      // One is dialing still, and nobody waits for it.
      test::answer(f.dialer->dials[1], Errc::kTimedOut, StreamPtr());
    } else {
      f.session.cancel();
    }
    f.sim.run_ready();
    CHECK(f.ended);
    CHECK(f.records.size() == 3);
    Reading reading;
    reading.start(*origin);
    f.sim.run_ready();
    CHECK(reading.error);
  }
}

TEST_CASE("carrier: who opens and resets without end has no more dialed at once than may be open") {
  using Protocol = mux::sing::Protocol;
  for (const auto protocol : {std::optional<Protocol>(), std::optional(Protocol::kSmux),
                              std::optional(Protocol::kYamux), std::optional(Protocol::kHttp2)}) {
    CAPTURE(protocol.has_value());
    Fixture f(protocol, {.max_streams = 4});
    const std::string asked = protocol ? request(0, "03 06 612e74657374 0050", "x") : "x";
    const auto open_and_reset = [&] {
      StreamPtr stream = f.carrier->open_stream({.destination = Destination("a.test", 80)});
      stream->write(Buffer::copy_of(asked), [](std::error_code) {});
      f.sim.run_ready();
      stream->abort();
      f.sim.run_ready();
    };
    for (int i = 0; i < 20; ++i) open_and_reset();
    CHECK(f.dialer->dials.size() == 4);
    CHECK_FALSE(f.ended);
    test::answer(f.dialer->dials[0], std::make_error_code(std::errc::connection_refused), StreamPtr());
    f.sim.run_ready();
    open_and_reset();
    CHECK(f.dialer->dials.size() == 5);
  }
}

TEST_CASE("carrier: none within another") {
  Fixture f;
  const StreamPtr nested = f.open("v1.mux.cool");
  Reading reading;
  reading.start(*nested);
  f.sim.run_ready();
  CHECK(f.dialer->dials.empty());
  REQUIRE(f.records.size() == 1);
  CHECK(f.records[0].error == mux::Errc::kNestedMux);
  CHECK(reading.error == mux::Errc::kReset);
}

TEST_CASE("carrier: datagrams for one destination, or with addresses for everyone") {
  const Destination to("192.0.2.1", 53, Network::kUdp), other("192.0.2.2", 54, Network::kUdp);
  for (const bool any : {false, true}) {
    Fixture f;
    ConduitPtr near = f.carrier->open_conduit({.destination = to, .datagrams = true, .any_peer = any});
    test::send(*near, "one", to);
    f.sim.run_ready();
    REQUIRE(f.dialer->opens.size() == 1);
    CHECK(f.dialer->opens[0]->destination == (any ? everyone() : to));
    auto [conduit, world] = test::conduit_pair(f.sim.environment());
    test::answer(f.dialer->opens[0], {}, std::move(conduit));
    const test::Receiver there(*world), here(*near);
    test::send(*world, "answer", other);
    f.sim.run_ready();
    CHECK(there.texts() == std::vector<std::string>{"one"});
    CHECK(there.peers()[0] == to);
    CHECK(here.texts() == std::vector<std::string>{"answer"});
    CHECK(here.peers()[0] == (any ? other : to));
    near.reset();
    f.sim.run_ready();
    REQUIRE(f.records.size() == 1);
    CHECK(f.records[0].destination == to);
    CHECK(f.records[0].down == 6);
  }
}

TEST_CASE("carrier: under a global id the next carrier's datagrams go where those of the last one went") {
  const Destination to("192.0.2.1", 53, Network::kUdp);
  const mux::Opening opening{.destination = to, .datagrams = true, .any_peer = true, .global_id = {1, 2, 3}};
  // The last carrier may have been cut, or not have been seen to end.
  for (const bool cut : {true, false}) {
    CAPTURE(cut);
    Fixture f;
    Associations associations(f.sim.environment(), make_association_table());
    f.inbound->associations = std::shared_ptr<Associations>(&associations, [](Associations*) {});
    const ConduitPtr near = f.carrier->open_conduit(opening);
    test::send(*near, "one", to);
    f.sim.run_ready();
    REQUIRE(f.dialer->opens.size() == 1);
    CHECK(is_everyone(f.dialer->opens[0]->destination));
    auto [conduit, world] = test::conduit_pair(f.sim.environment());
    test::answer(f.dialer->opens[0], {}, std::move(conduit));
    const test::Receiver there(*world), here(*near);
    f.sim.run_ready();
    if (cut) {
      f.carrier.reset();
      f.sim.run_ready();
      CHECK(f.ended);
    }
    f.come_again();
    const ConduitPtr next = f.next->open_conduit(opening);
    test::send(*next, "two", to);
    const test::Receiver at_next(*next);
    f.sim.run_ready();
    test::send(*world, "answer", to);
    f.sim.run_ready();
    CHECK(f.dialer->opens.size() == 1);
    CHECK(there.texts() == std::vector<std::string>{"one", "two"});
    CHECK(at_next.texts() == std::vector<std::string>{"answer"});
    CHECK(here.texts().empty());
    CHECK(here.error());
    const std::vector<Connection> records = f.records;
    const auto first = std::ranges::find(records, to, &Connection::destination);
    REQUIRE(first != records.end());
    CHECK(first->up == 3);
    // It has only gone to another carrier.
    if (!cut) CHECK_FALSE(first->error);
    f.next.reset();
    f.next_session.cancel();
    f.sim.run_ready();
    associations.close();
    f.sim.run_ready();
  }
}

TEST_CASE("carrier: who takes over what it holds itself is within its limits") {
  const Destination to("192.0.2.1", 53, Network::kUdp);
  mux::Opening opening{.destination = to, .datagrams = true, .any_peer = true, .global_id = {1, 2, 3}};
  Fixture f;
  Associations associations(f.sim.environment(), make_association_table());
  f.inbound->associations = std::shared_ptr<Associations>(&associations, [](Associations*) {});
  f.inbound->users = std::make_shared<Users>();
  f.inbound->users->add("peer", 1, {.limits = {.connections = 1}});
  const ConduitPtr near = f.carrier->open_conduit(opening);
  test::send(*near, "one", to);
  f.sim.run_ready();
  REQUIRE(f.dialer->opens.size() == 1);
  auto [conduit, world] = test::conduit_pair(f.sim.environment());
  test::answer(f.dialer->opens[0], {}, std::move(conduit));
  const test::Receiver there(*world);
  f.sim.run_ready();
  // The client does not hear of the first carrier any more, and the server has not seen it end.
  f.come_again();
  const ConduitPtr next = f.next->open_conduit(opening);
  test::send(*next, "two", to);
  f.sim.run_ready();
  CHECK(there.texts() == std::vector<std::string>{"one", "two"});
  CHECK(f.inbound->users->find("peer")->connections == 1);
  CHECK(f.inbound->users->find("peer")->refused == 0);
  // What is nobody's is one connection more.
  opening.global_id = {4};
  const ConduitPtr other = f.next->open_conduit(opening);
  test::send(*other, "three", to);
  f.sim.run_ready();
  CHECK(f.dialer->opens.size() == 1);
  CHECK(f.records.back().error == UserErrc::kTooManyConnections);
  CHECK(f.inbound->users->find("peer")->connections == 1);
  f.next.reset();
  f.next_session.cancel();
  f.carrier.reset();
  f.session.cancel();
  f.sim.run_ready();
  CHECK(f.inbound->users->find("peer")->connections == 0);
  associations.close();
  f.sim.run_ready();
}

TEST_CASE("carrier: one of a user with a flow carries datagrams alone") {
  Fixture f;
  auto users = std::make_shared<vless::UserTable>();
  users->add(kId, {.name = "peer", .flow = vless::Flow::kVision});
  f.inbound->make_proxy = [&f, users](const Connection&) {
    return std::make_unique<vless::ServerCodec>(users, vless::ServerOptions{.random = &f.sim.environment().random});
  };
  auto [near, far] = memory_pair(f.sim.environment());
  Pending session = serve(f.sim.environment(), f.inbound, std::move(far), [] {});
  std::optional<mux::Carrier> carrier;
  open_codec(f.sim.environment(), std::move(near), std::make_unique<vless::ClientCodec>(kId, mux::cool_destination()),
             1s,
             [&](Opened opened) {
               carrier.emplace(f.sim.environment(), std::move(opened.stream),
                               std::make_unique<mux::CoolSession>(mux::Role::kClient), mux::CarrierOptions{}, nullptr,
                               [](std::error_code) {});
             })
      .detach();
  f.sim.run_ready();
  StreamPtr stream = carrier->open_stream({.destination = Destination("a.test", 80)});
  stream->write(Buffer::copy_of("x"), [](std::error_code) {});
  Reading reading;
  reading.start(*stream);
  const Destination to("192.0.2.1", 53, Network::kUdp);
  const ConduitPtr conduit = carrier->open_conduit({.destination = to, .datagrams = true});
  CHECK(test::send(*conduit, "x", to));
  f.sim.run_ready();
  CHECK(reading.error == mux::Errc::kReset);
  CHECK(f.dialer->dials.empty());
  CHECK(f.dialer->opens.size() == 1);
  REQUIRE(f.records.size() == 1);
  CHECK(f.records[0].error == mux::Errc::kDatagramsOnly);
  CHECK(f.records[0].destination == Destination("a.test", 80));
  carrier.reset();
  session.cancel();
  f.sim.run_ready();
}

TEST_CASE("carrier: a client that breaks the protocol loses it") {
  Fixture f;
  auto [near, far] = memory_pair(f.sim.environment());
  bool ended = false;
  Pending session = serve(f.sim.environment(), f.inbound, std::move(far), [&] { ended = true; });
  near->write(Buffer::copy_of(std::string(1, '\0') + std::string(as_text(kId.bytes)) + std::string("\0\3", 2) +
                              test::from_hex("0004 0001 09 00")),
              [](std::error_code) {});
  f.sim.run_ready();
  CHECK(ended);
  REQUIRE(f.records.size() == 1);
  CHECK(f.records[0].stage == "mux");
  CHECK(f.records[0].error == mux::Errc::kBadFrame);
}

TEST_CASE("carrier: sing-mux's connections say whom they are for, and have the carrier's user") {
  using Protocol = mux::sing::Protocol;
  for (const Protocol protocol : {Protocol::kSmux, Protocol::kYamux, Protocol::kHttp2}) {
    CAPTURE(static_cast<int>(protocol));
    Fixture f(protocol);
    StreamPtr a = f.carrier->open_stream({}), b = f.carrier->open_stream({});
    a->write(Buffer::copy_of(request(0, "03 06 612e74657374 0050", "x")), [](std::error_code) {});
    b->write(Buffer::copy_of(request(0, "01 c0000201 0051", "x")), [](std::error_code) {});
    f.sim.run_ready();
    REQUIRE(f.dialer->dials.size() == 2);
    CHECK(f.dialer->dials[0]->destination == Destination("a.test", 80));
    auto [server, origin] = memory_pair(f.sim.environment());
    test::answer(f.dialer->dials[0], {}, std::move(server));
    test::answer(f.dialer->dials[1], std::make_error_code(std::errc::connection_refused), StreamPtr());
    Reading up, down, refused;
    up.start(*origin);
    down.start(*a);
    refused.start(*b);
    origin->write(Buffer::copy_of("answer"), [](std::error_code) {});
    origin->shutdown_write([](std::error_code) {});
    f.sim.run_ready();
    CHECK(up.text == "x");
    CHECK(down.text == std::string("\0answer", 7));
    CHECK(down.error == Errc::kEof);
    CHECK(refused.text == std::string("\1\x12") + "connection refused");
    a.reset();
    b.reset();
    f.sim.run_ready();
    REQUIRE(f.records.size() == 2);
    CHECK(f.records[1].outbound == "to a.test");
    CHECK(f.records[1].user == "peer");
    CHECK(f.records[1].up == 1);
    CHECK(f.records[1].down == 6);
    f.carrier.reset();
    f.sim.run_ready();
    CHECK(f.ended);
    REQUIRE(f.records.size() == 3);
    CHECK(f.records[2].error == std::error_code());
  }
}

TEST_CASE("carrier: sing-mux's datagrams, with addresses and without") {
  const Destination to("192.0.2.1", 53, Network::kUdp);
  for (const bool any : {false, true}) {
    CAPTURE(any);
    Fixture f(mux::sing::Protocol::kYamux);
    StreamPtr near = f.carrier->open_stream({});
    const std::string datagram = test::from_hex(any ? "01 c0000201 0035 0003" : "0003") + "one";
    near->write(Buffer::copy_of(request(any ? 3 : 1, "01 c0000201 0035", datagram)), [](std::error_code) {});
    f.sim.run_ready();
    REQUIRE(f.dialer->opens.size() == 1);
    CHECK(f.dialer->opens[0]->destination == (any ? everyone() : to));
    auto [conduit, world] = test::conduit_pair(f.sim.environment());
    test::answer(f.dialer->opens[0], {}, std::move(conduit));
    const test::Receiver there(*world);
    Reading down;
    down.start(*near);
    f.sim.run_ready();
    CHECK(there.texts() == std::vector<std::string>{"one"});
    CHECK(there.peers()[0] == to);
    test::send(*world, "two", to);
    f.sim.run_ready();
    CHECK(down.text == std::string(1, '\0') + test::from_hex(any ? "01 c0000201 0035 0003" : "0003") + "two");
  }
}

TEST_CASE("carrier: none of another kind, none within another, none where they are refused, none without padding") {
  using Protocol = mux::sing::Protocol;
  Fixture nested(Protocol::kSmux);
  StreamPtr inner = nested.carrier->open_stream({});
  inner->write(Buffer::copy_of(request(0, "03 14 73702e6d75782e73696e672d626f782e61727061 01bc", "x")),
               [](std::error_code) {});
  nested.sim.run_ready();
  CHECK(nested.dialer->dials.empty());
  REQUIRE(nested.records.size() == 1);
  CHECK(nested.records[0].error == mux::Errc::kNestedMux);
  struct Case {
    std::optional<Protocol> protocol;
    Inbound::Mux options;
    std::error_code error;
  };
  const Case cases[] = {{Protocol::kSmux, {.accepts = false}, Errc::kRefusedPolicy},
                        {std::nullopt, {.accepts = false}, Errc::kRefusedPolicy},
                        {Protocol::kSmux, {.wants_padding = true}, mux::Errc::kUnpadded}};
  for (const Case& c : cases) {
    Fixture f(c.protocol, c.options);
    const StreamPtr stream = f.carrier->open_stream({.destination = Destination("a.test", 80)});
    stream->write(Buffer::copy_of("x"), [](std::error_code) {});
    f.sim.run_ready();
    CHECK(f.ended);
    CHECK(f.dialer->dials.empty());
    REQUIRE(f.records.size() == 1);
    CHECK(f.records[0].stage == "mux");
    CHECK(f.records[0].error == c.error);
  }
}

}  // namespace
}  // namespace winze::chain
