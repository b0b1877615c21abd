// Each kind of message in each state of an IKE SA that has come up, at both ends: what is said to it, and what of it
// stays.
#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "support/ike_states.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;
using test::Impostor;
using test::Outcome;

enum class Which : std::uint8_t { kBoth, kClient, kGateway };
enum class Column : std::uint8_t { kUp, kEnding, kDeaf };

struct State {
  std::string_view name;
  Which which = Which::kBoth;
  Column column = Column::kUp;
  std::function<void(Connection& a, Connection& b)> configure;
  std::function<void(Impostor&)> enter;
  std::map<std::string_view, Outcome> but;  // where it is another than its column says
};

SaId id_at(Impostor& world, bool a) { return a ? world.sa_a : world.sa_b; }
test::IkeEnd& other(Impostor& world) { return world.at_a ? world.pair.b : world.pair.a; }
ChildId child_at(test::IkeEnd& end) { return end.children.begin()->first; }

std::uint8_t exchange_of(const Buffer& datagram) { return datagram.data()[4 + 18]; }

// Messages of one kind get lost.
void lose(Impostor& world, Exchange exchange) {
  world.pair.bend = [exchange](bool, const Buffer& datagram) {
    return IkePair::Fate{exchange_of(datagram) == static_cast<std::uint8_t>(exchange) ? 0u : 1u};
  };
}
void lose_all(Impostor& world) {
  world.pair.bend = [](bool, const Buffer&) { return IkePair::Fate{0}; };
}

void follow_up_proposals(Connection& a, Connection& b) {
  for (Connection* const c : {&a, &b}) {
    ChildConfig config = *c->children.front();
    config.proposals = *parse_proposals(Protocol::kEsp, "aes128gcm16-x25519-ke1_ecp256, aes128gcm16-noesn");
    c->children = {std::make_shared<ChildConfig>(config)};
  }
}

const std::vector<State>& states() {
  namespace n = notify;
  const Outcome busy = test::says(n::kTemporaryFailure);
  static const std::vector<State> kAll = {
      {"up", Which::kBoth, Column::kUp, nullptr, [](Impostor&) {}, {}},
      {"a probe is out",
       Which::kBoth,
       Column::kUp,
       [](Connection& a, Connection& b) { a.dpd_delay = b.dpd_delay = 5s; },
       [](Impostor& w) {
         lose_all(w);
         w.pair.run(5s);
         CHECK(w.attacked().engine.counters().sent > (w.at_a ? 2 : 1));
       },
       {}},
      {"the IKE SA is rekeyed",
       Which::kBoth,
       Column::kUp,
       nullptr,
       [](Impostor& w) { CHECK(w.attacked().engine.rekey(w.pair.now, w.sa())); },
       {{"CREATE_CHILD_SA, a child", busy},
        {"CREATE_CHILD_SA, REKEY_SA", busy},
        {"CREATE_CHILD_SA, REKEY_SA of no child", busy},
        {"CREATE_CHILD_SA, an IKE SA", test::kFine}}},
      {"the child is rekeyed",
       Which::kBoth,
       Column::kUp,
       nullptr,
       [](Impostor& w) { CHECK(w.attacked().engine.rekey_child(w.pair.now, child_at(w.attacked()))); },
       {{"CREATE_CHILD_SA, an IKE SA", busy}}},
      {"a child is added",
       Which::kBoth,
       Column::kUp,
       nullptr,
       [](Impostor& w) {
         CHECK(
             w.attacked().engine.add_child(w.pair.now, w.sa(), std::make_shared<ChildConfig>(IkePair::child(w.at_a))));
       },
       {{"CREATE_CHILD_SA, an IKE SA", busy}}},
      {"the child is deleted",
       Which::kBoth,
       Column::kUp,
       nullptr,
       [](Impostor& w) { CHECK(w.attacked().engine.delete_child(w.pair.now, child_at(w.attacked()))); },
       {{"CREATE_CHILD_SA, an IKE SA", busy},
        {"CREATE_CHILD_SA, REKEY_SA", busy},
        {"DELETE of the child", test::kFine}}},
      {"the client moves",
       Which::kClient,
       Column::kUp,
       nullptr,
       [](Impostor& w) {
         Path path = w.pair.route().floated.value();
         path.local.address = *IpAddress::parse("198.51.100.9");
         CHECK(w.pair.a.engine.move(w.pair.now, w.sa_a, {path, std::nullopt}));
       },
       {}},
      {"the client is sent elsewhere",
       Which::kGateway,
       Column::kUp,
       [](Connection& a, Connection&) { a.follow_redirects = true; },
       [](Impostor& w) {
         CHECK(w.pair.b.engine.redirect(w.pair.now, w.sa_b, {{}, "elsewhere.test"}));
       },
       {}},
      {"it was sent elsewhere",
       Which::kClient,
       Column::kUp,
       [](Connection& a, Connection&) { a.follow_redirects = true; },
       [](Impostor& w) {
         CHECK(w.pair.b.engine.redirect(w.pair.now, w.sa_b, {{}, "elsewhere.test"}));
         w.pair.run(1s);
         CHECK(w.pair.a.count<Redirected>() == 1);
         w.next = 1;
       },
       {{"REDIRECT", test::kChanges}}},
      {"it waits for IKE_FOLLOWUP_KE",
       Which::kBoth,
       Column::kUp,
       follow_up_proposals,
       [](Impostor& w) {
         lose(w, Exchange::kFollowUp);
         CHECK(w.attacked().engine.rekey_child(w.pair.now, child_at(w.attacked())));
         w.pair.run(100ms);
       },
       {{"CREATE_CHILD_SA, an IKE SA", busy}, {"CREATE_CHILD_SA, REKEY_SA", busy}}},
      {"it is asked to go on with IKE_FOLLOWUP_KE",
       Which::kBoth,
       Column::kUp,
       follow_up_proposals,
       [](Impostor& w) {
         lose(w, Exchange::kFollowUp);
         CHECK(other(w).engine.rekey_child(w.pair.now, child_at(other(w))));
         w.pair.run(100ms);
         ++w.next;
       },
       {}},
      {"the host narrows",
       Which::kBoth,
       Column::kDeaf,
       [](Connection& a, Connection& b) { a.ask_narrow = b.ask_narrow = true; },
       [](Impostor& w) {
         CHECK(other(w).engine.add_child(w.pair.now, id_at(w, !w.at_a),
                                         std::make_shared<ChildConfig>(IkePair::child(!w.at_a))));
         w.pair.run(100ms);
         CHECK(w.attacked().count<AskNarrow>() == (w.at_a ? 1 : 2));
       },
       {}},
      {"it closes",
       Which::kBoth,
       Column::kEnding,
       nullptr,
       [](Impostor& w) { CHECK(w.attacked().engine.close(w.pair.now, w.sa())); },
       {{"DELETE of the child", test::kChanges}}},
      {"it has rekeyed, and deletes the old one",
       Which::kBoth,
       Column::kEnding,
       nullptr,
       [](Impostor& w) {
         const test::RogueKeys old = w.keys;
         lose(w, Exchange::kInformational);
         CHECK(w.attacked().engine.rekey(w.pair.now, w.sa()));
         w.pair.run(100ms);
         CHECK(w.attacked().count<Rekeyed>() == 1);
         w.keys = old;
       },
       {}},
      {"the peer has rekeyed, and has not deleted the old one",
       Which::kBoth,
       Column::kEnding,
       nullptr,
       [](Impostor& w) {
         const test::RogueKeys old = w.keys;
         lose(w, Exchange::kInformational);
         CHECK(other(w).engine.rekey(w.pair.now, id_at(w, !w.at_a)));
         w.pair.run(100ms);
         CHECK(w.attacked().count<Rekeyed>() == 1);
         w.keys = old;
         ++w.next;
       },
       {}},
      {"the peer has closed",
       Which::kBoth,
       Column::kDeaf,
       nullptr,
       [](Impostor& w) {
         CHECK(other(w).engine.close(w.pair.now, id_at(w, !w.at_a)));
         w.pair.run(100ms);
         CHECK(w.attacked().count<Closed>() == 1);
         ++w.next;
       },
       {}},
  };
  return kAll;
}

// Narrowing is let through while the IKE SA opens.
void answer_first_narrow(IkePair& pair) {
  pair.b.on_event = [&pair, n = 0](const Event& event) mutable {
    const auto* const ask = std::get_if<AskNarrow>(&event);
    if (ask != nullptr && n++ == 0) pair.b.engine.answer(pair.now, ask->id, ask->selectors);
  };
}

struct Scene {
  Impostor world;

  Scene(const State& state, bool at_a)
      : world(41, at_a, configured(state, true), configured(state, false), {}, {}, answer_first_narrow) {
    REQUIRE(world.is_up());
    state.enter(world);
    (void)test::overhear(world.attacked());
  }
  static Connection configured(const State& state, bool of_a) {
    Connection a = test::open_book(true), b = test::open_book(false);
    if (state.configure) state.configure(a, b);
    return of_a ? a : b;
  }
};

// What should not change.
struct Look {
  std::size_t size, events, children;
  std::optional<Path> path;

  static Look of(Impostor& world) {
    const test::IkeEnd& end = world.attacked();
    const auto info = end.engine.info(world.sa());
    return {end.engine.size(), end.events.size(), end.children.size(), info ? std::optional(info->path) : std::nullopt};
  }
  friend bool operator==(const Look&, const Look&) = default;
};

void check_outcome(Impostor& world, const Outcome& expected, const test::Request& request, bool may_park) {
  const Look before = Look::of(world);
  const auto answers = world.say(request.exchange, request.make(world));
  Look after = Look::of(world);
  if (expected.kind == Outcome::Kind::kDropped) {
    CHECK(answers.empty());
    CHECK(after == before);
    --world.next;
    return;
  }
  REQUIRE(!answers.empty());
  CHECK(answers[0].header.response);
  CHECK(answers[0].header.message_id == world.next - 1);
  CHECK(answers[0].error() == expected.notify);
  const std::size_t again = world.say(Exchange::kInformational, {}).size();
  if (expected.kind == Outcome::Kind::kEnds) {
    CHECK(again == 0);
    return;
  }
  CHECK(again == 1);
  if (expected.kind == Outcome::Kind::kChanges) {
    CHECK(after.events > before.events);
    return;
  }
  if (may_park) after.size = before.size;
  CHECK(after == before);
}

template <typename F>
void at_both_ends(F look) {
  for (const State& state : states()) {
    for (const bool at_a : {true, false}) {
      if (state.which == (at_a ? Which::kGateway : Which::kClient)) continue;
      CAPTURE(state.name);
      CAPTURE(at_a);
      look(state, at_a);
    }
  }
}

TEST_CASE("security: each request in each state of an IKE SA that is up, at both ends") {
  at_both_ends([](const State& state, bool at_a) {
    for (const test::Request& request : test::requests()) {
      CAPTURE(request.name);
      Scene scene(state, at_a);
      Impostor& world = scene.world;
      Outcome expected = state.column == Column::kUp       ? request.up
                         : state.column == Column::kEnding ? request.ending
                                                           : test::kDropped;
      const auto but = state.but.find(request.name);
      if (but != state.but.end()) {
        expected = but->second;
      } else if (request.name == "UPDATE_SA_ADDRESSES" && at_a && expected.kind == Outcome::Kind::kChanges) {
        expected = test::kFine;  // it is the client that moves
      } else if (request.name == "REDIRECT" && !at_a && state.column != Column::kDeaf) {
        expected = test::kFine;
      }
      check_outcome(world, expected, request, request.name == "CREATE_CHILD_SA, an IKE SA");
      world.pair.bend = nullptr;
      world.pair.run(600s);
      // The false one has used message ids of the true one, whose own find no answer any more.
      CHECK(world.attacked().engine.size() <= 2);
      CHECK(world.attacked().engine.half_open() == 0);
    }
  });
}

// What would do most if it were believed.
std::vector<test::Said> tempting_answers(Impostor& world) {
  return {
      {},
      test::said([](PayloadWriter& out) { write_delete_ike(out); }),
      test::said([](PayloadWriter& out) { write_notify(out, notify::kAuthenticationFailed); }),
      test::said([&](PayloadWriter& out) { test::write_child(out, world, 0); }),
      test::said([&](PayloadWriter& out) { test::write_ike_rekey(out, test::good_x25519(world.random)); }),
      {static_cast<PayloadType>(200), test::payload(0, {1, 2}, true)},
      {PayloadType::kNotify, test::unhex("00000009000040")},
  };
}

constexpr std::uint8_t kExchanges[] = {34, 35, 36, 37, 38, 43, 44, 0, 99, 255};

TEST_CASE("security: no response in any state but to the request that waits for it, at both ends") {
  at_both_ends([](const State& state, bool at_a) {
    Scene scene(state, at_a);
    Impostor& world = scene.world;
    const Look before = Look::of(world);
    std::size_t tried = 0;
    for (const std::uint8_t exchange : kExchanges) {
      for (const std::uint32_t id : {0u, 1u, 2u, 3u, 4u, 5u, 255u, 0xffffffffu}) {
        const std::uint64_t bad = world.attacked().engine.counters().bad_integrity;
        // Damaged, so that one that is waited for is seen to be without being taken.
        Buffer bent = world.keys.seal(world.random, static_cast<Exchange>(exchange), world.as_initiator, true, id,
                                      PayloadType::kNone, {});
        bent.span().back() ^= 1;
        test::bring(world.pair, at_a, std::move(bent));
        const bool wanted = world.attacked().engine.counters().bad_integrity != bad;
        if (wanted) continue;
        for (const test::Said& said : tempting_answers(world)) {
          ++tried;
          CHECK(world.respond(static_cast<Exchange>(exchange), said, id).empty());
        }
      }
    }
    CHECK(tried >= 79 * 7);
    CHECK(Look::of(world) == before);
  });
}

TEST_CASE("security: an answer that does not fit its question leaves the IKE SA as it was, or ends it") {
  at_both_ends([](const State& state, bool at_a) {
    for (std::size_t which = 0; which < 7; ++which) {
      CAPTURE(which);
      Scene scene(state, at_a);
      Impostor& world = scene.world;
      for (const Exchange exchange : {Exchange::kCreateChild, Exchange::kInformational, Exchange::kFollowUp}) {
        for (std::uint32_t id = 0; id < 6; ++id) {
          (void)world.respond(exchange, tempting_answers(world)[which], id);
        }
      }
      const std::size_t ups = world.attacked().count<Up>();
      CHECK(ups == 1);
      CHECK(world.attacked().count<ChildUp>() <= 2);
      world.pair.bend = nullptr;
      world.pair.run(600s);
      CHECK(world.attacked().engine.size() <= 1);
      CHECK(world.attacked().inbound.size() <= 2);
    }
  });
}

// Our own rekey is on its way, and the peer has made an IKE SA of its own: nobody knows yet which stays.
TEST_CASE("security: each request to an IKE SA that is parked in a collision") {
  for (const bool at_a : {true, false}) {
    for (const test::Request& request : test::requests()) {
      CAPTURE(at_a);
      CAPTURE(request.name);
      Impostor world(request.name.size(), at_a);
      world.pair.bend = [at_a](bool from_a, const Buffer&) { return IkePair::Fate{from_a == at_a ? 0u : 1u}; };
      CHECK(world.attacked().engine.rekey(world.pair.now, world.sa()));
      CHECK(other(world).engine.rekey(world.pair.now, id_at(world, !at_a)));
      world.pair.run(50ms);
      REQUIRE(world.attacked().engine.size() == 2);
      world.as_initiator = true;
      world.next = 0;
      const auto answers = world.say(request.exchange, request.make(world));
      if (request.exchange == Exchange::kInit || request.exchange == Exchange::kSessionResume) {
        CHECK(answers.empty());
      } else {
        CHECK(!answers.empty());
      }
      world.pair.bend = nullptr;
      world.pair.run(600s);
      CHECK(world.attacked().engine.size() <= 1);
      CHECK(world.attacked().count<Up>() == 1);
      CHECK(world.attacked().count<Rekeyed>() <= 2);
      // No child is left without an IKE SA.
      CHECK((world.attacked().engine.size() == 1 || world.attacked().children.empty()));
    }
  }
}

}  // namespace
}  // namespace winze::ike
