// UDP sockets that resolve names on the way, and those that sort what comes by its source.
#include <doctest/doctest.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <deque>
#include <functional>
#include <string>

#include "support/fake_dialer.h"
#include "winze/base/error.h"
#include "winze/io/packet_listener.h"
#include "winze/io/system.h"
#include "winze/io/tcp.h"

namespace winze {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;
using test::send;

// Answers when the test says so.
class ManualResolver final : public Resolver {
 public:
  explicit ManualResolver(Executor executor) : executor_(std::move(executor)) {}
  Pending resolve(std::string_view host, Handler handler) override {
    auto lookup = std::make_shared<Lookup>(Lookup{std::string(host), std::move(handler)});
    lookups.push_back(lookup);
    return Pending([lookup, this] {
      if (!lookup->handler) return;
      ++cancelled;
      asio::post(executor_,
                 [handler = std::exchange(lookup->handler, nullptr)]() mutable { handler(Errc::kAborted, {}); });
    });
  }
  void answer(std::size_t index, const std::vector<const char*>& addresses) {
    std::vector<IpAddress> parsed;
    for (const char* address : addresses) parsed.push_back(*IpAddress::parse(address));
    std::exchange(lookups[index]->handler, nullptr)(
        parsed.empty() ? std::error_code(Errc::kUnresolved) : std::error_code(), std::move(parsed));
  }
  struct Lookup {
    std::string host;
    Handler handler;
  };
  std::vector<std::shared_ptr<Lookup>> lookups;
  int cancelled = 0;

 private:
  Executor executor_;
};

struct Fixture {
  ConduitPtr open(const Destination& destination, const TcpDialOptions& options = {}) {
    ConduitPtr out;
    tcp_dialer(environment, options)
        ->open_conduit(destination,
                       [&](std::error_code error, ConduitPtr conduit) {
                         last_error = error;
                         out = std::move(conduit);
                       })
        .detach();
    CHECK_FALSE(out);
    run(0ms);
    return out;
  }
  SocketResult socket(const char* at) {
    SocketResult result = open_udp(environment, {.bind = *Endpoint::parse(at)});
    REQUIRE_MESSAGE(!result.error, result.what);
    return result;
  }
  // Until `done`, or for half a minute at most.
  void run_until(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!done() && std::chrono::steady_clock::now() < deadline) run(5ms);
    CHECK(done());
  }
  void run(std::chrono::milliseconds time) {
    context.restart();
    time == 0ms ? context.poll() : context.run_for(time);
  }

  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  ManualResolver resolver{context.get_executor()};
  Environment environment{.executor = context.get_executor(),
                          .clock = system.environment().clock,
                          .random = system.environment().random,
                          .resolver = resolver,
                          .pool = system.environment().pool,
                          .socket_hook = nullptr};
  std::error_code last_error;
};

Destination udp(std::string_view host, std::uint16_t port) { return Destination(host, port, Network::kUdp); }

TEST_CASE("udp dial: one socket reaches both families, and says who answers") {
  Fixture f;
  const ConduitPtr conduit = f.open(everyone());
  REQUIRE(conduit);
  SocketResult v4 = f.socket("127.0.0.1:0"), v6 = f.socket("[::1]:0");
  test::Receiver at4(*v4.conduit), at6(*v6.conduit), here(*conduit);
  CHECK(send(*conduit, "four", Destination(v4.local, Network::kUdp)));
  CHECK(send(*conduit, "six", Destination(v6.local, Network::kUdp)));
  f.run_until([&] { return !at4.texts().empty() && !at6.texts().empty(); });
  CHECK(send(*v4.conduit, "back", at4.peers()[0]));
  CHECK(send(*v6.conduit, "back", at6.peers()[0]));
  f.run_until([&] { return here.texts().size() == 2; });
  const auto& peers = here.peers();
  CHECK(std::ranges::find(peers, Destination(v4.local, Network::kUdp)) != peers.end());
  CHECK(std::ranges::find(peers, Destination(v6.local, Network::kUdp)) != peers.end());
}

TEST_CASE("udp dial: of a single destination nobody else is heard, and the sender need not name it") {
  Fixture f;
  SocketResult server = f.socket("127.0.0.1:0"), stranger = f.socket("127.0.0.1:0");
  for (const bool named : {false, true}) {
    CAPTURE(named);
    const ConduitPtr conduit =
        f.open(named ? udp("a.test", server.local.port) : Destination(server.local, Network::kUdp));
    test::Receiver there(*server.conduit), here(*conduit);
    send(*conduit, "x", udp("192.0.2.1", 1));
    if (named) f.resolver.answer(0, {"127.0.0.1"});
    f.run_until([&] { return !there.texts().empty(); });
    CHECK(send(*stranger.conduit, "spoof", there.peers()[0]));
    f.run(20ms);
    CHECK(send(*server.conduit, "answer", there.peers()[0]));
    f.run_until([&] { return !here.texts().empty(); });
    CHECK(here.texts() == Texts{"answer"});
    CHECK(conduit->dropped() == 1);
    server.conduit->close();
    f.run(0ms);
    server = f.socket("127.0.0.1:0");
  }
}

TEST_CASE("udp dial: a few datagrams wait for a name, in order; one lookup serves them all") {
  Fixture f;
  SocketResult server = f.socket("127.0.0.1:0");
  test::Receiver there(*server.conduit);
  const ConduitPtr conduit = f.open(everyone());
  const Destination to = udp("a.test", server.local.port);
  for (int i = 0; i < 20; ++i) CHECK(send(*conduit, std::to_string(i), to) == (i < 16));
  CHECK(f.resolver.lookups.size() == 1);
  CHECK(conduit->dropped() == 4);
  f.resolver.answer(0, {"::1", "127.0.0.1"});  // IPv4 first
  CHECK(send(*conduit, "later", to));
  f.run_until([&] { return there.texts().size() == 17; });
  CHECK(there.texts().front() == "0");
  CHECK(there.texts().back() == "later");
  CHECK(f.resolver.lookups.size() == 1);
}

TEST_CASE("udp dial: a name that does not resolve drops what waits, and is not asked for again at once") {
  Fixture f;
  const ConduitPtr conduit = f.open(everyone());
  CHECK(send(*conduit, "x", udp("nobody.test", 1)));
  f.resolver.answer(0, {});
  CHECK(conduit->dropped() == 1);
  CHECK_FALSE(send(*conduit, "x", udp("nobody.test", 1)));
  CHECK(f.resolver.lookups.size() == 1);
  CHECK(conduit->dropped() == 2);
}

TEST_CASE("udp dial: the names are bounded, the one longest unused gives way; lookups end with the conduit") {
  Fixture f;
  ConduitPtr conduit = f.open(everyone());
  for (int i = 0; i < 100; ++i) CHECK(send(*conduit, "x", udp("n" + std::to_string(i) + ".test", 1)));
  CHECK(f.resolver.cancelled == 36);
  CHECK(conduit->dropped() == 36);
  conduit.reset();
  CHECK(f.resolver.cancelled == 100);
  f.run(0ms);
}

TEST_CASE("udp dial: family, source address and socket hook are TCP's") {
  Fixture f;
  SocketResult v4 = f.socket("127.0.0.1:0"), v6 = f.socket("[::1]:0");
  test::Receiver at4(*v4.conduit), at6(*v6.conduit);
  const ConduitPtr only6 = f.open(everyone(), {.family = TcpDialOptions::Family::kV6});
  send(*only6, "x", udp("a.test", v6.local.port));
  f.resolver.answer(0, {"127.0.0.1", "::1"});
  f.run_until([&] { return at6.texts().size() == 1; });

  const ConduitPtr bound = f.open(everyone(), {.bind_address = *IpAddress::parse("127.0.0.7")});
  CHECK(send(*bound, "x", Destination(v4.local, Network::kUdp)));
  CHECK_FALSE(send(*bound, "x", Destination(v6.local, Network::kUdp)));
  f.run_until([&] { return at4.texts().size() == 1; });
  CHECK(at4.peers()[0].host_text() == "127.0.0.7");

  Destination told;
  f.environment.socket_hook = [&](int, const Destination& to) {
    told = to;
    return std::make_error_code(std::errc::operation_not_permitted);
  };
  CHECK_FALSE(f.open(udp("a.test", 53)));
  CHECK(f.last_error == std::errc::operation_not_permitted);
  CHECK(told == udp("a.test", 53));
}

// --- sessions by source ---

struct Sessions {
  explicit Sessions(Fixture& f, const SessionLimits& limits, const char* at = "127.0.0.1:0") {
    PacketListenResult result = udp_listen(f.environment, {.bind = *Endpoint::parse(at)}, limits);
    REQUIRE_MESSAGE(!result.error, result.what);
    listener = std::move(result.listener);
    accept();
  }
  void accept() {
    listener->accept([this](std::error_code accept_error, ConduitPtr conduit, const SessionSource& source) {
      error = accept_error;
      if (error) return;
      sources.push_back(source.endpoint);
      conduits.push_back(std::move(conduit));
      accept();
    });
  }
  Destination at() const { return Destination(listener->local(), Network::kUdp); }
  PacketListenerPtr listener;
  std::vector<Endpoint> sources;
  std::deque<ConduitPtr> conduits;
  std::error_code error;
};

TEST_CASE("udp listen: each source is a session, which answers to it and may come again") {
  Fixture f;
  Sessions sessions(f, {});
  SocketResult a = f.socket("127.0.0.1:0"), b = f.socket("127.0.0.1:0");
  test::Receiver at_a(*a.conduit), at_b(*b.conduit);
  for (int i = 0; i < 3; ++i) {
    send(*a.conduit, "a" + std::to_string(i), sessions.at());
    send(*b.conduit, "b" + std::to_string(i), sessions.at());
  }
  f.run_until([&] { return sessions.conduits.size() == 2; });
  CHECK(sessions.sources[0] == a.local);
  test::Receiver first(*sessions.conduits[0]);
  f.run_until([&] { return first.texts().size() == 3; });
  CHECK(first.texts() == Texts{"a0", "a1", "a2"});
  CHECK(send(*sessions.conduits[0], "to a"));
  CHECK(send(*sessions.conduits[1], "to b"));
  f.run_until([&] { return !at_a.texts().empty() && !at_b.texts().empty(); });
  CHECK(at_a.texts() == Texts{"to a"});
  CHECK(at_a.peers()[0] == sessions.at());
  sessions.conduits[0]->close();
  CHECK_FALSE(send(*sessions.conduits[0], "late"));
  send(*a.conduit, "again", sessions.at());
  f.run_until([&] { return sessions.conduits.size() == 3; });
  CHECK(sessions.sources[2] == a.local);
}

TEST_CASE("udp listen: on all addresses, a session answers from the one it was asked at") {
  Fixture f;
  Sessions sessions(f, {}, "0.0.0.0:0");
  SocketResult client = f.socket("127.0.0.1:0");
  test::Receiver answers(*client.conduit);
  const Destination at("127.0.0.9", sessions.at().port, Network::kUdp);
  send(*client.conduit, "question", at);
  f.run_until([&] { return sessions.conduits.size() == 1; });
  CHECK(send(*sessions.conduits[0], "answer"));
  f.run_until([&] { return !answers.texts().empty(); });
  CHECK(answers.peers()[0] == at);
}

TEST_CASE("udp listen: sessions and what waits in them are bounded") {
  Fixture f;
  Sessions sessions(f, {.sessions = 2, .bytes = 16 << 10});
  std::vector<SocketResult> sockets;
  for (int i = 0; i < 4; ++i) {
    sockets.push_back(f.socket("127.0.0.1:0"));
    for (int n = 0; n < 20; ++n) send(*sockets.back().conduit, "x", sessions.at());
  }
  f.run_until([&] { return sessions.conduits.size() == 2 && sessions.conduits[1]->dropped() > 0; });
  f.run(20ms);
  CHECK(sessions.conduits.size() == 2);
  test::Receiver first(*sessions.conduits[0]);
  f.run_until([&] { return first.texts().size() + sessions.conduits[0]->dropped() == 20; });
  CHECK(first.texts().size() <= 8);
}

TEST_CASE("udp listen: sessions outlive the listener, new ones do not come; the last one closes the socket") {
  Fixture f;
  Sessions sessions(f, {});
  const Destination at = sessions.at();
  SocketResult a = f.socket("127.0.0.1:0"), b = f.socket("127.0.0.1:0");
  send(*a.conduit, "a", at);
  f.run_until([&] { return sessions.conduits.size() == 1; });
  sessions.listener->close();
  f.run(0ms);
  CHECK(sessions.error == Errc::kAborted);
  test::Receiver first(*sessions.conduits[0]);
  send(*a.conduit, "a2", at);
  send(*b.conduit, "b", at);
  f.run_until([&] { return first.texts().size() == 2; });
  f.run(20ms);
  CHECK(sessions.conduits.size() == 1);
  sessions.listener.reset();
  sessions.conduits.clear();
  a.conduit->close();
  b.conduit->close();
  // Nothing is left that would keep an event loop running.
  f.context.restart();
  CHECK(f.context.run_for(30s) < 100);
  CHECK(f.context.stopped());
}

// A session's number is the first byte of its datagrams; "!" is dropped.
class ByFirstByte final : public SessionProtocol {
 public:
  explicit ByFirstByte(std::string& ended) : ended_(ended) {}
  Overhead overhead() const override { return {.front = 1, .back = 0}; }
  std::optional<SessionKey> open(Datagram& datagram) override {
    const std::uint8_t number = *datagram.payload.data();
    datagram.payload.trim_front(1);
    datagram.peer = Destination("named.test", 7, Network::kUdp);
    if (number == '!') return std::nullopt;
    return SessionKey{.source = {}, .number = number};
  }
  bool seal(const SessionKey& session, Datagram& datagram) override {
    if (datagram.payload.text() == "drop") return false;
    *datagram.payload.prepend(1) = static_cast<std::uint8_t>(session.number);
    return true;
  }
  void identify(const SessionKey&, SessionSource& source) const override { source.user = "ann"; }
  void end(const SessionKey& session) override { ended_ += static_cast<char>(session.number); }

 private:
  std::string& ended_;
};

TEST_CASE("udp listen: sessions of a protocol, whose clients may move") {
  Fixture f;
  std::string ended;
  PacketListenResult result = udp_listen(f.environment, {.bind = *Endpoint::parse("127.0.0.1:0")}, {.sessions = 2},
                                         std::make_unique<ByFirstByte>(ended));
  REQUIRE_MESSAGE(!result.error, result.what);
  std::deque<ConduitPtr> conduits;
  std::vector<SessionSource> sources;
  std::function<void()> accept = [&] {
    result.listener->accept([&](std::error_code error, ConduitPtr conduit, const SessionSource& source) {
      if (error) return;
      conduits.push_back(std::move(conduit));
      sources.push_back(source);
      accept();
    });
  };
  accept();
  const Destination at(result.listener->local(), Network::kUdp);
  SocketResult a = f.socket("127.0.0.1:0"), b = f.socket("127.0.0.1:0");
  test::Receiver at_a(*a.conduit), at_b(*b.conduit);
  send(*a.conduit, "1one", at);
  send(*a.conduit, "!none", at);
  f.run_until([&] { return conduits.size() == 1; });
  CHECK(sources[0].endpoint == a.local);
  CHECK(sources[0].user == "ann");
  test::Receiver first(*conduits[0]);
  // The same session from elsewhere: that is where its answers go from now on.
  send(*b.conduit, "1two", at);
  f.run_until([&] { return first.texts().size() == 2; });
  CHECK(first.texts() == std::vector<std::string>{"one", "two"});
  CHECK(first.peers()[0] == Destination("named.test", 7, Network::kUdp));
  std::vector<Datagram> answers;
  for (const char* text : {"drop", "x", "drop", "y"}) answers.push_back({.payload = Buffer::copy_of(text)});
  CHECK(conduits[0]->send(answers) == 2);
  f.run_until([&] { return at_b.texts().size() == 2; });
  CHECK(at_b.texts() == std::vector<std::string>{"1x", "1y"});
  CHECK(at_a.texts().empty());
  CHECK(conduits[0]->dropped() == 2);
  CHECK(conduits[0]->mtu() == 65507 - 1);
  // A third is one too many, and the protocol is told; so it is when one ends.
  send(*a.conduit, "2x", at);
  f.run_until([&] { return conduits.size() == 2; });
  send(*a.conduit, "3x", at);
  f.run_until([&] { return ended == "3"; });
  conduits.clear();
  CHECK(ended.size() == 3);
}

}  // namespace
}  // namespace winze
