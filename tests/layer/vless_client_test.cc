// What VLESS's client layer does besides its codec.
#include <doctest/doctest.h>

#include "support/fake_dialer.h"
#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/layer/client.h"

namespace winze::vless {
namespace {

TEST_CASE("vless: with the flow xtls-rprx-vision UDP to port 443 is refused, unless it is asked for") {
  for (const bool vision : {false, true}) {
    for (const bool quic : {false, true}) {
      CAPTURE(vision);
      CAPTURE(quic);
      const bool taken = !vision || quic;
      test::Simulator sim(1);
      const auto below = std::make_shared<test::FakeDialer>(sim.environment());
      const DialerPtr dialer = client(Uuid(), vision ? Flow::kVision : Flow::kNone, quic)(sim.environment(), below);
      ConduitPtr everyones;
      std::error_code result;
      const Pending for_all = dialer->open_conduit(
          everyone(), [&](std::error_code, ConduitPtr conduit) { everyones = std::move(conduit); });
      const Pending one = dialer->open_conduit(Destination("a.test", 443, Network::kUdp),
                                               [&](std::error_code error, ConduitPtr) { result = error; });
      sim.run_ready();
      REQUIRE(everyones);
      CHECK(result == (taken ? std::error_code() : winze::Errc::kRefusedPolicy));
      CHECK(below->dials.size() == (taken ? 1 : 0));
      CHECK(test::send(*everyones, "quic", Destination("b.test", 443, Network::kUdp)) == taken);
      CHECK(everyones->dropped() == (taken ? 0 : 1));
      CHECK(test::send(*everyones, "dns", Destination("b.test", 53, Network::kUdp)));
      CHECK(below->dials.size() == (taken ? 3 : 1));
    }
  }
}

}  // namespace
}  // namespace winze::vless
