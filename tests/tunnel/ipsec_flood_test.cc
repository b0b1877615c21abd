// A flood of first requests through a gateway's sockets: from many addresses of loopback, which is all this host's.
#include <doctest/doctest.h>

#include <asio/ip/udp.hpp>
#include <string>

#include "support/ike_first_request.h"
#include "support/ipsec_world.h"

namespace winze::tunnel {
namespace {

using namespace std::chrono_literals;
using test::ip;
using test::Pair;
using test::Site;

TEST_CASE(
    "security: a flood through sockets costs a gateway no more than its limits; tunnels and clients do not mind") {
  Pair world;
  Site& early = world.add_client();
  REQUIRE(early.host->connect(Pair::client_connection("early.test"), world.at()).ok());
  REQUIRE(world.until([&] { return !early.children.empty() && !world.gateway->children.empty(); }));
  world.exchange(early);

  const ike::EngineOptions defaults;
  const ike::Counters& counters = world.gateway->host->ike_counters();
  SeededRandom random(1);
  std::uint64_t sent = 0;
  std::size_t others = 0;
  // In waves, for a socket's buffer holds no more; as many as it takes.
  const auto wave = [&] {
    for (int i = 0; i < 40; ++i) {
      asio::ip::udp::socket socket(world.context, asio::ip::udp::v4());
      const auto number = static_cast<std::uint32_t>(++others);
      socket.bind({asio::ip::address_v4(0x7f100000u + number), 0});
      Buffer message = test::first_request(random, ike::default_proposals(ike::Protocol::kIke), 31);
      store_u32(message.prepend(4), 0);
      const Endpoint at = world.at();
      socket.send_to(asio::buffer(message.data(), message.size()), {asio::ip::make_address("127.0.0.1"), at.port});
      ++sent;
    }
    const std::uint64_t before = counters.received;
    CHECK(world.until([&] { return counters.received >= before + 20; }));
  };
  while (counters.cookies_sent < 200 && sent < 4000) wave();
  REQUIRE(counters.cookies_sent >= 200);
  CHECK(counters.accepted == 1);
  CHECK(world.gateway->ups.size() == 1);

  // In the middle of it.
  for (int i = 0; i < 3; ++i) {
    Site& late = world.add_client();
    REQUIRE(late.host->connect(Pair::client_connection("late" + std::to_string(i) + ".test"), world.at()).ok());
    wave();
    REQUIRE(world.until([&] {
      wave();
      return !late.children.empty();
    }));
    CHECK(late.ups.size() == 1);
    world.exchange(early);
    world.exchange(late);
  }
  CHECK(early.host->rekey_child(early.children[0].child));
  wave();
  REQUIRE(world.until([&] { return early.outbound == 1 && world.gateway->outbound == 1; }));
  world.exchange(early);
  CHECK(world.gateway->host->sas().size() == 4);
  CHECK(counters.accepted == 4);
  // What was kept for strangers: never more than the threshold, each of which has had one answer.
  CHECK(counters.received >= counters.cookies_sent);
  CHECK(counters.sent <= counters.received);
  CHECK(early.closed.empty());
}

}  // namespace
}  // namespace winze::tunnel
