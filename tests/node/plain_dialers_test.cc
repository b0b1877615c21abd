// Freedom's redirect and the blackhole, for datagrams.
#include "node/plain_dialers.h"

#include <doctest/doctest.h>

#include "support/fake_dialer.h"
#include "support/simulator.h"

namespace winze::node {
namespace {

using test::send;

Destination udp(std::string_view host, std::uint16_t port) { return Destination(host, port, Network::kUdp); }

TEST_CASE("redirect: a conduit's destination, or that of each datagram, whose answers come from where it was sent") {
  test::Simulator sim(1);
  const auto below = std::make_shared<test::FakeDialer>(sim.environment());
  const DialerPtr dialer = redirect_dialer(below, "", 5353);
  ConduitPtr conduit;
  const auto open = [&](const Destination& to) {
    dialer->open_conduit(to, [&](std::error_code, ConduitPtr c) { conduit = std::move(c); }).detach();
  };
  open(udp("a.test", 53));
  CHECK(below->opens[0]->destination == udp("a.test", 5353));
  open(everyone());
  CHECK(is_everyone(below->opens[1]->destination));
  auto [near, far] = test::conduit_pair(sim.environment());
  test::answer(below->opens[1], {}, std::move(near));
  test::Receiver here(*conduit), there(*far);
  CHECK(send(*conduit, "x", udp("b.test", 53)));
  sim.run_ready();
  CHECK(there.peers().at(0) == udp("b.test", 5353));
  send(*far, "y", udp("b.test", 5353));
  sim.run_ready();
  CHECK(here.peers().at(0) == udp("b.test", 53));
}

TEST_CASE("blackhole: takes datagrams, gives none, ends by close") {
  test::Simulator sim(1);
  const DialerPtr dialer = blackhole_dialer(sim.environment(), false);
  ConduitPtr conduit;
  dialer->open_conduit(everyone(), [&](std::error_code, ConduitPtr c) { conduit = std::move(c); }).detach();
  sim.run_ready();
  REQUIRE(conduit);
  const test::Receiver here(*conduit);
  CHECK(send(*conduit, "x", udp("a.test", 53)));
  sim.run_ready();
  CHECK(here.state->calls == 0);
  conduit.reset();
  sim.run_ready();
  CHECK(here.error() == Errc::kAborted);
}

}  // namespace
}  // namespace winze::node
