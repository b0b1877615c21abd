// Peers that want a key exchange for every child SA, and are offered one only once they have said so.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "support/ike_impostor.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::Heard;
using test::IkePair;
using test::Impostor;

using Groups = std::vector<std::uint16_t>;
constexpr std::uint16_t kModp1024 = 2, kEcp256 = 19, kEcp384 = 20, kX25519 = 31, kNotOffered = 0xffff;

Connection book(bool of_a, std::string_view esp = "aes128gcm16",
                std::string_view ike = "aes128gcm16-prfsha256-x25519-ecp256") {
  Connection c = test::open_book(of_a);
  c.proposals = *parse_proposals(Protocol::kIke, ike, true);
  ChildConfig config = IkePair::child(of_a);
  config.proposals = *parse_proposals(Protocol::kEsp, esp, true);
  c.children = {std::make_shared<ChildConfig>(config)};
  return c;
}

// Has one end refuse what the other offers for a child without a key exchange.
class Demand {
 public:
  Demand(Impostor& world, bool of_b) : world_(world), of_b_(of_b) {
    world.pair.bend = [this](bool by_a, const Buffer& datagram) {
      const auto heard = test::open_with(world_.keys, datagram);
      if (!heard || heard->header.exchange != Exchange::kCreateChild) return IkePair::Fate{};
      const bool taken = by_a == of_b_ ? take_request(*heard) : take_answer(*heard);
      return IkePair::Fate{taken ? 0u : 1u};
    };
  }

  test::IkeEnd& asker() { return of_b_ ? world_.pair.a : world_.pair.b; }

  Groups asked;              // the group of each offer; 0: none
  bool refuses_all = false;  // with a key exchange too
  std::uint16_t names = 0;   // the group that the refusal names; 0: none
  std::uint16_t turns = 0;   // what of that is another one in the next refusal

 private:
  // Whether it was taken from its way, and another brought.
  bool take_request(const Heard& heard) {
    const std::uint32_t id = heard.header.message_id;
    std::uint16_t group = 0;
    bool of_child = !heard.header.response;
    heard.with_contents([&](const Contents& contents) {
      of_child = of_child && !contents.offers.empty() && contents.offers[0].proposal.protocol == Protocol::kEsp;
      if (!contents.key_exchange) return;
      group = contents.key_exchange->method;
      for (const Proposal& offer : contents.offered()) {
        if (!offer.has({TransformType::kKeyExchange, group, 0})) group = kNotOffered;
      }
    });
    if (!of_child) return false;
    const bool again = spis_ == heard.header.spi_i && id == last_;
    if (!again) asked.push_back(group);
    spis_ = heard.header.spi_i;
    last_ = id;
    if (group != 0 && !refuses_all) return false;
    if (again) return true;
    // Of an algorithm that nobody takes.
    const Proposal des{Protocol::kEsp, {{TransformType::kEncryption, 2, 0}}};
    bring(heard, !of_b_, test::rewritten(heard.inner, [&](PayloadType type, test::Bytes body) {
            if (type != PayloadType::kSa) return std::optional(body);
            const test::Said sa = test::said([&](PayloadWriter& out) {
              write_sa(out, {&des, 1}, test::unhex("0a0b0c0d"));
            });
            return std::optional(test::Bytes(sa.bytes.begin() + kPayloadHeaderSize, sa.bytes.end()));
          }));
    return true;
  }
  bool take_answer(const Heard& heard) {
    if (names == 0 || !heard.header.response || heard.error() != notify::kNoProposalChosen) return false;
    const std::uint16_t named = std::exchange(names, names ^ turns);
    bring(heard, of_b_, test::said([&](PayloadWriter& out) {
            std::uint8_t group[2];
            store_u16(group, named);
            write_notify(out, notify::kInvalidKePayload, group);
          }));
    return true;
  }
  void bring(const Heard& heard, bool to_a, const test::Said& other) {
    test::bring(world_.pair, to_a,
                world_.keys.seal(world_.pair.net, heard.header.exchange, heard.header.initiator, heard.header.response,
                                 heard.header.message_id, other.first, other.bytes));
  }

  Impostor& world_;
  const bool of_b_;
  std::uint64_t spis_ = 0;
  std::uint32_t last_ = 0;
};

bool add_child(Impostor& world, Demand& demand, const Connection& book) {
  test::IkeEnd& end = demand.asker();
  return end.engine.add_child(world.pair.now, end.last<Up>()->sa, book.children.front());
}

TEST_CASE("ike: a peer that wants PFS gets it once it has refused a child without, and at once when that is rekeyed") {
  for (const bool of_b : {true, false}) {
    CAPTURE(of_b);
    Impostor world(161, true, book(true), book(false));
    Demand demand(world, of_b);
    test::IkeEnd& end = demand.asker();
    const ChildId child = end.last<ChildUp>()->child;
    CHECK(end.engine.rekey_child(world.pair.now, child));
    world.pair.run(20s);
    CHECK(demand.asked == Groups{0, kX25519});
    CHECK(end.engine.counters().child_rekeys == 1);
    CHECK(end.engine.rekey_child(world.pair.now, child));
    world.pair.run(20s);
    CHECK(demand.asked == Groups{0, kX25519, kX25519});
    // By another IKE SA too.
    CHECK(end.engine.rekey(world.pair.now, end.last<Up>()->sa));
    world.pair.run(20s);
    CHECK(end.engine.counters().ike_rekeys == 1);
    CHECK(end.engine.rekey_child(world.pair.now, child));
    world.pair.run(20s);
    CHECK(demand.asked == Groups{0, kX25519, kX25519, kX25519});
    CHECK(end.engine.counters().child_rekeys == 3);
    CHECK(world.pair.traffic_flows());
    CHECK(world.pair.lost_to_rekeying() == 0);

    demand.asked.clear();
    CHECK(add_child(world, demand, book(of_b)));
    world.pair.run(20s);
    CHECK(demand.asked == Groups{0, kX25519});
    CHECK(end.count<ChildUp>() == 2);
    CHECK(end.count<ChildRefused>() == 0);
  }
}

TEST_CASE("ike: the group that a peer names for PFS is taken where the IKE proposals have it") {
  Impostor world(162, true, book(true), book(false));
  Demand demand(world, true);
  demand.names = kEcp256;
  CHECK(world.pair.a.engine.rekey_child(world.pair.now, world.pair.a.last<ChildUp>()->child));
  world.pair.run(20s);
  CHECK(demand.asked == Groups{0, kEcp256});
  CHECK(world.pair.a.engine.counters().child_rekeys == 1);
  CHECK(world.pair.traffic_flows());

  demand.asked.clear();
  demand.names = kEcp384;
  CHECK(add_child(world, demand, book(true)));
  world.pair.run(20s);
  CHECK(demand.asked == Groups{0});
  REQUIRE(world.pair.a.count<ChildRefused>() == 1);
  CHECK(world.pair.a.last<ChildRefused>()->reason.notify == notify::kInvalidKePayload);
}

TEST_CASE("ike: a peer that refuses a child with a key exchange too is not asked a third time") {
  for (const std::uint16_t names : {std::uint16_t{0}, kEcp256}) {
    CAPTURE(names);
    Impostor world(163, true, book(true), book(false));
    Demand demand(world, true);
    demand.refuses_all = true;
    demand.names = names;
    CHECK(add_child(world, demand, book(true)));
    world.pair.run(60s);
    CHECK(demand.asked == Groups{0, names != 0 ? names : kX25519});
    REQUIRE(world.pair.a.count<ChildRefused>() == 1);
    const Reason& why = world.pair.a.last<ChildRefused>()->reason;
    CHECK(why.notify == (names != 0 ? notify::kInvalidKePayload : notify::kNoProposalChosen));
    CHECK(why.cause == (names != 0 ? Cause::kRefusedByPeer : Cause::kNoProposal));
    CHECK(world.is_up());
  }
}

TEST_CASE("ike: a peer that names another group each time is not followed for ever") {
  const std::string_view both = "aes128gcm16-ecp256-x25519";
  Impostor world(170, true, book(true, both), book(false));
  Demand demand(world, true);
  demand.refuses_all = true;
  demand.names = kX25519;
  demand.turns = kX25519 ^ kEcp256;
  CHECK(add_child(world, demand, book(true, both)));
  world.pair.run(60s);
  CHECK(demand.asked == Groups{kEcp256, kX25519, kEcp256, kX25519});
  CHECK(world.pair.a.count<ChildRefused>() == 1);
  CHECK(world.is_up());
}

TEST_CASE("ike: a group that the configuration asks for stays, whatever the peer refuses") {
  Impostor world(164, true, book(true, "aes128gcm16-ecp256"), book(false));
  Demand demand(world, true);
  demand.refuses_all = true;
  CHECK(add_child(world, demand, book(true, "aes128gcm16-ecp256")));
  world.pair.run(20s);
  CHECK(demand.asked == Groups{kEcp256});
  CHECK(world.pair.a.count<ChildRefused>() == 1);
}

TEST_CASE("ike: the group of a peer's own rekey is that of ours behind it") {
  Impostor world(165, true, book(true), book(false, "aes128gcm16-ecp256"));
  Demand demand(world, true);
  CHECK(world.pair.b.engine.rekey_child(world.pair.now, world.pair.b.last<ChildUp>()->child));
  world.pair.run(20s);
  CHECK(world.pair.a.engine.rekey_child(world.pair.now, world.pair.a.last<ChildUp>()->child));
  world.pair.run(20s);
  CHECK(demand.asked == Groups{kEcp256});
  CHECK(world.pair.a.engine.counters().child_rekeys == 2);
}

TEST_CASE("ike: PFS by the group of an IKE SA that is legacy, as the IKE SA is") {
  const std::string_view ike = "aes128gcm16-prfsha256-modp1024";
  Impostor world(166, true, book(true, "aes128gcm16", ike), book(false, "aes128gcm16-modp1024", ike));
  Demand demand(world, true);
  CHECK(world.pair.a.engine.rekey_child(world.pair.now, world.pair.a.last<ChildUp>()->child));
  world.pair.run(20s);
  CHECK(demand.asked == Groups{0, kModp1024});
  CHECK(world.pair.a.engine.counters().child_rekeys == 1);
  CHECK(world.pair.traffic_flows());
}

TEST_CASE("ike: a rekey without PFS that is refused while the peer's own is taken is not tried again") {
  Impostor world(167, true, book(true), book(false));
  Demand demand(world, true);
  CHECK(world.pair.b.engine.rekey_child(world.pair.now, world.pair.b.last<ChildUp>()->child));
  CHECK(world.pair.a.engine.rekey_child(world.pair.now, world.pair.a.last<ChildUp>()->child));
  world.pair.run(20s);
  CHECK(demand.asked == Groups{0});
  for (const test::IkeEnd* const end : {&world.pair.a, &world.pair.b}) {
    CHECK(end->count<ChildUp>() == 1);
    CHECK(end->inbound.size() == 1);
  }
  CHECK(world.pair.traffic_flows());
}

}  // namespace
}  // namespace winze::ike
