#include "winze/proto/esp/replay_window.h"

#include <doctest/doctest.h>

#include <set>

#include "winze/base/random.h"

namespace winze::esp {
namespace {

using Verdict = ReplayWindow::Verdict;

TEST_CASE("replay window: edges at every size") {
  for (const std::uint32_t size : {1u, 2u, 63u, 64u, 65u, 128u, 1000u, 1024u, 16384u}) {
    CAPTURE(size);
    for (const std::uint64_t top : {std::uint64_t{size}, std::uint64_t{100000}, (std::uint64_t{1} << 31) + 5,
                                    (std::uint64_t{1} << 32) - 1, (std::uint64_t{1} << 32) + 3}) {
      ReplayWindow window(size);
      CHECK(window.accept(top));
      CHECK(window.check(top) == Verdict::kReplayed);
      CHECK(window.check(top + 1) == Verdict::kNew);
      CHECK(window.check(top - size) == Verdict::kTooOld);
      if (size == 1) continue;
      CHECK(window.check(top - size + 1) == Verdict::kNew);
      CHECK_FALSE(window.accept(top - size + 1));
      CHECK(window.check(top - size + 1) == Verdict::kReplayed);
      // One step on, the lowest falls out, and the next is still new.
      CHECK(window.accept(top + 1));
      CHECK(window.check(top - size + 1) == Verdict::kTooOld);
      CHECK(window.check(top) == Verdict::kReplayed);
      if (size > 2) CHECK(window.check(top - size + 2) == Verdict::kNew);
    }
  }
}

TEST_CASE("replay window: agrees with a set, in any order") {
  SeededRandom random(7);
  for (const std::uint32_t size : {1u, 64u, 100u, 1024u}) {
    ReplayWindow window(size);
    std::set<std::uint64_t> seen;
    std::uint64_t top = 0;
    for (int i = 0; i < 20000; ++i) {
      // Mostly near the top, at times far ahead.
      const std::uint64_t base = top > 2 * size ? top - 2 * size : 0;
      std::uint64_t n = base + 1 + random.below(3 * size + 3);
      if (random.below(500) == 0) n += random.below(8 * size + 200);
      const Verdict expected = n > top            ? Verdict::kNew
                               : top - n >= size  ? Verdict::kTooOld
                               : seen.contains(n) ? Verdict::kReplayed
                                                  : Verdict::kNew;
      REQUIRE(window.check(n) == expected);
      if (expected != Verdict::kNew) continue;
      seen.insert(n);
      CHECK(window.accept(n) == (n > top));
      top = std::max(top, n);
    }
    CHECK(window.top() == top);
  }
}

TEST_CASE("replay window: size 0 protects from nothing") {
  ReplayWindow window(0);
  window.accept(9);
  CHECK(window.check(9) == Verdict::kNew);
  CHECK(window.check(1) == Verdict::kNew);
}

TEST_CASE("replay window: all up to a restored top counts as seen") {
  for (const std::uint64_t top : {1u, 63u, 64u, 127u, 1000u}) {
    ReplayWindow window(128, top);
    for (std::uint64_t n = 1; n <= top; ++n) REQUIRE(window.check(n) != Verdict::kNew);
    for (std::uint64_t n = top + 1; n < top + 400; ++n) {
      REQUIRE(window.check(n) == Verdict::kNew);
      window.accept(n);
    }
  }
}

TEST_CASE("replay window: inference of the high half (RFC 4303 A2.2)") {
  struct Row {
    std::uint64_t top;
    std::uint32_t low;
    std::uint64_t expected;
  };
  constexpr std::uint64_t k32 = std::uint64_t{1} << 32;
  for (const Row& row : {
           Row{0, 1, 1},
           Row{0, 0xffffffff, 0},                 // before the first
           Row{62, 0xffffffff, 0},                //
           Row{63, 0xfffffff0, 0xfffffff0},       // the window no longer reaches below
           Row{1000, 937, 937},                   // the lowest in the window
           Row{1000, 936, k32 + 936},             // below it: taken to be of the next subspace
           Row{k32 - 1, 0, k32},                  // wraps
           Row{k32 - 1, 0xffffffc0, 0xffffffc0},  //
           Row{k32 - 1, 0xffffffbf, k32 + 0xffffffbf},
           Row{k32 + 5, 0xfffffffe, k32 - 2},  // late, from before the wrap
           Row{k32 + 5, 6, k32 + 6},
           Row{k32 + 5, 0xffffffc6, k32 - 58},  // the lowest in the window, across the wrap
           Row{k32 + 5, 0xffffffc5, k32 + 0xffffffc5},
           Row{3 * k32 + 70, 3, 4 * k32 + 3},
       }) {
    CAPTURE(row.top);
    CAPTURE(row.low);
    ReplayWindow window(64, row.top);
    CHECK(window.infer(row.low) == row.expected);
  }
}

}  // namespace
}  // namespace winze::esp
