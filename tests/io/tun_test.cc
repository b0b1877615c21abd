// TUN interfaces with their addresses, routes and queues, in a network namespace of the test's own thread.
#include "winze/io/tun.h"

#include <doctest/doctest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>

#include "winze/base/error.h"
#include "winze/io/interface.h"
#include "winze/io/system.h"

namespace winze {
namespace {

struct Fixture {
  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();
};

// A namespace is a thread's, and goes with it.
void in_own_namespace(const std::function<void()>& test) {
  bool ran = false;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0 || ::access("/dev/net/tun", R_OK | W_OK) != 0) return;
    ran = true;
    test();
  }).join();
  if (ran) return;
  MESSAGE("not root, or no /dev/net/tun: no namespace and no interfaces");
  CHECK_MESSAGE(std::getenv("CI") == nullptr, "cannot run here");
}

TEST_CASE("tun: an interface with addresses and routes, which can be taken away again") {
  in_own_namespace([] {
    Fixture f;
    const TunOptions options{.name = "winze0",
                             .addresses = {*Prefix::parse("10.10.0.1/24"), *Prefix::parse("fd00::1/64")},
                             .routes = {*Prefix::parse("10.20.0.7/16"), *Prefix::parse("fd00:2::/64")}};
    TunResult tun = open_tun(f.environment, options);
    REQUIRE_MESSAGE(!tun.error, tun.what);
    CHECK(tun.name == "winze0");
    CHECK(add_address("winze0", options.addresses[0]) == std::errc::file_exists);
    CHECK(add_route("winze0", {.to = options.routes[0]}) == std::errc::file_exists);
    for (const Prefix& route : options.routes) {
      CHECK_FALSE(remove_route("winze0", {.to = route}));
      CHECK(remove_route("winze0", {.to = route}) == std::errc::no_such_process);
      CHECK_FALSE(add_route("winze0", {.to = route,
                                       .source = options.addresses[route.address.is_v6() ? 1 : 0].address,
                                       .table = 100,
                                       .metric = 7}));
    }
    CHECK_FALSE(add_route("winze0", {.to = *Prefix::parse("0.0.0.0/0"), .gateway = IpAddress::parse("10.10.0.9")}));
    for (const Prefix& address : options.addresses) {
      CHECK_FALSE(remove_address("winze0", address));
      CHECK(remove_address("winze0", address) == std::errc::address_not_available);
    }
    CHECK(add_address("nowhere", options.addresses[0]) == std::errc::no_such_device);
    tun.conduit.reset();
    CHECK(::if_nametoindex("winze0") == 0);
  });
}

TEST_CASE("tun: what cannot be set up says what") {
  in_own_namespace([] {
    Fixture f;
    TunResult long_name = open_tun(f.environment, {.name = "a-name-that-is-too-long"});
    CHECK(long_name.error == std::errc::filename_too_long);
    TunResult unreachable = open_tun(f.environment, {.addresses = {Prefix{IpAddress(), 40}}});
    CHECK(unreachable.error);
    CHECK(unreachable.what.find("the address 0.0.0.0/40") != std::string::npos);
  });
}

TEST_CASE("tun: several queues of one interface") {
  in_own_namespace([] {
    Fixture f;
    TunResult first = open_tun(f.environment, {.name = "winze0", .multi_queue = true});
    REQUIRE_MESSAGE(!first.error, first.what);
    TunResult second = open_tun(f.environment, {.name = "winze0", .multi_queue = true});
    REQUIRE_MESSAGE(!second.error, second.what);
    CHECK(open_tun(f.environment, {.name = "winze0"}).error);
    first.conduit.reset();
    CHECK(::if_nametoindex("winze0") != 0);
    second.conduit.reset();
    CHECK(::if_nametoindex("winze0") == 0);
  });
}

TEST_CASE("tun: a descriptor of the host's, a packet a read") {
  Fixture f;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
  ConduitPtr conduit = adopt_tun(f.environment, ends[0], 1400);
  CHECK(conduit->mtu() == 1400);
  std::string got;
  std::error_code end;
  std::function<void()> receive = [&] {
    conduit->receive([&](std::error_code error, std::span<Datagram> packets) {
      end = error;
      if (error) return;
      for (const Datagram& packet : packets) got += "<" + std::string(packet.payload.text()) + ">";
      receive();
    });
  };
  receive();
  REQUIRE(::send(ends[1], "one", 3, 0) == 3);
  REQUIRE(::send(ends[1], "two", 3, 0) == 3);
  while (got.size() < 10 && !end) f.context.run_one();
  CHECK(got == "<one><two>");
  Datagram out{.payload = Buffer::copy_of("three"), .peer = {}};
  CHECK(conduit->send(std::span(&out, 1)) == 1);
  char bytes[16];
  CHECK(::recv(ends[1], bytes, sizeof bytes, 0) == 5);
  conduit->close();
  while (!end) f.context.run_one();
  CHECK(end == Errc::kAborted);
  ::close(ends[1]);
}

}  // namespace
}  // namespace winze
