// What a VMess server knows and remembers: its users, and what it has seen.
#include <doctest/doctest.h>

#include "proto/vmess/auth_id.h"
#include "winze/proto/vmess/replay.h"
#include "winze/proto/vmess/users.h"

namespace winze::vmess {
namespace {

Uuid numbered(std::uint8_t n) {
  Uuid id;
  id.bytes[0] = n;
  return id;
}

TEST_CASE("vmess users: found by what only their key makes, while the clocks agree") {
  UserTable table;
  for (std::uint8_t n = 1; n <= 200; ++n) {
    CHECK(table.add(numbered(n), {.name = std::to_string(n), .level = n}));
  }
  CHECK_FALSE(table.add(numbered(7), {.name = "again"}));
  SeededRandom random(1);
  for (const std::uint8_t n : {1, 77, 200}) {
    const AuthId id = make_auth_id(UserKeys(numbered(n)).auth, 1000, random);
    for (const auto& [now, timely] : {std::pair{UnixTime{1000}, true},
                                      {UnixTime{1120}, true},
                                      {UnixTime{1121}, false},
                                      {UnixTime{880}, true},
                                      {UnixTime{879}, false}}) {
      const UserTable::Match match = table.find(id, now);
      REQUIRE(match.user != nullptr);
      CHECK(match.user->id == numbered(n));
      CHECK(match.user->account.level == n);
      CHECK(match.timely == timely);
    }
  }
  const AuthId stranger = make_auth_id(UserKeys(numbered(0)).auth, 1000, random);
  CHECK(table.find(stranger, 1000).user == nullptr);
  const AuthId known = make_auth_id(UserKeys(numbered(77)).auth, 1000, random);
  CHECK(table.remove("77"));
  CHECK_FALSE(table.remove("77"));
  CHECK(table.find(known, 1000).user == nullptr);
  CHECK(table.remove(numbered(78)));
  CHECK_FALSE(table.remove(numbered(78)));
  CHECK(table.users().size() == 198);
}

TEST_CASE("vmess users: times before 1970 and at the end of all time are refused") {
  UserTable table;
  table.add(numbered(1), {.name = "a"});
  SeededRandom random(1);
  const UserKeys keys(numbered(1));
  for (const UnixTime time : {UnixTime{-1}, UnixTime{INT64_MIN}, UnixTime{INT64_MAX}}) {
    const UserTable::Match match = table.find(make_auth_id(keys.auth, time, random), 10);
    REQUIRE(match.user != nullptr);
    CHECK_FALSE(match.timely);
  }
}

TEST_CASE("vmess replays: remembered for the window, and no longer than two") {
  RecentSet set(240);
  CHECK(set.insert(1, 1000));
  CHECK_FALSE(set.insert(1, 1000));
  CHECK_FALSE(set.insert(1, 1239));
  CHECK(set.insert(2, 1239));
  CHECK_FALSE(set.insert(1, 1240));
  CHECK_FALSE(set.insert(2, 1478));
  CHECK(set.insert(3, 1480));
  CHECK(set.insert(1, 1480));
  CHECK(set.insert(3, 3000));
}

TEST_CASE("vmess replays: a clock that jumps does not make the set forget early") {
  RecentSet set(240);
  CHECK(set.insert(1, 1000));
  CHECK_FALSE(set.insert(1, 500));
  CHECK(set.insert(2, 500));
  CHECK_FALSE(set.insert(2, 739));
  CHECK_FALSE(set.insert(1, 739));
}

TEST_CASE("vmess replays: memory is bounded") {
  RecentSet set(240, 100);
  for (std::uint64_t i = 0; i < 1000; ++i) CHECK(set.insert(i, 1000));
  CHECK_FALSE(set.insert(999, 1000));
  CHECK_FALSE(set.insert(901, 1000));
  CHECK(set.insert(0, 1000));  // long gone
}

TEST_CASE("vmess replays: of authentication ids and of sessions") {
  Replays replays;
  const std::array<std::uint8_t, 16> a{1}, b{2};
  CHECK(replays.first_auth_id(a, 0));
  CHECK(replays.first_auth_id(b, 0));
  CHECK_FALSE(replays.first_auth_id(a, 239));
  CHECK(replays.first_session(numbered(1), a, b, 0));
  CHECK(replays.first_session(numbered(2), a, b, 0));
  CHECK(replays.first_session(numbered(1), b, a, 0));
  CHECK_FALSE(replays.first_session(numbered(1), a, b, 179));
}

}  // namespace
}  // namespace winze::vmess
