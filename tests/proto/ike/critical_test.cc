// Payloads that nobody here knows (RFC 7296 section 2.5): critical ones are refused by name in requests and not borne
// in responses, others are passed over; in every exchange, at both ends.
#include <doctest/doctest.h>

#include <string_view>

#include "support/ike_impostor.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::Heard;
using test::IkePair;
using test::Impostor;
using test::Said;

constexpr std::uint8_t kStrange = 200;

// With one more payload at the end.
Said with_strange(Said said, bool critical) {
  if (said.bytes.empty()) return {static_cast<PayloadType>(kStrange), test::payload(0, {1, 2, 3}, critical)};
  const Bytes more = test::payload(0, {1, 2, 3}, critical);
  std::size_t at = 0;
  for (;;) {
    const std::size_t next = at + load_u16(&said.bytes[at + 2]);
    if (next >= said.bytes.size()) break;
    at = next;
  }
  said.bytes[at] = kStrange;
  said.bytes.insert(said.bytes.end(), more.begin(), more.end());
  return said;
}

// UNSUPPORTED_CRITICAL_PAYLOAD, and the type that it was.
void check_refusal(const Heard& answer) {
  bool seen = false;
  answer.with_contents([&](const Contents& contents) {
    const NotifyView* const notify = contents.find(notify::kUnsupportedCriticalPayload);
    REQUIRE(notify != nullptr);
    CHECK(contents.notifies.size() == 1);
    CHECK(Bytes(notify->data.begin(), notify->data.end()) == Bytes{kStrange});
    seen = true;
  });
  CHECK(seen);
}

Said child_request(Impostor& world) {
  return test::said([&](PayloadWriter& out) {
    std::uint8_t spi[4];
    store_u32(spi, 0x0a0b0c0d);
    write_sa(out, *parse_proposals(Protocol::kEsp, "aes128gcm16-noesn"), spi);
    out.add(PayloadType::kNonce, Bytes(32, 1));
    const auto own = *ip::Selector::parse(world.at_a ? "10.2.0.0/16" : "10.1.0.0/16");
    const auto other = *ip::Selector::parse(world.at_a ? "10.1.0.0/16" : "10.2.0.0/16");
    write_selectors(out, PayloadType::kTsInitiator, {&own, 1});
    write_selectors(out, PayloadType::kTsResponder, {&other, 1});
  });
}

TEST_CASE("security: an unknown critical payload in a request is refused by its type, and nothing else is done") {
  for (const bool at_a : {true, false}) {
    for (const Exchange exchange : {Exchange::kInformational, Exchange::kCreateChild}) {
      CAPTURE(at_a);
      CAPTURE(exchange_name(exchange));
      Impostor world(81, at_a);
      const auto what = [&] { return exchange == Exchange::kCreateChild ? child_request(world) : Said{}; };
      const std::size_t events = world.attacked().events.size();
      const auto refused = world.say(exchange, with_strange(what(), true));
      REQUIRE(refused.size() == 1);
      check_refusal(refused[0]);
      CHECK(world.attacked().events.size() == events);
      CHECK(world.is_up());
      // Not critical: as if it were not there.
      const auto taken = world.say(exchange, with_strange(what(), false));
      REQUIRE(taken.size() == 1);
      CHECK(taken[0].notifies().empty());
      CHECK(world.attacked().children.size() == (exchange == Exchange::kCreateChild ? 2 : 1));
    }
  }
}

TEST_CASE("security: an unknown critical payload in a response ends the IKE SA, an unknown other one does not") {
  for (const bool at_a : {true, false}) {
    for (const bool critical : {true, false}) {
      for (const bool of_child : {true, false}) {
        CAPTURE(at_a);
        CAPTURE(critical);
        CAPTURE(of_child);
        Impostor world(82, at_a);
        IkePair& pair = world.pair;
        test::IkeEnd& end = world.attacked();
        const ChildId child = end.children.begin()->first;
        const auto done =
            test::tamper(pair, world.keys, !at_a, of_child ? Exchange::kCreateChild : Exchange::kInformational,
                         [&](const Heard& heard) { return with_strange(heard.inner, critical); });
        REQUIRE((of_child ? end.engine.rekey_child(pair.now, child) : end.engine.delete_child(pair.now, child)));
        pair.run(10s);
        CHECK(*done);
        CHECK(world.is_up() == !critical);
        if (!critical) {
          CHECK(end.count<ChildOutbound>() == (of_child ? 1 : 0));
          CHECK(end.count<ChildDown>() == (of_child ? 0 : 1));
          continue;
        }
        REQUIRE(end.count<Closed>() == 1);
        CHECK(end.last<Closed>()->reason.cause == Cause::kMisbehaved);
        CHECK(end.count<ChildOutbound>() == 0);
      }
    }
  }
}

TEST_CASE("security: an unknown critical payload in IKE_AUTH, from either end") {
  for (const bool from_a : {true, false}) {
    for (const bool critical : {true, false}) {
      CAPTURE(from_a);
      CAPTURE(critical);
      test::RogueKeys keys;
      EngineOptions options;
      options.key_log = [&](std::string_view line) { keys.take(line); };
      IkePair pair(83, {}, std::move(options));
      const auto done = test::tamper(pair, keys, from_a, Exchange::kAuth,
                                     [&](const Heard& heard) { return with_strange(heard.inner, critical); });
      pair.connect(IkePair::share(test::open_book(true)), IkePair::share(test::open_book(false)));
      pair.run(10s);
      CHECK(*done);
      if (!critical) {
        CHECK(pair.a.count<Up>() == 1);
        CHECK(pair.traffic_flows());
        continue;
      }
      CHECK(pair.a.count<Up>() == 0);
      REQUIRE(pair.a.count<Closed>() == 1);
      const Reason& why = pair.a.last<Closed>()->reason;
      if (from_a) {
        CHECK(pair.b.count<Up>() == 0);
        CHECK(pair.b.last<Closed>()->reason.cause == Cause::kUnsupported);
        CHECK(why.notify == notify::kUnsupportedCriticalPayload);
      } else {
        CHECK(why.cause == Cause::kMisbehaved);
      }
    }
  }
}

// --- IKE_SA_INIT, which is in the clear

Buffer edited(const Buffer& datagram, bool critical) {
  const auto header = *decode_header(datagram.span());
  Said all{header.first, {datagram.span().begin() + kHeaderSize, datagram.span().end()}};
  all = with_strange(all, critical);
  Buffer out(1024, kHeaderSize);
  out.append(all.bytes);
  Header changed = header;
  changed.first = all.first;
  prepend_header(out, changed);
  return out;
}

TEST_CASE("security: an unknown critical payload in IKE_SA_INIT is refused by its type, and leaves no state") {
  for (const bool critical : {true, false}) {
    CAPTURE(critical);
    IkePair pair(84);
    std::vector<Bytes> answers;
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      if (!from_a) {
        answers.emplace_back(datagram.span().begin(), datagram.span().end());
        return IkePair::Fate{0};
      }
      pair.b.engine.receive(pair.now, {pair.b.plain, pair.a.plain, 1, false, false}, edited(datagram, critical));
      return IkePair::Fate{0};
    };
    pair.connect(IkePair::share(test::open_book(true)), IkePair::share(test::open_book(false)));
    CHECK(pair.b.engine.size() == (critical ? 0 : 1));
    pair.drain();
    REQUIRE(answers.size() == 1);
    const auto header = decode_header(answers[0]);
    REQUIRE(header);
    CHECK(header->response);
    const Heard answer{*header, {header->first, Bytes(answers[0].begin() + kHeaderSize, answers[0].end())}};
    if (critical) {
      check_refusal(answer);
    } else {
      CHECK(answer.error() == 0);
    }
  }
}

TEST_CASE("security: an answer to IKE_SA_INIT with an unknown critical payload is none") {
  for (const bool critical : {true, false}) {
    CAPTURE(critical);
    IkePair pair(85);
    bool first = true;
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      if (from_a || !std::exchange(first, false)) return IkePair::Fate{};
      pair.a.engine.receive(pair.now, {pair.a.plain, pair.b.plain, 1, false, false}, edited(datagram, critical));
      // What the peer has said itself comes when it is asked again.
      return IkePair::Fate{0};
    };
    pair.connect(IkePair::share(test::open_book(true)), IkePair::share(test::open_book(false)));
    CHECK(pair.a.count<Up>() == 0);
    CHECK(pair.a.engine.counters().malformed == (critical ? 1 : 0));
    pair.run(20s);
    // One that was taken has changed what AUTH covers: only then the peer finds a fault.
    CHECK(pair.a.count<Up>() == (critical ? 1 : 0));
    CHECK(pair.a.count<Closed>() == (critical ? 0 : 1));
  }
}

}  // namespace
}  // namespace winze::ike
