// The small notifies of RFC 7296 section 3.10.1: what is said by them, and what is done when they come.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "support/ike_rogue.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::IkePair;

const Suite kSuite{PrfAlgorithm::kHmacSha256, {esp::Encryption::kAesGcm, 16}, esp::Integrity::kNone, 128};

// Two ends, what they say to each other, and a rogue that can say more.
struct Overheard {
  Overheard() : pair(91, options(), {}) {
    pair.bend = [this](bool from_a, const Buffer& message) {
      said.emplace_back(from_a, Bytes(message.span().begin(), message.span().end()));
      return IkePair::Fate{silent && from_a ? 0u : 1u};
    };
    a.proposals = b.proposals = *parse_proposals(Protocol::kIke, test::kRogueProposal);
  }
  EngineOptions options() {
    EngineOptions out;
    out.key_log = [this](std::string_view line) { keys.take(line); };
    return out;
  }
  SaId connect() { return pair.connect(IkePair::share(a), IkePair::share(b)); }

  // What one end has said last.
  struct Message {
    Header header;
    std::vector<std::uint8_t> inner;
    PayloadChain chain;
    Contents contents;
  };
  std::unique_ptr<Message> last(bool of_a) {
    const auto found = std::find_if(said.rbegin(), said.rend(), [&](const auto& one) { return one.first == of_a; });
    REQUIRE(found != said.rend());
    Bytes message(found->second.begin() + 4, found->second.end());
    auto out = std::make_unique<Message>();
    out->header = *decode_header(message);
    PayloadChain outer;
    REQUIRE(outer.decode(out->header.first, std::span(message).subspan(kHeaderSize)));
    const auto inner = open_message(kSuite, of_a ? keys.i : keys.r, message, outer.payloads.back().body);
    REQUIRE(inner);
    out->inner.assign(inner->begin(), inner->end());
    REQUIRE(out->chain.decode(outer.inner_first, out->inner));
    REQUIRE(out->contents.decode(out->chain));
    return out;
  }

  Connection a = IkePair::connection(true), b = IkePair::connection(false);
  test::RogueKeys keys;
  bool silent = false;  // nothing of a arrives
  std::vector<std::pair<bool, Bytes>> said;
  SeededRandom random{5};
  IkePair pair;
};

std::vector<ip::Selector> selectors(std::string_view text) { return {*ip::Selector::parse(text)}; }

TEST_CASE("ike: what was narrowed, and could be had otherwise, is said (ADDITIONAL_TS_POSSIBLE)") {
  for (const bool others : {true, false}) {
    Overheard o;
    ChildConfig all = IkePair::child(true), second = IkePair::child(false);
    all.remote = {selectors("10.0.0.0/8")};
    second.local = {selectors(others ? "10.9.0.0/16" : "192.168.0.0/16")};
    o.a.children = {std::make_shared<ChildConfig>(all)};
    o.b.children.push_back(std::make_shared<ChildConfig>(second));
    o.connect();
    REQUIRE(o.pair.a.count<ChildUp>() == 1);
    CHECK(o.last(false)->contents.has(notify::kAdditionalTsPossible) == others);
  }
}

TEST_CASE("ike: a peer that takes one pair of addresses only is offered one (SINGLE_PAIR_REQUIRED)") {
  Overheard o;
  const SaId sa = o.connect();
  o.silent = true;
  CHECK(o.pair.a.engine.add_child(o.pair.now, sa, o.a.children[0]));
  o.pair.run(100ms);
  for (const bool again : {false, true}) {
    const auto asked = o.last(true);
    CHECK(asked->header.exchange == Exchange::kCreateChild);
    REQUIRE(asked->contents.ts_i);
    CHECK(asked->contents.ts_i->at(0).to_string() == (again ? "10.1.0.0" : "10.1.0.0/16"));
    CHECK(asked->contents.ts_r->at(0).to_string() == (again ? "10.2.0.0" : "10.2.0.0/16"));
    Buffer inner(64);
    PayloadWriter out(inner);
    write_notify(out, notify::kSinglePairRequired);
    test::bring(o.pair, true,
                o.keys.seal(o.random, Exchange::kCreateChild, false, true, asked->header.message_id, out.first(),
                            inner.span()));
    o.pair.run(100ms);
  }
  REQUIRE(o.pair.a.count<ChildRefused>() == 1);
  CHECK(o.pair.a.last<ChildRefused>()->reason.notify == notify::kSinglePairRequired);
}

TEST_CASE("ike: a peer that takes no padded packets gets none (ESP_TFC_PADDING_NOT_SUPPORTED)") {
  for (const bool takes : {true, false}) {
    Overheard o;
    ChildConfig padded = IkePair::child(false);
    padded.pad_payload_to = 1000;
    o.b.children = {std::make_shared<ChildConfig>(padded)};
    o.connect();
    CHECK(o.pair.b.last<ChildUp>()->outbound.pad_payload_to == 1000);
    Buffer inner(512);
    PayloadWriter out(inner);
    write_sa(out, *parse_proposals(Protocol::kEsp, "aes256gcm16"), Bytes{1, 2, 3, 4});
    out.add(PayloadType::kNonce, Bytes(32, 9));
    write_selectors(out, PayloadType::kTsInitiator, selectors("10.1.0.0/16"));
    write_selectors(out, PayloadType::kTsResponder, selectors("10.2.0.0/16"));
    if (!takes) write_notify(out, notify::kEspTfcPaddingNotSupported);
    test::bring(o.pair, false,
                o.keys.seal(o.random, Exchange::kCreateChild, true, false, 2, out.first(), inner.span()));
    o.pair.run(100ms);
    REQUIRE(o.pair.b.count<ChildUp>() == 2);
    CHECK(o.pair.b.last<ChildUp>()->outbound.pad_payload_to == (takes ? 1000 : 0));
  }
}

TEST_CASE("ike: a client that asks for no address where it needs one is told so (FAILED_CP_REQUIRED)") {
  Overheard o;
  o.b.pool = true;
  o.connect();
  REQUIRE(o.pair.a.count<Up>() == 1);
  REQUIRE(o.pair.a.count<ChildRefused>() == 1);
  CHECK(o.pair.a.last<ChildRefused>()->reason.notify == notify::kFailedCpRequired);
  CHECK(o.pair.a.last<ChildRefused>()->reason.cause == Cause::kAddress);
  CHECK(o.pair.b.last<ChildRefused>()->reason.cause == Cause::kAddress);
}

TEST_CASE("security: a peer gets no more child SAs than there are to be had (NO_ADDITIONAL_SAS)") {
  EngineOptions options;
  options.child_limit = 3;
  IkePair pair(92, {}, std::move(options));
  const SaId sa = pair.connect();
  const ChildConfigPtr child = IkePair::connection(true).children[0];
  for (int i = 0; i < 4; ++i) {
    CHECK(pair.a.engine.add_child(pair.now, sa, child));
    pair.run(1s);
  }
  CHECK(pair.a.count<ChildUp>() == 3);
  REQUIRE(pair.a.count<ChildRefused>() == 2);
  CHECK(pair.a.last<ChildRefused>()->reason.notify == notify::kNoAdditionalSas);
  // Those that there are can be rekeyed, and room comes back.
  CHECK(pair.a.engine.rekey_child(pair.now, pair.a.last<ChildUp>()->child));
  pair.run(10s);
  CHECK(pair.a.engine.counters().child_rekeys == 1);
  CHECK(pair.a.engine.delete_child(pair.now, pair.a.last<ChildUp>()->child));
  pair.run(10s);
  CHECK(pair.a.engine.add_child(pair.now, sa, child));
  pair.run(1s);
  CHECK(pair.a.count<ChildUp>() == 4);
  CHECK(pair.traffic_flows());
}

TEST_CASE("ike: a gateway that makes no child anew is left for a new IKE SA") {
  Overheard o;
  o.connect();
  o.silent = true;
  CHECK(o.pair.a.engine.rekey_child(o.pair.now, o.pair.a.last<ChildUp>()->child));
  o.pair.run(100ms);
  Buffer inner(64);
  PayloadWriter out(inner);
  write_notify(out, notify::kNoAdditionalSas);
  o.silent = false;
  test::bring(o.pair, true, o.keys.seal(o.random, Exchange::kCreateChild, false, true, 2, out.first(), inner.span()));
  o.pair.run(5s);
  REQUIRE(o.pair.a.count<Up>() == 2);
  CHECK(o.pair.a.last<Up>()->replaces == SaId{1});
  CHECK(o.pair.traffic_flows());
}

TEST_CASE("ike: who authenticates anew asks for the address that it has") {
  Connection a = IkePair::connection(true), b = IkePair::connection(false);
  a.request.addresses = {*Prefix::parse("0.0.0.0/0"), *Prefix::parse("::/0")};
  ChildConfig own = IkePair::child(true), given = IkePair::child(false);
  own.local = {.dynamic = true};
  given.remote = {.dynamic = true};
  a.children = {std::make_shared<ChildConfig>(own)};
  b.children = {std::make_shared<ChildConfig>(given)};
  b.pool = true;
  IkePair pair(94);
  std::vector<std::string> wishes;
  pair.b.on_event = [&](const Event& event) {
    const auto* const ask = std::get_if<AskAddresses>(&event);
    if (ask == nullptr) return;
    for (const Prefix& wish : ask->wish.addresses) wishes.push_back(wish.to_string());
    Configuration out;
    out.addresses = {*Prefix::parse("10.3.0.7"), *Prefix::parse("2001:db8::7")};
    CHECK(pair.b.engine.answer(pair.now, ask->id, out));
  };
  const SaId sa = pair.connect(IkePair::share(a), IkePair::share(b));
  CHECK(pair.a.engine.reauthenticate(pair.now, sa));
  pair.run(5s);
  REQUIRE(wishes.size() == 4);
  CHECK(wishes[0] == "0.0.0.0/32");
  CHECK(wishes[2] == "10.3.0.7/32");
  CHECK(wishes[3] == "2001:db8::7/128");
  CHECK(pair.traffic_flows());
}

}  // namespace
}  // namespace winze::ike
