// What is not authentic changes nothing: no address, no window, no timer, at either end, in any exchange.
#include <doctest/doctest.h>

#include <string_view>
#include <vector>

#include "support/ike_impostor.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;
using test::Impostor;

Connection watchful(bool of_a) {
  Connection c = test::open_book(of_a);
  c.dpd_delay = 30s;
  return c;
}

// What could be moved.
struct Look {
  TimePoint deadline;
  std::size_t size, events;
  std::optional<Path> path;
  std::size_t children;

  static Look of(Impostor& world) {
    const test::IkeEnd& end = world.attacked();
    const auto info = end.engine.info(world.sa());
    return {end.engine.deadline(), end.engine.size(), end.events.size(),
            info ? std::optional(info->path) : std::nullopt, info ? info->children.size() : 0};
  }
  friend bool operator==(const Look&, const Look&) = default;
};

std::uint64_t dropped(const Counters& c) { return c.bad_integrity + c.malformed + c.out_of_window + c.unknown_sa; }

TEST_CASE("security: nothing before the integrity check changes anything, with a probe armed, at both ends") {
  struct Row {
    std::string_view name;
    Exchange exchange;
    bool response;
    bool fragment;
  };
  for (const Row& row : {
           Row{"INFORMATIONAL", Exchange::kInformational, false, false},
           Row{"INFORMATIONAL in a fragment", Exchange::kInformational, false, true},
           Row{"CREATE_CHILD_SA", Exchange::kCreateChild, false, false},
           Row{"IKE_AUTH", Exchange::kAuth, false, false},
           Row{"IKE_INTERMEDIATE", Exchange::kIntermediate, false, false},
           Row{"IKE_FOLLOWUP_KE", Exchange::kFollowUp, false, false},
           Row{"an answer to CREATE_CHILD_SA", Exchange::kCreateChild, true, false},
           Row{"an answer to INFORMATIONAL", Exchange::kInformational, true, false},
       }) {
    for (const bool at_a : {true, false}) {
      CAPTURE(row.name);
      CAPTURE(at_a);
      Impostor world(61, at_a, watchful(true), watchful(false));
      IkePair& pair = world.pair;
      test::IkeEnd& end = world.attacked();
      std::uint32_t id = world.next;
      if (row.response) {
        // Something waits for its answer.
        id = at_a ? 2 : 0;
        if (row.exchange == Exchange::kCreateChild) {
          REQUIRE(end.engine.rekey_child(pair.now, end.children.begin()->first));
        } else {
          REQUIRE(end.engine.delete_child(pair.now, end.children.begin()->first));
        }
      }
      (void)test::overhear(end);
      const Look before = Look::of(world);
      // Later, so that a timer that is set anew shows.
      pair.now += 1s;
      const std::uint64_t already = dropped(end.engine.counters());
      const Path elsewhere{end.floated, {*IpAddress::parse("203.0.113.66"), 4500}, 7, true, false};
      const auto message = [&] {
        const test::Said said = test::said([](PayloadWriter& out) { write_delete_ike(out); });
        std::optional<FragmentNumber> number;
        if (row.fragment) number = FragmentNumber{1, 1};
        return world.keys.seal(world.random, row.exchange, world.as_initiator, row.response, id, said.first, said.bytes,
                               number);
      };
      const std::size_t size = message().size();
      std::uint64_t sent = 0;
      // Every byte of the message, header and all; behind the marker.
      for (std::size_t at = 4; at < size; ++at) {
        // Who is meant, an exchange of a stranger, a version: none of them is of this IKE SA.
        if (at == 4 + 17 || at == 4 + 18) continue;
        Buffer bent = message();
        bent.data()[at] ^= static_cast<std::uint8_t>(1 + at % 7);
        end.engine.receive(pair.now, elsewhere, std::move(bent));
        ++sent;
        // And cut short there.
        Buffer cut = message();
        cut.trim_back(size - at);
        end.engine.receive(pair.now, elsewhere, std::move(cut));
        ++sent;
      }
      CHECK(dropped(end.engine.counters()) - already == sent);
      CHECK(end.engine.counters().bad_integrity > 20);
      CHECK(Look::of(world) == before);
      CHECK(test::overhear(end).empty());
      // The right one is still taken: no window has moved.
      if (row.response || row.fragment || row.exchange != Exchange::kInformational) continue;
      end.engine.receive(pair.now, elsewhere, message());
      CHECK(test::overhear(end).size() == 1);
      CHECK(end.count<Closed>() == 1);
    }
  }
}

TEST_CASE("security: an authentic message of the peer moves its probe, and one that is repeated does not") {
  for (const bool at_a : {true, false}) {
    CAPTURE(at_a);
    Impostor world(62, at_a, watchful(true), watchful(false));
    IkePair& pair = world.pair;
    test::IkeEnd& end = world.attacked();
    const TimePoint at_first = end.engine.deadline();
    pair.now += 10s;
    const Buffer request = world.keys.seal(world.random, Exchange::kInformational, world.as_initiator, false,
                                           world.next, PayloadType::kNone, {});
    test::bring(pair, at_a, Buffer::copy_of(request.span()));
    CHECK(test::overhear(end).size() == 1);
    const TimePoint moved = end.engine.deadline();
    CHECK(moved > at_first);
    pair.now += 10s;
    test::bring(pair, at_a, Buffer::copy_of(request.span()));
    CHECK(test::overhear(end).size() == 1);
    CHECK(end.engine.deadline() == moved);
    CHECK(end.engine.counters().replays_answered == 1);
  }
}

}  // namespace
}  // namespace winze::ike
