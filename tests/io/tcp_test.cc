#include "winze/io/tcp.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <asio/io_context.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "winze/base/error.h"
#include "winze/io/meter.h"
#include "winze/io/relay.h"
#include "winze/io/system.h"

namespace winze {
namespace {

struct Fixture {
  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();
};

struct Pair {
  StreamPtr client;
  StreamPtr server;
};

Pair connect(Fixture& f, std::string_view address) {
  ListenResult listening = tcp_listen(f.environment, {*IpAddress::parse(address), 0});
  REQUIRE_MESSAGE(!listening.error, listening.what);
  Pair pair;
  listening.listener->accept([&](std::error_code error, StreamPtr stream) {
    CHECK_FALSE(error);
    pair.server = std::move(stream);
  });
  DialerPtr dialer = tcp_dialer(f.environment);
  Pending dialing = dialer->dial(listening.listener->local(), [&](std::error_code error, StreamPtr stream) {
    CHECK_FALSE(error);
    pair.client = std::move(stream);
  });
  while (!pair.client || !pair.server) f.context.run_one();
  return pair;
}

TEST_CASE("tcp: what pending handlers hold is released with a loop that never calls them") {
  std::weak_ptr<Pair> held;
  {
    Fixture f;
    const auto pair = std::make_shared<Pair>(connect(f, "127.0.0.1"));
    held = pair;
    // As a relay does: each handler keeps both streams.
    for (Stream* stream : {pair->client.get(), pair->server.get()}) {
      stream->read([pair](std::error_code, Buffer) { FAIL("the loop did not run"); });
      stream->write(Buffer::copy_of("x"), [pair](std::error_code) { FAIL("the loop did not run"); });
      stream->close();
    }
  }
  CHECK(held.expired());
}

TEST_CASE("tcp: bytes, addresses and half-close, IPv4 and IPv6") {
  for (const char* address : {"127.0.0.1", "::1"}) {
    CAPTURE(address);
    Fixture f;
    Pair p = connect(f, address);
    CHECK(p.client->remote() == p.server->local());
    CHECK(p.client->local() == p.server->remote());
    std::string got;
    bool ended = false;
    p.client->write(Buffer::copy_of("ping"), [&](std::error_code error) {
      CHECK_FALSE(error);
      p.client->shutdown_write([](std::error_code e) { CHECK_FALSE(e); });
    });
    std::function<void()> read = [&] {
      p.server->read([&](std::error_code error, Buffer data) {
        if (error == Errc::kEof) {
          ended = true;
          p.server->write(Buffer::copy_of("pong"), [](std::error_code e) { CHECK_FALSE(e); });
          return;
        }
        got += data.text();
        read();
      });
    };
    read();
    std::string answer;
    p.client->read([&](std::error_code error, Buffer data) {
      CHECK_FALSE(error);
      answer = data.text();
    });
    while (answer.empty()) f.context.run_one();
    CHECK(got == "ping");
    CHECK(ended);
    CHECK(answer == "pong");
  }
}

TEST_CASE("tcp: options are the socket's") {
  Fixture f;
  ListenResult listening = tcp_listen(f.environment, {*IpAddress::parse("127.0.0.1"), 0});
  REQUIRE_MESSAGE(!listening.error, listening.what);
  const SocketOptions options{.user_timeout = std::chrono::milliseconds(1500), .window_clamp = 60000};
  StreamPtr stream;
  const DialerPtr dialer = tcp_dialer(f.environment, {.socket = options});
  Pending dialing = dialer->dial(listening.listener->local(), [&](std::error_code error, StreamPtr connected) {
    CHECK_FALSE(error);
    stream = std::move(connected);
  });
  while (!stream) f.context.run_one();
  const auto value_of = [&](int name) {
    int value = 0;
    socklen_t size = sizeof value;
    CHECK(::getsockopt(stream->verbatim_source()->native_handle(), IPPROTO_TCP, name, &value, &size) == 0);
    return value;
  };
  CHECK(value_of(TCP_USER_TIMEOUT) == 1500);
  CHECK(value_of(TCP_WINDOW_CLAMP) == 60000);
  stream->limit_unsent(54321);
  CHECK(value_of(TCP_NOTSENT_LOWAT) == 54321);
}

TEST_CASE("tcp: closing cancels, handlers run once and never inside the call") {
  Fixture f;
  Pair p = connect(f, "127.0.0.1");
  std::vector<std::error_code> seen;
  p.client->read([&](std::error_code error, Buffer) { seen.push_back(error); });
  p.client->read([&](std::error_code error, Buffer) { seen.push_back(error); });
  CHECK(seen.empty());
  p.client.reset();
  CHECK(seen.empty());
  while (seen.size() < 2) f.context.run_one();
  CHECK(std::ranges::count(seen, std::error_code(Errc::kBusy)) == 1);
  CHECK(std::ranges::count(seen, std::error_code(Errc::kAborted)) == 1);
}

TEST_CASE("tcp: a refused connection reports the system's error; a cancelled dial reports kAborted") {
  Fixture f;
  ListenResult listening = tcp_listen(f.environment, {*IpAddress::parse("127.0.0.1"), 0});
  // No other program listens at all addresses of a port that is taken at one.
  const Endpoint nobody{*IpAddress::parse("127.0.0.2"), listening.listener->local().port};
  DialerPtr dialer = tcp_dialer(f.environment);
  std::error_code refused, cancelled;
  Pending first = dialer->dial(nobody, [&](std::error_code error, StreamPtr) { refused = error; });
  while (!refused) f.context.run_one();
  CHECK(refused == std::errc::connection_refused);
  Pending second = dialer->dial(nobody, [&](std::error_code error, StreamPtr) { cancelled = error; });
  second.cancel();
  CHECK_FALSE(cancelled);
  while (!cancelled) f.context.run_one();
  CHECK(cancelled == Errc::kAborted);
}

TEST_CASE("tcp: a relay splices a bulk flow and accounts every byte") {
  Fixture f;
  Pair in = connect(f, "127.0.0.1");
  Pair out = connect(f, "127.0.0.1");
  constexpr std::size_t kTotal = 64 << 20;
  const auto traffic = std::make_shared<Traffic>();
  Meter meter;
  meter.add(traffic);
  std::optional<RelayResult> result;
  Pending relaying = relay(f.environment, std::move(in.server), std::move(out.client), {.meter = meter},
                           [&](RelayResult r) { result = r; });
  std::size_t sent = 0, received = 0;
  bool intact = true;
  std::function<void()> send = [&] {
    if (sent == kTotal) return in.client->shutdown_write([](std::error_code e) { CHECK_FALSE(e); });
    Buffer chunk(1 << 20);
    std::uint8_t* p = chunk.append(1 << 20);
    for (std::size_t i = 0; i < chunk.size(); ++i) p[i] = static_cast<std::uint8_t>((sent + i) * 2654435761u >> 24);
    sent += chunk.size();
    in.client->write(std::move(chunk), [&](std::error_code e) {
      CHECK_FALSE(e);
      send();
    });
  };
  std::function<void()> receive = [&] {
    out.server->read([&](std::error_code error, Buffer data) {
      if (error == Errc::kEof) return out.server->close();
      REQUIRE_FALSE(error);
      for (std::uint8_t byte : data.span()) {
        intact &= byte == static_cast<std::uint8_t>(received++ * 2654435761u >> 24);
      }
      receive();
    });
  };
  send();
  receive();
  std::function<void()> drain = [&] {
    in.client->read([&](std::error_code error, Buffer) {
      if (!error) drain();
    });
  };
  drain();
  while (!result) f.context.run_one();
  CHECK_FALSE(result->error);
  CHECK(received == kTotal);
  CHECK(intact);
  CHECK(result->up == kTotal);
  CHECK(traffic->up == kTotal);
}

// Two ends of a connection, blocking.
std::array<int, 2> connected_sockets() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof at;
  auto* const address = reinterpret_cast<sockaddr*>(&at);
  REQUIRE(::bind(listener, address, size) == 0);
  REQUIRE(::listen(listener, 1) == 0);
  REQUIRE(::getsockname(listener, address, &size) == 0);
  const int near = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(near, address, size) == 0);
  const int far = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  REQUIRE(far >= 0);
  ::close(listener);
  return {near, far};
}

TEST_CASE("tcp: while a relay splices, its counters are at most 1 MiB or a second behind the receiver, either way") {
  using namespace std::chrono;
  constexpr std::uint64_t kTotal = 256 << 20, kMost = 1 << 20;
  for (const Way way : {Way::kUp, Way::kDown}) {
    CAPTURE(static_cast<int>(way));
    Fixture f;
    const auto [near, relay_client] = connected_sockets();
    const auto [relay_server, far] = connected_sockets();
    const auto traffic = std::make_shared<Traffic>();
    const std::atomic<std::uint64_t>& counter = way == Way::kUp ? traffic->up : traffic->down;
    Meter meter;
    meter.add(traffic);
    std::optional<RelayResult> result;
    Pending relaying =
        relay(f.environment, adopt_socket(f.environment, relay_client), adopt_socket(f.environment, relay_server),
              {.meter = meter}, [&](RelayResult r) { result = r; });
    const int source = way == Way::kUp ? near : far, sink = way == Way::kUp ? far : near;
    std::thread sender([&] {
      const std::vector<char> data(kMost);
      for (std::uint64_t sent = 0; sent < kTotal;) {
        const ssize_t n =
            ::send(source, data.data(), std::min<std::uint64_t>(data.size(), kTotal - sent), MSG_NOSIGNAL);
        if (n <= 0) return;
        sent += static_cast<std::uint64_t>(n);
      }
    });
    std::uint64_t received = 0;
    milliseconds longest{0};  // that the counter was more than 1 MiB behind
    std::atomic<bool> done = false;
    std::thread receiver([&] {
      std::vector<char> data(256 << 10);
      while (received < kTotal) {
        const ssize_t n = ::recv(sink, data.data(), data.size(), 0);
        if (n <= 0) break;
        received += static_cast<std::uint64_t>(n);
        const auto begun = steady_clock::now();
        while (received > counter + kMost && longest < 5s) {
          std::this_thread::yield();
          longest = std::max(longest, duration_cast<milliseconds>(steady_clock::now() - begun));
        }
      }
      done = true;
    });
    std::uint64_t counted = 0, largest_step = 0;
    while (!done) {
      f.context.run_one_for(10ms);
      largest_step = std::max(largest_step, counter - counted);
      counted = counter;
    }
    sender.join();
    receiver.join();
    CHECK(received == kTotal);
    CHECK(longest < 1s);
    CHECK(largest_step <= kMost);
    // All is counted while both directions are open.
    for (int i = 0; i < 100 && counter != kTotal; ++i) f.context.run_one_for(10ms);
    CHECK(counter == kTotal);
    CHECK_FALSE(result);
    ::close(near);
    ::close(far);
    while (!result) f.context.run_one();
    CHECK(result->spliced > kTotal / 2);
    CHECK((way == Way::kUp ? result->up : result->down) == kTotal);
  }
}

TEST_CASE("tcp: a blocking socket that is adopted does not hold the event loop") {
  Fixture f;
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  const StreamPtr stream = adopt_socket(f.environment, fds[0]);
  std::string got;
  stream->read([&](std::error_code error, Buffer data) { got = error ? error.message() : std::string(data.text()); });
  f.context.poll();
  CHECK(got.empty());
  REQUIRE(::write(fds[1], "late", 4) == 4);
  while (got.empty()) f.context.run_one();
  CHECK(got == "late");
  ::close(fds[1]);
}

TEST_CASE("unix: path and abstract sockets") {
  for (std::string path : {std::string("@winze-test-") + std::to_string(::getpid()),
                           std::string("/tmp/winze-test-") + std::to_string(::getpid())}) {
    CAPTURE(path);
    Fixture f;
    ListenResult listening = unix_listen(f.environment, path, 0600);
    REQUIRE_MESSAGE(!listening.error, listening.what);
    StreamPtr client, server;
    listening.listener->accept([&](std::error_code, StreamPtr stream) { server = std::move(stream); });
    Pending dialing = unix_to(f.environment, path)->dial({}, [&](std::error_code error, StreamPtr stream) {
      CHECK_FALSE(error);
      client = std::move(stream);
    });
    while (!client || !server) f.context.run_one();
    CHECK(client->remote() == Endpoint());
  }
}

TEST_CASE("unix: a stale socket's file is replaced, one that somebody listens at is not") {
  const std::string path = "/tmp/winze-test-" + std::to_string(::getpid());
  Fixture f;
  ListenResult first = unix_listen(f.environment, path);
  REQUIRE_MESSAGE(!first.error, first.what);
  ListenResult second = unix_listen(f.environment, path);
  CHECK(second.error == std::errc::address_in_use);
  CHECK(::access(path.c_str(), F_OK) == 0);

  // As a process that was killed leaves it: the file is there, and no listener.
  const std::string kept = path + "-kept";
  REQUIRE(::link(path.c_str(), kept.c_str()) == 0);
  first.listener.reset();
  CHECK(::access(path.c_str(), F_OK) != 0);
  REQUIRE(::rename(kept.c_str(), path.c_str()) == 0);
  second = unix_listen(f.environment, path);
  CHECK_MESSAGE(!second.error, second.what);

  // A listener removes no file but its own.
  REQUIRE(::unlink(path.c_str()) == 0);
  ListenResult third = unix_listen(f.environment, path);
  REQUIRE_MESSAGE(!third.error, third.what);
  second.listener.reset();
  CHECK(::access(path.c_str(), F_OK) == 0);
  third.listener.reset();
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("unix: what is not a socket is left alone") {
  const std::string path = "/tmp/winze-test-file-" + std::to_string(::getpid());
  std::fclose(std::fopen(path.c_str(), "w"));
  Fixture f;
  CHECK(unix_listen(f.environment, path).error == std::errc::address_in_use);
  CHECK(::unlink(path.c_str()) == 0);
}

}  // namespace
}  // namespace winze
