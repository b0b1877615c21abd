// What one source, or one peer, can cost.
#include <doctest/doctest.h>

#include <string>

#include "support/ike_rogue.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

IpAddress ip(std::string_view text) { return *IpAddress::parse(text); }

// Clients that get no further than IKE_SA_INIT.
struct Crowd {
  explicit Crowd(EngineOptions for_b = {}) : pair(81, {}, std::move(for_b)) {
    pair.b.engine.set_connections({IkePair::share(IkePair::connection(false))});
    pair.bend = [](bool, const Buffer& message) { return IkePair::Fate{message.data()[18] == 35 ? 0u : 1u}; };
  }
  void come(int times, std::string_view from) {
    Connection patient = IkePair::connection(true);
    patient.retransmission.first = 1000s;
    for (int i = 0; i < times; ++i) {
      Route route{.first = pair.route().first, .floated = std::nullopt};
      route.first.local = {ip(from), static_cast<std::uint16_t>(1000 + i)};
      pair.a.engine.initiate(pair.now, IkePair::share(patient), route);
      pair.run(100ms);
    }
  }
  std::size_t half_open() const { return pair.b.engine.half_open(); }
  const Counters& counters() const { return pair.b.engine.counters(); }
  IkePair pair;
};

TEST_CASE("security: one source has few IKE SAs half open, and others are not kept out by it") {
  Crowd crowd;
  crowd.come(20, "192.0.2.77");
  CHECK(crowd.half_open() == 5);
  CHECK(crowd.counters().cookies_sent == 17);
  CHECK(crowd.counters().over_source_limit == 15);
  CHECK(crowd.counters().over_limit == 15);
  crowd.come(1, "192.0.2.78");
  CHECK(crowd.half_open() == 6);
  // They go by themselves, and then there is room again.
  crowd.pair.run(31s);
  CHECK(crowd.half_open() == 0);
  crowd.come(5, "192.0.2.77");
  CHECK(crowd.half_open() == 5);
  crowd.pair.bend = nullptr;
  crowd.come(1, "192.0.2.79");
  CHECK(crowd.pair.b.count<Up>() == 1);
}

TEST_CASE("security: a source of IPv6 is a network of 64 bits") {
  Crowd crowd;
  for (int i = 1; i < 10; ++i) crowd.come(1, "2001:db8:1:1::" + std::to_string(i));
  CHECK(crowd.half_open() == 5);
  crowd.come(1, "2001:db8:1:2::1");
  CHECK(crowd.half_open() == 6);
}

TEST_CASE("security: who forges a source keeps its owner out of nothing") {
  Crowd crowd;
  const auto forged = [](const Path& path) { return path.remote.port < 1000 || path.remote.port > 1900; };
  crowd.pair.open = forged;
  crowd.come(50, "192.0.2.77");
  CHECK(crowd.half_open() == 3);
  CHECK(crowd.counters().over_source_limit == 0);
  crowd.pair.open = nullptr;
  crowd.pair.bend = nullptr;
  crowd.come(1, "192.0.2.77");
  CHECK(crowd.pair.b.count<Up>() == 1);
}

TEST_CASE("security: a source without a limit") {
  EngineOptions open;
  open.source_cookie_threshold = open.source_half_open_limit = 0;
  Crowd crowd(std::move(open));
  crowd.come(20, "192.0.2.77");
  CHECK(crowd.half_open() == 20);
  CHECK(crowd.counters().cookies_sent == 0);
}

TEST_CASE("security: fragments of those who have proved nothing have a bound of their own, all together") {
  test::RogueKeys keys;
  EngineOptions options;
  options.key_log = [&](std::string_view line) { keys.take(line); };
  options.half_open_reassembly_limit = 5000;
  options.source_half_open_limit = 0;
  IkePair pair(82, {}, std::move(options));
  Connection a = IkePair::connection(true), b = IkePair::connection(false);
  a.proposals = b.proposals = *parse_proposals(Protocol::kIke, test::kRogueProposal);
  SeededRandom random(5);
  const auto& counters = pair.b.engine.counters();
  // Each of them sends some fragments, and never the last.
  for (unsigned peer = 0; peer < 3; ++peer) {
    CAPTURE(peer);
    pair.bend = [n = 0](bool, const Buffer&) mutable { return IkePair::Fate{n++ < 2 ? 1u : 0u}; };
    pair.connect(IkePair::share(a), IkePair::share(b));
    REQUIRE(pair.b.engine.half_open() == peer + 1);
    const std::uint64_t dropped = counters.fragments_dropped;
    for (std::uint16_t i = 1; i <= 4; ++i) {
      test::bring(pair, false,
                  keys.seal(random, Exchange::kAuth, true, false, 1, PayloadType::kNotify,
                            std::vector<std::uint8_t>(1000), FragmentNumber{i, 5}));
    }
    CHECK(counters.fragments_dropped - dropped == (peer == 0 ? 0 : peer == 1 ? 3 : 4));
  }
  // With the SAs their fragments go.
  pair.run(31s);
  CHECK(pair.b.engine.half_open() == 0);
  pair.bend = nullptr;
  a.fragment_size = 300;
  pair.connect(IkePair::share(a), IkePair::share(b));
  CHECK(counters.fragments_dropped == 7);
  CHECK(pair.b.count<Up>() == 1);
}

}  // namespace
}  // namespace winze::ike
