#include "winze/proto/ip/policy_table.h"

#include <doctest/doctest.h>

#include <string>

#include "winze/base/random.h"

namespace winze::ip {
namespace {

Selector of(const std::string& text) {
  const auto selector = Selector::parse(text);
  REQUIRE_MESSAGE(selector, text);
  return *selector;
}
SelectorPair pair(const std::string& local, const std::string& remote) {
  return {.local = {of(local)}, .remote = {of(remote)}};
}
Flow flow(const char* source, const char* destination, std::uint8_t protocol = kUdp, std::uint16_t source_port = 1000,
          std::uint16_t destination_port = 2000) {
  return {.source = *IpAddress::parse(source),
          .destination = *IpAddress::parse(destination),
          .protocol = protocol,
          .ports_known = true,
          .source_port = source_port,
          .destination_port = destination_port};
}

TEST_CASE("policies: the first that covers a packet") {
  PolicyTable<int> table;
  CHECK(table.empty());
  CHECK_FALSE(table.find_outbound(flow("10.0.0.1", "10.1.0.1")));
  table.add(pair("10.0.0.0/8", "0.0.0.0/0"), 10, 1);
  const SelectorPair narrow = pair("10.0.0.0/8", "10.1.0.0/16[udp/2000]");
  const auto narrow_id = table.add(narrow, 5, 2);
  table.add(pair("10.0.0.0/8", "10.1.0.7"), 20, 3);
  table.add(pair("::/0", "2001:db8::5-2001:db8::9"), 5, 4);
  table.add(pair("10.0.0.0/8[tcp]", "10.1.0.0/16[0/80-90]"), 1, 5);
  CHECK(table.find_outbound(flow("10.0.0.1", "10.1.0.7")) == 2);
  CHECK(table.find_outbound(flow("10.0.0.1", "10.1.0.7", kTcp)) == 1);
  CHECK(table.find_outbound(flow("10.0.0.1", "10.1.0.7", kTcp, 1, 85)) == 5);
  CHECK(table.find_outbound(flow("10.0.0.1", "10.1.0.7", kUdp, 1, 85)) == 1);
  CHECK(table.find_outbound(flow("2001:db8:1::1", "2001:db8::6")) == 4);
  CHECK_FALSE(table.find_outbound(flow("2001:db8:1::1", "2001:db8::4")));
  CHECK_FALSE(table.find_outbound(flow("11.0.0.1", "10.1.0.7")));
  Flow later = flow("10.0.0.1", "10.1.0.7");
  later.ports_known = false;
  CHECK(table.find_outbound(later) == 1);
  table.remove(narrow_id, narrow);
  CHECK(table.find_outbound(flow("10.0.0.1", "10.1.0.7")) == 1);
}

// Against a scan from first to last, with random policies of every shape.
TEST_CASE("policies: as a scan would find them") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const auto pick = [&](std::uint32_t n) {
      std::uint8_t bytes[4];
      random.fill(bytes);
      return load_u32(bytes) % n;
    };
    const auto address = [&](bool v6) {
      return v6 ? "2001:db8::" + std::to_string(pick(16)) + ":" + std::to_string(pick(16))
                : "10." + std::to_string(pick(4)) + "." + std::to_string(pick(4)) + "." + std::to_string(pick(16));
    };
    const auto selector = [&](bool v6) {
      std::string text = address(v6);
      if (pick(3) != 0) text += "/" + std::to_string(v6 ? 90 + pick(38) : 8 + pick(25));
      Selector s = of(text);
      if (pick(4) == 0) s.last = std::max(s.first, of(address(v6)).first);
      if (pick(2) == 0) s.protocol = pick(2) == 0 ? kTcp : kUdp;
      if (pick(3) == 0) s.first_port = s.last_port = static_cast<std::uint16_t>(pick(4));
      if (pick(6) == 0) s.last_port = static_cast<std::uint16_t>(s.first_port + pick(3));
      return s;
    };
    struct Policy {
      std::uint32_t order;
      SelectorPair selectors;
      PolicyTable<std::size_t>::Id id;
      bool gone = false;
    };
    PolicyTable<std::size_t> table;
    std::vector<Policy> policies;
    for (std::size_t i = 0; i < 60; ++i) {
      const bool v6 = pick(3) == 0;
      Policy p{.order = pick(5), .selectors = {.local = {selector(v6)}, .remote = {selector(v6)}}, .id = 0};
      if (pick(4) == 0) p.selectors.remote.push_back(selector(v6));
      p.id = table.add(p.selectors, p.order, i);
      policies.push_back(std::move(p));
    }
    for (std::size_t i = 0; i < 20; ++i) {
      Policy& p = policies[pick(60)];
      if (!std::exchange(p.gone, true)) table.remove(p.id, p.selectors);
    }
    std::size_t hits = 0;
    for (int i = 0; i < 3000; ++i) {
      const bool v6 = pick(3) == 0;
      Flow f = flow(address(v6).c_str(), address(v6).c_str(), pick(2) == 0 ? kTcp : kUdp,
                    static_cast<std::uint16_t>(pick(5)), static_cast<std::uint16_t>(pick(5)));
      f.ports_known = pick(5) != 0;
      std::optional<std::size_t> expected;
      for (std::size_t k = 0; k < policies.size(); ++k) {
        if (policies[k].gone || !policies[k].selectors.covers_outbound(f)) continue;
        if (!expected || policies[k].order < policies[*expected].order) expected = k;
      }
      REQUIRE(table.find_outbound(f) == expected);
      hits += expected.has_value();
    }
    CHECK(hits > 50);
  }
}

}  // namespace
}  // namespace winze::ip
