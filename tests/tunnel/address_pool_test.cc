#include "winze/tunnel/address_pool.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <set>
#include <string>

namespace winze::tunnel {
namespace {

AddressPool pool(std::string_view text) {
  auto out = AddressPool::parse(text);
  REQUIRE_MESSAGE(out.ok(), out.status().ToString());
  return std::move(*out);
}

IpAddress ip(std::string_view text) { return *IpAddress::parse(text); }

TEST_CASE("what a pool's text stands for") {
  const struct {
    std::string_view text, first, last;
    std::uint64_t size;
  } kCases[] = {
      {"10.3.0.0/30", "10.3.0.1", "10.3.0.2", 2},
      {"10.3.0.10/28", "10.3.0.10", "10.3.0.14", 5},
      {"10.3.0.7/32", "10.3.0.7", "10.3.0.7", 1},
      {"10.3.0.6/31", "10.3.0.6", "10.3.0.7", 2},
      {"10.3.0.254-10.3.1.1", "10.3.0.254", "10.3.1.1", 4},
      {"fd03::fe/120", "fd03::fe", "fd03::ff", 2},
      {"fd03::/126", "fd03::1", "fd03::3", 3},
      {"fd03::1-fd03::3", "fd03::1", "fd03::3", 3},
  };
  for (const auto& c : kCases) {
    CAPTURE(c.text);
    AddressPool p = pool(c.text);
    CHECK(p.size() == c.size);
    std::optional<IpAddress> last;
    for (std::uint64_t i = 0; i < c.size; ++i) {
      last = p.take("a" + std::to_string(i));
      REQUIRE(last);
      if (i == 0) CHECK(*last == ip(c.first));
    }
    CHECK(*last == ip(c.last));
    CHECK_FALSE(p.take("one more"));
    CHECK(p.taken() == c.size);
  }
  CHECK(pool("10.0.0.0/8").size() == (1u << 24) - 2);
  CHECK(pool("fd03::/64").size() == (std::uint64_t{1} << 63) - 1);
}

TEST_CASE("what no pool is") {
  for (std::string_view text : {"", "10.3.0.0/33", "pool", "10.3.0.9-10.3.0.1", "10.3.0.1-fd03::1", "10.3.0.255/24",
                                "fd03::-fd04::", "10.3.0.1-"}) {
    CAPTURE(text);
    CHECK_FALSE(AddressPool::parse(text).ok());
  }
}

TEST_CASE("who comes back gets the same") {
  AddressPool p = pool("10.3.0.0/29");
  const IpAddress alice = *p.take("alice"), bob = *p.take("bob"), alice2 = *p.take("alice");
  CHECK(alice != alice2);
  p.give_back(alice);
  p.give_back(bob);
  p.give_back(bob);  // twice
  CHECK(p.taken() == 1);
  CHECK(*p.take("carol") != bob);
  CHECK(*p.take("alice") == alice);
  CHECK(*p.take("bob") == bob);
  p.give_back(alice);
  p.give_back(alice2);
  CHECK(*p.take("alice", alice) == alice);
  CHECK(*p.take("alice", ip("10.3.0.6")) == alice2);  // a wish for what was never theirs
  p.give_back(ip("192.0.2.1"));
  p.give_back(ip("fd03::1"));
  CHECK(p.taken() == 4);
}

TEST_CASE("a wish is granted where it is nobody's") {
  AddressPool p = pool("10.3.0.0/29");
  CHECK(*p.take("a", ip("10.3.0.3")) == ip("10.3.0.3"));
  CHECK(*p.take("b", ip("10.3.0.3")) == ip("10.3.0.1"));
  CHECK(*p.take("c", ip("0.0.0.0")) == ip("10.3.0.2"));
  CHECK(*p.take("d", ip("10.4.0.1")) == ip("10.3.0.4"));
  p.give_back(ip("10.3.0.3"));
  CHECK(*p.take("e", ip("10.3.0.3")) == ip("10.3.0.5"));  // it waits for who had it
  CHECK(*p.take("a") == ip("10.3.0.3"));
  CHECK(*p.take("f") == ip("10.3.0.6"));
  CHECK_FALSE(p.take("g", ip("10.3.0.6")));
}

TEST_CASE("when all have been given, the one that is free longest is next") {
  AddressPool p = pool("10.3.0.1-10.3.0.3");
  const IpAddress a = *p.take("a"), b = *p.take("b");
  (void)p.take("c");
  p.give_back(b);
  p.give_back(a);
  CHECK(*p.take("d") == b);
  CHECK(*p.take("a") == a);
  CHECK_FALSE(p.take("b"));
}

TEST_CASE("memory is bounded by what is remembered") {
  AddressPool p = pool("fd03::/64");
  std::set<IpAddress> seen;
  for (std::size_t i = 0; i < AddressPool::kRemembered + 100; ++i) {
    const IpAddress address = *p.take(std::to_string(i));
    seen.insert(address);
    p.give_back(address);
  }
  CHECK(p.taken() == 0);
  CHECK(seen.size() == AddressPool::kRemembered + 1);  // those forgotten are given again before fresh ones
}

TEST_CASE("no address is given twice, whatever happens") {
  std::mt19937 random(7);
  for (const char* text : {"10.3.0.0/28", "fd03::/123"}) {
    AddressPool p = pool(text);
    std::map<IpAddress, std::string> held;
    for (int i = 0; i < 20000; ++i) {
      const std::string who = std::to_string(random() % 40);
      if (random() % 2 == 0) {
        const auto wish =
            p.is_v6() ? ip("fd03::" + std::to_string(random() % 64)) : ip("10.3.0." + std::to_string(random() % 20));
        const auto got = random() % 3 == 0 ? p.take(who, wish) : p.take(who);
        CHECK(got.has_value() == (held.size() < p.size()));
        if (got) REQUIRE(held.emplace(*got, who).second);
      } else if (!held.empty()) {
        const auto out = std::next(held.begin(), static_cast<long>(random() % held.size()));
        p.give_back(out->first);
        held.erase(out);
      }
      REQUIRE(p.taken() == held.size());
    }
  }
}

}  // namespace
}  // namespace winze::tunnel
