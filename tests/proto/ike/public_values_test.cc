// Public values of key exchanges that are none, in every message that has one, from either end.
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "support/ike_impostor.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::Heard;
using test::IkePair;
using test::Impostor;

Bytes one_at_the_end(std::size_t size) {
  Bytes value(size);
  value.back() = 1;
  return value;
}

struct Group {
  std::string_view name;
  std::uint16_t number;
  std::vector<Bytes> bad;
};

// As a further key exchange.
std::string behind_another(std::string_view name) {
  return (name == "x25519" ? "ecp256-ke1_" : "x25519-ke1_") + std::string(name);
}

const std::vector<Group>& groups() {
  static const std::vector<Group> kAll = {
      {"x25519", 31, {{}, Bytes(32), one_at_the_end(32), Bytes(31, 1), Bytes(33, 1)}},
      {"ecp256", 19, {{}, Bytes(64), Bytes(64, 1), Bytes(63, 1), Bytes(65, 4)}},
      {"modp2048", 14, {{}, Bytes(256), one_at_the_end(256), Bytes(256, 0xff), Bytes(255, 1), Bytes(257, 1)}},
  };
  return kAll;
}

// One of X25519's points of small order has its one at the other end.
Bytes bad_value(const Group& group, std::size_t which) {
  Bytes value = group.bad[which];
  if (group.number == 31 && which == 2) std::ranges::reverse(value);
  return value;
}

// The KE payload of a message, with another value.
test::Said with_value(const test::Said& said, const Bytes& value) {
  return test::rewritten(said, [&](PayloadType type, Bytes body) -> std::optional<Bytes> {
    if (type != PayloadType::kKeyExchange) return body;
    body.resize(4);
    body.insert(body.end(), value.begin(), value.end());
    return body;
  });
}

template <typename F>
void for_each_value(F look) {
  for (const Group& group : groups()) {
    for (std::size_t which = 0; which < group.bad.size(); ++which) {
      CAPTURE(group.name);
      CAPTURE(which);
      look(group, bad_value(group, which));
    }
  }
}

Connection using_groups(bool of_a, std::string_view ike, std::string_view esp) {
  Connection c = test::open_book(of_a);
  c.dpd_delay = 10s;
  c.proposals = *parse_proposals(Protocol::kIke, ike);
  ChildConfig config = *c.children.front();
  config.proposals = *parse_proposals(Protocol::kEsp, esp);
  c.children = {std::make_shared<ChildConfig>(config)};
  return c;
}

TEST_CASE("security: public values that are none in the answer to IKE_SA_INIT end the attempt") {
  for_each_value([](const Group& group, const Bytes& value) {
    Connection a = IkePair::connection(true), b = IkePair::connection(false);
    a.proposals = b.proposals = *parse_proposals(Protocol::kIke, "aes128gcm16-prfsha256-" + std::string(group.name));
    IkePair pair(91);
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      if (from_a) return IkePair::Fate{};
      const auto header = *decode_header(datagram.span());
      const auto changed =
          with_value({header.first, {datagram.span().begin() + kHeaderSize, datagram.span().end()}}, value);
      Buffer out(2048, kHeaderSize);
      out.append(changed.bytes);
      Header fresh = header;
      fresh.first = changed.first;
      prepend_header(out, fresh);
      pair.a.engine.receive(pair.now, {pair.a.plain, pair.b.plain, 1, false, false}, std::move(out));
      return IkePair::Fate{0};
    };
    pair.connect(IkePair::share(a), IkePair::share(b));
    CHECK(pair.a.count<Up>() == 0);
    REQUIRE(pair.a.count<Closed>() == 1);
    CHECK(pair.a.last<Closed>()->reason.cause == Cause::kMisbehaved);
    CHECK(pair.a.engine.size() == 0);
  });
}

// The exchanges of an IKE SA that is up; what is asked of the end that will hear the bad value.
enum class Where { kChild, kIkeRekey, kFollowUpOfChild, kFollowUpOfIke };

// A peer whose answer to a rekey of the IKE SA was none has gone on to an IKE SA that its other end cannot have.
void starts_over(Impostor& world) {
  IkePair& pair = world.pair;
  pair.run(1s);
  if (world.at_a) {
    REQUIRE(pair.a.count<Up>() == 2);
    CHECK(pair.a.last<Up>()->replaces == world.sa_a);
    CHECK(pair.a.last<Closed>()->reason.cause == Cause::kReplaced);
  } else {
    REQUIRE(pair.b.count<Closed>() == 1);
    CHECK(pair.b.last<Closed>()->reason.cause == Cause::kMisbehaved);
  }
  // Of what the peer has gone on to nothing stays.
  pair.run(300s);
  CHECK(pair.a.engine.size() == (world.at_a ? 1 : 0));
  CHECK(pair.b.engine.size() == (world.at_a ? 1 : 0));
  CHECK(pair.traffic_flows() == world.at_a);
}

TEST_CASE("security: public values that are none in CREATE_CHILD_SA and IKE_FOLLOWUP_KE, asked and answered") {
  for (const Where where : {Where::kChild, Where::kIkeRekey, Where::kFollowUpOfChild, Where::kFollowUpOfIke}) {
    const bool follow_up = where == Where::kFollowUpOfChild || where == Where::kFollowUpOfIke;
    const bool of_ike = where == Where::kIkeRekey || where == Where::kFollowUpOfIke;
    for (const bool in_request : {true, false}) {
      for (const bool at_a : {true, false}) {
        for_each_value([&](const Group& group, const Bytes& value) {
          CAPTURE(static_cast<int>(where));
          CAPTURE(in_request);
          CAPTURE(at_a);
          const std::string name(group.name);
          // The first key exchange of IKE is the one that the keys here are of.
          const std::string ike = "aes128gcm16-prfsha256-" + (follow_up ? behind_another(name) : name);
          const std::string esp = "aes128gcm16-" + (follow_up ? behind_another(name) : name) + "-noesn";
          Impostor world(92, at_a, using_groups(true, of_ike ? ike : std::string(test::kRogueProposal), esp),
                         using_groups(false, of_ike ? ike : std::string(test::kRogueProposal), esp));
          IkePair& pair = world.pair;
          REQUIRE(world.is_up());
          const auto done =
              test::tamper(pair, world.keys, !at_a, follow_up ? Exchange::kFollowUp : Exchange::kCreateChild,
                           [&](const Heard& heard) { return with_value(heard.inner, value); });
          test::IkeEnd& asks = in_request == at_a ? pair.b : pair.a;
          const SaId sa = in_request == at_a ? world.sa_b : world.sa_a;
          if (of_ike) {
            REQUIRE(asks.engine.rekey(pair.now, sa));
          } else {
            REQUIRE(asks.engine.rekey_child(pair.now, asks.children.begin()->first));
          }
          pair.run(200ms);
          CHECK(*done);
          // Nothing has come of it.
          CHECK(world.attacked().count<Rekeyed>() == 0);
          CHECK(world.attacked().count<ChildOutbound>() == 0);
          if (of_ike && !in_request) return starts_over(world);
          CHECK(world.is_up());
          CHECK(pair.traffic_flows());
          // It is asked again, whichever end has said what is none.
          pair.run(200s);
          CHECK(pair.a.count<Closed>() + pair.b.count<Closed>() == 0);
          CHECK((of_ike ? asks.count<Rekeyed>() : asks.count<ChildOutbound>()) >= 1);
          CHECK(pair.a.engine.size() == 1);
          CHECK(pair.b.engine.size() == 1);
          CHECK(pair.a.inbound.size() == 1);
          CHECK(pair.b.inbound.size() == 1);
          CHECK(pair.traffic_flows());
        });
      }
    }
  }
}

TEST_CASE("security: public values that are none in IKE_INTERMEDIATE end the attempt at once") {
  for (const bool in_request : {true, false}) {
    for_each_value([&](const Group& group, const Bytes& value) {
      CAPTURE(in_request);
      const std::string ike = "aes128gcm16-prfsha256-" + behind_another(group.name);
      test::RogueKeys keys;
      EngineOptions options;
      bool first = true;
      // Those of IKE_INTERMEDIATE itself.
      options.key_log = [&](std::string_view line) {
        if (std::exchange(first, false)) keys.take(line);
      };
      IkePair pair(93, {}, std::move(options));
      const auto done = test::tamper(pair, keys, in_request, Exchange::kIntermediate,
                                     [&](const Heard& heard) { return with_value(heard.inner, value); });
      pair.connect(IkePair::share(using_groups(true, ike, "aes128gcm16-noesn")),
                   IkePair::share(using_groups(false, ike, "aes128gcm16-noesn")));
      CHECK(*done);
      CHECK(pair.a.count<Up>() + pair.b.count<Up>() == 0);
      test::IkeEnd& hears = in_request ? pair.b : pair.a;
      REQUIRE(hears.count<Closed>() == 1);
      CHECK(hears.last<Closed>()->reason.cause == Cause::kMisbehaved);
      if (in_request) CHECK(pair.a.last<Closed>()->reason.notify == notify::kInvalidSyntax);
      pair.run(60s);
      CHECK(pair.a.engine.size() + pair.b.engine.size() == 0);
    });
  }
}

}  // namespace
}  // namespace winze::ike
