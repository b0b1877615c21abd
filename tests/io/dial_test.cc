// Dialing over real sockets, with names that resolve as the test wants.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include "winze/base/error.h"
#include "winze/io/system.h"
#include "winze/io/tcp.h"

namespace winze {
namespace {

using namespace std::chrono_literals;

class FixedResolver final : public Resolver {
 public:
  explicit FixedResolver(Executor executor) : executor_(std::move(executor)) {}
  Pending resolve(std::string_view, Handler handler) override {
    asio::post(executor_, [handler = std::move(handler), addresses = addresses]() mutable {
      handler(addresses.empty() ? std::error_code(Errc::kUnresolved) : std::error_code(), addresses);
    });
    return {};
  }
  std::vector<IpAddress> addresses;

 private:
  Executor executor_;
};

struct Fixture {
  struct Result {
    std::error_code error;
    Endpoint remote;
    std::chrono::steady_clock::duration took{};
  };

  Result dial(std::vector<const char*> addresses, std::uint16_t port, const TcpDialOptions& options) {
    resolver.addresses.clear();
    for (const char* address : addresses) resolver.addresses.push_back(*IpAddress::parse(address));
    const DialerPtr dialer = tcp_dialer(environment, options);
    std::optional<Result> result;
    const auto begun = std::chrono::steady_clock::now();
    Pending pending = dialer->dial(Destination("name.test", port), [&](std::error_code error, StreamPtr stream) {
      result = Result{error, stream ? stream->remote() : Endpoint(), std::chrono::steady_clock::now() - begun};
      pending.detach();
    });
    context.restart();
    while (!result) context.run_one();
    return *result;
  }

  ListenerPtr listen(const char* address, std::uint16_t port = 0) {
    ListenResult listening = tcp_listen(environment, {*IpAddress::parse(address), port});
    REQUIRE_MESSAGE(!listening.error, listening.what);
    return std::move(listening.listener);
  }

  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  FixedResolver resolver{context.get_executor()};
  Environment environment{.executor = context.get_executor(),
                          .clock = system.environment().clock,
                          .random = system.environment().random,
                          .resolver = resolver,
                          .pool = system.environment().pool,
                          .socket_hook = nullptr};
};

// An address and port where connects are neither taken nor refused: a listener whose backlog is full.
struct SilentPort {
  explicit SilentPort(const char* address) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(0x7f000000u | static_cast<unsigned>(IpAddress::parse(address)->bytes()[3]));
    socklen_t size = sizeof at;
    fds.push_back(::socket(AF_INET, SOCK_STREAM, 0));
    REQUIRE(::bind(fds[0], reinterpret_cast<sockaddr*>(&at), size) == 0);
    REQUIRE(::listen(fds[0], 0) == 0);
    REQUIRE(::getsockname(fds[0], reinterpret_cast<sockaddr*>(&at), &size) == 0);
    port = ntohs(at.sin_port);
    for (int i = 0; i < 4; ++i) {
      fds.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      (void)::connect(fds.back(), reinterpret_cast<sockaddr*>(&at), size);
    }
    std::this_thread::sleep_for(50ms);
  }
  ~SilentPort() {
    for (int fd : fds) ::close(fd);
  }
  std::vector<int> fds;
  std::uint16_t port = 0;
};

TEST_CASE("dial: a refused address gives way to the next at once") {
  Fixture f;
  const ListenerPtr listener = f.listen("127.0.0.1");
  const auto result = f.dial({"127.0.0.2", "127.0.0.1"}, listener->local().port, {.attempt_delay = 30s});
  CHECK_FALSE(result.error);
  CHECK(result.remote.address == *IpAddress::parse("127.0.0.1"));
  CHECK(result.took < 10s);
}

TEST_CASE("dial: beside a silent address the next is tried after the attempt delay") {
  SilentPort silent("127.0.0.2");
  Fixture f;
  const ListenerPtr listener = f.listen("127.0.0.3", silent.port);
  const auto result = f.dial({"127.0.0.2", "127.0.0.3"}, silent.port, {.attempt_delay = 100ms});
  CHECK_FALSE(result.error);
  CHECK(result.remote.address == *IpAddress::parse("127.0.0.3"));
  CHECK(result.took >= 100ms);
}

TEST_CASE("dial: the preferred family goes first, and one family may be excluded") {
  Fixture f;
  const ListenerPtr v6 = f.listen("::1");
  const std::uint16_t port = v6->local().port;
  // At 127.0.0.1 another program, or a connection, may have this port.
  const ListenerPtr v4 = f.listen("127.0.0.3", port);
  CHECK(f.dial({"127.0.0.3", "::1"}, port, {.prefer_v6 = true}).remote.address.is_v6());
  CHECK(f.dial({"::1", "127.0.0.3"}, port, {.prefer_v6 = false}).remote.address.is_v4());
  CHECK(f.dial({"::1", "127.0.0.3"}, port, {.family = TcpDialOptions::Family::kV4}).remote.address.is_v4());
  CHECK(f.dial({"127.0.0.3"}, port, {.family = TcpDialOptions::Family::kV6}).error == Errc::kUnresolved);
}

TEST_CASE("dial: all addresses silent is a time-out, an unknown name kUnresolved") {
  SilentPort silent("127.0.0.2");
  Fixture f;
  const auto result = f.dial({"127.0.0.2"}, silent.port, {.connect_timeout = 100ms});
  CHECK(result.error == Errc::kTimedOut);
  CHECK(f.dial({}, 80, {}).error == Errc::kUnresolved);
}

TEST_CASE("dial: the socket hook sees each socket before it connects, and can refuse") {
  Fixture f;
  const ListenerPtr listener = f.listen("127.0.0.1");
  int sockets = 0;
  f.environment.socket_hook = [&](int fd, const Destination& destination) -> std::error_code {
    CHECK(destination.host_text() == "name.test");
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    CHECK(::getpeername(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0);
    return ++sockets == 1 ? std::error_code() : std::make_error_code(std::errc::operation_not_permitted);
  };
  CHECK_FALSE(f.dial({"127.0.0.1"}, listener->local().port, {}).error);
  CHECK(f.dial({"127.0.0.1"}, listener->local().port, {}).error ==
        std::make_error_code(std::errc::operation_not_permitted));
  CHECK(sockets == 2);
}

TEST_CASE("listen: threads share a port, each with an environment of its own") {
  constexpr int kThreads = 2, kConnections = 200;
  std::atomic<int> taken[kThreads] = {};
  std::atomic<bool> stop{false};
  std::uint16_t port = 0;
  std::vector<std::unique_ptr<Fixture>> fixtures;
  std::vector<ListenerPtr> listeners;
  for (int i = 0; i < kThreads; ++i) {
    fixtures.push_back(std::make_unique<Fixture>());
    ListenResult listening =
        tcp_listen(fixtures[i]->environment, {*IpAddress::parse("127.0.0.1"), port}, {.reuse_port = true});
    REQUIRE_MESSAGE(!listening.error, listening.what);
    port = listening.listener->local().port;
    listeners.push_back(std::move(listening.listener));
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      std::function<void()> accept = [&] {
        listeners[i]->accept([&](std::error_code error, StreamPtr) {
          if (error) return;
          ++taken[i];
          accept();
        });
      };
      accept();
      while (!stop) fixtures[i]->context.run_for(10ms);
    });
  }
  Fixture client;
  for (int i = 0; i < kConnections; ++i) CHECK_FALSE(client.dial({"127.0.0.1"}, port, {}).error);
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (taken[0] + taken[1] < kConnections && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(5ms);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(taken[0] + taken[1] == kConnections);
  CHECK(taken[0] > 0);
  CHECK(taken[1] > 0);
}

}  // namespace
}  // namespace winze
