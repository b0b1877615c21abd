#include "winze/proto/shadowsocks/salts.h"

#include <doctest/doctest.h>

#include "winze/base/bytes.h"
#include "winze/base/random.h"

namespace winze::shadowsocks {
namespace {

std::array<std::uint8_t, 32> salt(std::uint64_t number) {
  std::array<std::uint8_t, 32> out{};
  store_u64(out.data() + 8, number);
  return out;
}

TEST_CASE("shadowsocks salts: two generations by number") {
  SaltPool pool({.count = 100});
  for (std::uint64_t i = 0; i < 150; ++i) CHECK(pool.add(salt(i), 0));
  for (std::uint64_t i = 0; i < 150; ++i) CHECK_FALSE(pool.add(salt(i), 0));
  for (std::uint64_t i = 150; i < 250; ++i) CHECK(pool.add(salt(i), 0));
  // The first hundred have been forgotten by now; the bound holds.
  CHECK(pool.size() <= 200);
  CHECK(pool.add(salt(0), 0));
  CHECK_FALSE(pool.add(salt(249), 0));
}

TEST_CASE("shadowsocks salts: at least their age by time, and not twice as long for ever") {
  SaltPool pool(kTimedSalts);
  CHECK(pool.add(salt(1), 1000));
  CHECK(pool.add(salt(2), 1059));
  CHECK_FALSE(pool.add(salt(1), 1060));
  CHECK_FALSE(pool.add(salt(2), 1118));
  CHECK(pool.size() == 2);
  CHECK(pool.add(salt(3), 1200));
  CHECK(pool.size() == 1);
  // A clock that is set back forgets nothing.
  CHECK_FALSE(pool.add(salt(3), 100));
}

TEST_CASE("shadowsocks salts: dumped and loaded; of what is no whole dump what can be read") {
  SaltPool pool({.count = 100});
  for (std::uint64_t i = 0; i < 150; ++i) pool.add(salt(i), 7);
  const auto dump = pool.dump();
  SaltPool loaded({.count = 100});
  CHECK(loaded.load(dump, 7));
  CHECK(loaded.size() == 150);
  for (std::uint64_t i = 0; i < 150; ++i) CHECK_FALSE(loaded.add(salt(i), 7));
  for (std::size_t size = 0; size < dump.size(); size += 13) {
    SaltPool part;
    CHECK_FALSE(part.load(std::span(dump).first(size), 7));
    CHECK(part.size() <= 150);
  }
  // Those behind it.
  auto file = dump;
  for (std::uint64_t i = 150; i < 170; ++i) {
    const auto later = SaltPool::later(salt(i), 7);
    file.insert(file.end(), later.begin(), later.end());
  }
  for (std::size_t cut : {0, 1, 23}) {
    SaltPool more({.count = 100});
    CHECK(more.load(std::span(file).first(file.size() - cut), 7));
    CHECK(more.size() == (cut == 0 ? 170 : 169));
    CHECK_FALSE(more.add(salt(168), 7));
    CHECK(more.add(salt(169), 7) == (cut != 0));
  }
  // Times to come are those of a clock that was wrong.
  SaltPool timed(kTimedSalts), later(kTimedSalts);
  timed.add(salt(1), 1'000'000);
  CHECK(later.load(timed.dump(), 1000));
  CHECK_FALSE(later.add(salt(1), 1001));
  CHECK(later.add(salt(2), 1200));
  CHECK(later.size() == 1);
}

TEST_CASE("shadowsocks salts: a later one is as old as it is, however old the dump before it") {
  SaltPool pool(kTimedSalts), loaded(kTimedSalts);
  pool.add(salt(1), 1000);
  auto file = pool.dump();
  const auto later = SaltPool::later(salt(2), 1120);
  file.insert(file.end(), later.begin(), later.end());
  CHECK(loaded.load(file, 1122));
  CHECK_FALSE(loaded.add(salt(2), 1122));
  CHECK(loaded.add(salt(1), 1122));
}

TEST_CASE("shadowsocks salts: a window forgets the oldest, as seldom as it says") {
  constexpr std::size_t kLines = 1024;
  SaltWindow window(kLines);
  SeededRandom random(1);
  std::vector<std::array<std::uint8_t, 32>> salts(16 * kLines);
  for (auto& salt : salts) {
    random.fill(salt);
    CHECK(window.add(salt, 0));
    CHECK_FALSE(window.add(salt, 0));
  }
  // Asking for one that is forgotten brings it back; a copy is asked each time.
  const auto forgotten = [&](std::size_t from, std::size_t to) {
    SaltWindow copy = window;
    std::size_t count = 0;
    for (std::size_t i = from; i < to; ++i) count += copy.add(salts[salts.size() - to + i - from], 0);
    return count;
  };
  CHECK(forgotten(0, kLines) <= 1);
  CHECK(forgotten(kLines, 2 * kLines) <= 8);
  // The bound: eight a line.
  CHECK(forgotten(8 * kLines, 16 * kLines) > 7 * kLines);
}

}  // namespace
}  // namespace winze::shadowsocks
