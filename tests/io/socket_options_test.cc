// What SocketOptions and its like do to sockets, read back from the kernel.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "winze/base/error.h"
#include "winze/io/system.h"
#include "winze/io/tcp.h"

namespace winze {
namespace {

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  CHECK(::getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}

std::string text_option(int fd, int level, int name) {
  char text[64] = {};
  socklen_t size = sizeof text - 1;
  CHECK(::getsockopt(fd, level, name, text, &size) == 0);
  return text;
}

// The kernel's own name of the socket, for a listener does not tell its descriptor.
int descriptor_of(const Listener& listener) {
  for (int fd = 0; fd < 1024; ++fd) {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    int listens = 0;
    socklen_t int_size = sizeof listens;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &int_size) != 0 || listens == 0) continue;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) continue;
    // The port is at the same place in both families.
    if (ntohs(reinterpret_cast<const sockaddr_in&>(name).sin_port) == listener.local().port) return fd;
  }
  FAIL("the listener has no descriptor");
  return -1;
}

class TwoAddresses final : public Resolver {
 public:
  explicit TwoAddresses(Executor executor) : executor_(std::move(executor)) {}
  Pending resolve(std::string_view, Handler handler) override {
    asio::post(executor_, [handler = std::move(handler)]() mutable {
      handler({}, {*IpAddress::parse("127.0.0.1"), *IpAddress::parse("127.0.0.2")});
    });
    return {};
  }

 private:
  Executor executor_;
};

struct Fixture {
  ListenerPtr listen(const TcpListenOptions& options = {}, const char* address = "127.0.0.1") {
    ListenResult result = tcp_listen(environment, {*IpAddress::parse(address), 0}, options);
    REQUIRE_MESSAGE(!result.error, result.what);
    return std::move(result.listener);
  }

  // Dials, with `look` at the socket before it connects.
  std::error_code dial(const Destination& to, const TcpDialOptions& options, std::function<void(int)> look) {
    environment.socket_hook = [&](int fd, const Destination&) {
      look(fd);
      return std::error_code();
    };
    std::optional<std::error_code> result;
    const Pending pending = tcp_dialer(environment, options)->dial(to, [&](std::error_code error, StreamPtr made) {
      result = error;
      stream = std::move(made);
    });
    context.restart();
    while (!result) context.run_one();
    environment.socket_hook = nullptr;
    return *result;
  }

  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  TwoAddresses resolver{context.get_executor()};
  Environment environment{.executor = context.get_executor(),
                          .clock = system.environment().clock,
                          .random = system.environment().random,
                          .resolver = resolver,
                          .pool = system.environment().pool,
                          .socket_hook = nullptr};
  StreamPtr stream;
};

TEST_CASE("socket options: delay, keep-alive, congestion control, interface") {
  Fixture f;
  const SocketOptions given{.no_delay = true,
                            .keep_alive_idle = std::chrono::seconds(120),
                            .keep_alive_interval = std::chrono::seconds(30),
                            .interface = "lo",
                            .congestion_control = "reno"};
  const auto as_given = [](int fd) {
    CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
    CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 120);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 30);
    CHECK(text_option(fd, IPPROTO_TCP, TCP_CONGESTION) == "reno");
    CHECK(text_option(fd, SOL_SOCKET, SO_BINDTODEVICE) == "lo");
  };
  const ListenerPtr listener = f.listen({.socket = given});
  as_given(descriptor_of(*listener));
  CHECK_FALSE(f.dial(listener->local(), {.socket = given}, as_given));

  const SocketOptions none{.no_delay = false, .keep_alive_idle = std::chrono::seconds(-1)};
  CHECK_FALSE(f.dial(listener->local(), {.socket = none}, [](int fd) {
    CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 0);
    CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 0);
    CHECK(text_option(fd, SOL_SOCKET, SO_BINDTODEVICE).empty());
  }));
}

TEST_CASE("socket options: what the system does not know is an error that says so") {
  Fixture f;
  const ListenerPtr listener = f.listen();
  const auto never = [](int) { FAIL("a socket that was not set up"); };
  CHECK(f.dial(listener->local(), {.socket = {.interface = "no-such-one"}}, never) == std::errc::no_such_device);
  CHECK(f.dial(listener->local(), {.socket = {.congestion_control = "haste"}}, never) ==
        std::errc::no_such_file_or_directory);
  const ListenResult refused =
      tcp_listen(f.environment, {*IpAddress::parse("127.0.0.1"), 0}, {.socket = {.interface = "no-such-one"}});
  CHECK(refused.error == std::errc::no_such_device);
  CHECK(refused.what == "socket options for 127.0.0.1:0: " + refused.error.message());
}

TEST_CASE("socket options: marks and transparent listeners") {
  if (::geteuid() != 0) {
    MESSAGE("not root: no marks");
    CHECK_MESSAGE(std::getenv("CI") == nullptr, "cannot run here");
    return;
  }
  Fixture f;
  const ListenerPtr listener = f.listen({.socket = {.mark = 7}, .transparent = true});
  CHECK(option(descriptor_of(*listener), SOL_SOCKET, SO_MARK) == 7);
  CHECK(option(descriptor_of(*listener), SOL_IP, IP_TRANSPARENT) == 1);
  CHECK_FALSE(f.dial(listener->local(), {.socket = {.mark = 0xfffffff0}},
                     [](int fd) { CHECK(static_cast<std::uint32_t>(option(fd, SOL_SOCKET, SO_MARK)) == 0xfffffff0); }));
}

TEST_CASE("socket options: Fast Open, but not where several addresses race") {
  Fixture f;
  const ListenerPtr listener = f.listen({.socket = {.fast_open = true}});
  CHECK(option(descriptor_of(*listener), IPPROTO_TCP, TCP_FASTOPEN) > 0);
  const std::uint16_t port = listener->local().port;
  const TcpDialOptions options{.socket = {.fast_open = true}};
  CHECK_FALSE(
      f.dial(listener->local(), options, [](int fd) { CHECK(option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT) == 1); }));
  CHECK_FALSE(f.dial(Destination("two.test", port), options,
                     [](int fd) { CHECK(option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT) == 0); }));
  CHECK_FALSE(f.dial(listener->local(), {}, [](int fd) { CHECK(option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT) == 0); }));
}

TEST_CASE("socket options: the address dialled from") {
  Fixture f;
  const ListenerPtr listener = f.listen();
  CHECK_FALSE(f.dial(listener->local(), {.bind_address = IpAddress::parse("127.0.0.9")}, [](int) {}));
  CHECK(f.stream->local().address == *IpAddress::parse("127.0.0.9"));
  // Not one of this host's (RFC 5737).
  CHECK(f.dial(listener->local(), {.bind_address = IpAddress::parse("192.0.2.1")}, [](int) {}) ==
        std::errc::address_not_available);
}

TEST_CASE("socket options: a listener's backlog") {
  Fixture f;
  const ListenerPtr small = f.listen({.backlog = 5});
  tcp_info info{};
  socklen_t size = sizeof info;
  REQUIRE(::getsockopt(descriptor_of(*small), IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
  CHECK(info.tcpi_sacked == 5);  // of a listening socket: its backlog
}

// No other listener lives here: one of IPv4 may have the same port. Nor at 127.0.0.9, whatever other programs do.
TEST_CASE("socket options: whether IPv6 is all a listener takes") {
  Fixture f;
  for (const bool only : {true, false}) {
    CAPTURE(only);
    const ListenerPtr listener = f.listen({.v6_only = only}, "::");
    CHECK(option(descriptor_of(*listener), IPPROTO_IPV6, IPV6_V6ONLY) == (only ? 1 : 0));
    const Endpoint v4{*IpAddress::parse("127.0.0.9"), listener->local().port};
    const std::error_code error = f.dial(v4, {}, [](int) {});
    CHECK((only ? error == std::errc::connection_refused : !error));
  }
}

}  // namespace
}  // namespace winze
