// What must not happen, by the kinds of holes that IKE implementations have had.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/ike_rogue.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::IkePair;
using test::payload;

Connection rogue_connection(bool of_a) {
  Connection c = IkePair::connection(of_a);
  c.proposals = *parse_proposals(Protocol::kIke, test::kRogueProposal);
  c.dpd_delay = Duration(0);
  return c;
}

// A pair that is up, and A's keys in the hands of a rogue.
struct Rogue {
  test::RogueKeys keys;
  IkePair pair;
  SaId sa_a, sa_b;
  SeededRandom random{5};

  Rogue() : pair(41, options()) {
    sa_a = pair.connect(IkePair::share(rogue_connection(true)), IkePair::share(rogue_connection(false)));
    sa_b = pair.b.last<Up>()->sa;
  }
  EngineOptions options() {
    EngineOptions made;
    made.key_log = [this](std::string_view line) { keys.take(line); };
    return made;
  }
  // To B, as from A: with message id 2, which B expects after IKE_AUTH.
  void send(Exchange exchange, PayloadType first, std::span<const std::uint8_t> inner,
            std::optional<FragmentNumber> fragment = std::nullopt, std::uint32_t message_id = 2) {
    test::bring(pair, false, keys.seal(random, exchange, true, false, message_id, first, inner, fragment));
  }
  std::size_t answers() {
    std::size_t count = 0;
    while (pair.b.engine.next_transmit()) ++count;
    while (auto event = pair.b.engine.next_event()) pair.b.events.push_back(std::move(*event));
    return count;
  }
  bool b_is_up() { return pair.b.engine.info(sa_b).has_value(); }
};

TEST_CASE("security: an unknown critical payload is answered, an unknown other one passed over") {
  for (const bool critical : {true, false}) {
    Rogue rogue;
    rogue.send(Exchange::kInformational, static_cast<PayloadType>(200), payload(0, {1, 2, 3, 4}, critical));
    CHECK(rogue.answers() == 1);
    CHECK(rogue.b_is_up());
  }
}

TEST_CASE("security: fragments with odd numbers, too many bytes, or that never end") {
  struct Row {
    std::uint16_t number, total;
  };
  for (const Row& row : {Row{0, 2}, Row{3, 2}, Row{1, 0}, Row{1, 65535}, Row{65535, 65535}, Row{0, 0}}) {
    Rogue rogue;
    rogue.send(Exchange::kInformational, PayloadType::kNone, Bytes(100), FragmentNumber{row.number, row.total});
    CHECK(rogue.pair.b.engine.counters().fragments_dropped == 1);
    CHECK(rogue.answers() == 0);
    CHECK(rogue.b_is_up());
  }
  Rogue rogue;
  // Twice the same, a total that shrinks: dropped; then more than the limit.
  rogue.send(Exchange::kInformational, PayloadType::kNone, Bytes(100), FragmentNumber{2, 900});
  rogue.send(Exchange::kInformational, PayloadType::kNone, Bytes(100), FragmentNumber{2, 900});
  rogue.send(Exchange::kInformational, PayloadType::kNone, Bytes(100), FragmentNumber{2, 3});
  CHECK(rogue.pair.b.engine.counters().fragments_dropped == 2);
  for (std::uint16_t number = 3; number < 899; ++number) {
    rogue.send(Exchange::kInformational, PayloadType::kNone, Bytes(1000), FragmentNumber{number, 900});
  }
  CHECK(rogue.pair.b.engine.counters().fragments_dropped > 800);
  CHECK(rogue.answers() == 0);
  CHECK(rogue.b_is_up());
}

TEST_CASE("security: nothing before the integrity check changes anything") {
  Rogue rogue;
  IkePair& pair = rogue.pair;
  const Path before = pair.b.engine.info(rogue.sa_b)->path;
  const TimePoint deadline = pair.b.engine.deadline();
  Bytes inner = payload(0, {1, 0, 0, 0});  // DELETE of the IKE SA
  for (std::size_t flip = 0; flip < 60; ++flip) {
    Buffer message =
        rogue.keys.seal(rogue.random, Exchange::kInformational, true, false, 2, PayloadType::kDelete, inner);
    message.data()[4 + kHeaderSize + flip % (message.size() - 4 - kHeaderSize)] ^= static_cast<std::uint8_t>(1 + flip);
    Path elsewhere{pair.b.floated, {*IpAddress::parse("203.0.113.66"), 4500}, 2, true, false};
    pair.b.engine.receive(pair.now, elsewhere, std::move(message));
  }
  CHECK(pair.b.engine.info(rogue.sa_b)->path == before);
  CHECK(pair.b.engine.deadline() == deadline);
  CHECK(rogue.answers() == 0);
  CHECK(pair.b.engine.counters().bad_integrity + pair.b.engine.counters().malformed == 60);
  CHECK(rogue.b_is_up());
}

TEST_CASE("security: each message in each state: answered or dropped, and no state that should not be left") {
  const std::uint8_t exchanges[] = {34, 35, 36, 37, 38, 43, 44, 0, 255};
  const auto contents = test::odd_payloads();
  enum class At { kUp, kClosing, kRekeyed, kGone, kRekeying, kAddingChild };
  for (const At at : {At::kUp, At::kClosing, At::kRekeyed, At::kGone, At::kRekeying, At::kAddingChild}) {
    for (const std::uint8_t exchange : exchanges) {
      for (const bool response : {false, true}) {
        for (const auto& [first, inner] : contents) {
          CAPTURE(static_cast<int>(at));
          CAPTURE(exchange);
          CAPTURE(static_cast<int>(first));
          Rogue rogue;
          IkePair& pair = rogue.pair;
          const test::RogueKeys keys = rogue.keys;
          switch (at) {
            case At::kUp:
              break;
            case At::kClosing:
              pair.b.engine.close(pair.now, rogue.sa_b);
              break;
            case At::kRekeyed: {
              pair.bend = [&, sent = 0](bool from_a, const Buffer&) mutable {
                return IkePair::Fate{.copies = from_a && ++sent > 1 ? 0u : 1u};
              };
              pair.a.engine.rekey(pair.now, rogue.sa_a);
              pair.run(50ms);
              break;
            }
            case At::kGone:
              pair.a.engine.close(pair.now, rogue.sa_a);
              pair.run(100ms);
              break;
            case At::kRekeying:
              pair.b.engine.rekey(pair.now, rogue.sa_b);
              break;
            case At::kAddingChild:
              pair.b.engine.add_child(pair.now, rogue.sa_b, std::make_shared<ChildConfig>(IkePair::child(false)));
              break;
          }
          rogue.keys = keys;
          rogue.keys.i.sealed += 1000;
          const std::uint32_t id = response ? 0 : at == At::kRekeyed || at == At::kGone ? 3 : 2;
          test::bring(pair, false,
                      rogue.keys.seal(rogue.random, static_cast<Exchange>(exchange), true, response, id, first, inner));
          pair.bend = nullptr;
          rogue.answers();
          pair.run(600s);
          CHECK(pair.b.engine.size() <= 1);
          CHECK(pair.b.engine.half_open() == 0);
        }
      }
    }
  }
}

// --- Strangers

Buffer first_request(SeededRandom& random, const ProposalList& proposals, std::uint16_t group,
                     const Bytes& public_value, std::span<const std::uint8_t> cookie = {}) {
  Buffer message(512, kHeaderSize);
  PayloadWriter out(message);
  if (!cookie.empty()) write_notify(out, notify::kCookie, cookie);
  write_sa(out, proposals, {});
  write_key_exchange(out, group, public_value);
  Bytes nonce(32);
  random.fill(nonce);
  out.add(PayloadType::kNonce, nonce);
  prepend_header(message,
                 {.spi_i = random.u64() | 1, .first = out.first(), .exchange = Exchange::kInit, .initiator = true});
  return message;
}

TEST_CASE("security: a flood of first requests leaves no state before the cookie, and a tunnel untouched") {
  EngineOptions options;
  options.cookie_threshold = 0;
  IkePair pair(42, {}, std::move(options));
  pair.connect();
  const Counters before = pair.b.engine.counters();
  const TimePoint deadline = pair.b.engine.deadline();
  SeededRandom random(1);
  std::size_t in = 0, out = 0;
  for (int i = 0; i < 20'000; ++i) {
    Bytes key(32);
    random.fill(key);
    Buffer message = first_request(random, default_proposals(Protocol::kIke), 31, key);
    std::uint8_t address[4];
    random.fill(address);
    in += message.size();
    pair.b.engine.receive(pair.now, {pair.b.plain, {IpAddress::v4(address), 500}, 1, false, false}, std::move(message));
    while (auto answer = pair.b.engine.next_transmit()) out += answer->datagram.size();
  }
  CHECK(pair.b.engine.size() == 1);
  CHECK(pair.b.engine.half_open() == 0);
  CHECK(pair.b.engine.deadline() == deadline);
  CHECK(pair.b.engine.counters().cookies_sent == before.cookies_sent + 20'000);
  CHECK(out < in);
  CHECK(pair.traffic_flows());
}

TEST_CASE("security: without cookies the half open ones are bounded, and go by themselves") {
  EngineOptions options;
  options.cookie_threshold = SIZE_MAX;
  options.half_open_limit = 50;
  IkePair pair(43, {}, std::move(options));
  pair.connect();
  SeededRandom random(1);
  for (int i = 0; i < 500; ++i) {
    Bytes key(32);
    random.fill(key);
    std::uint8_t address[4];
    random.fill(address);
    pair.b.engine.receive(pair.now, {pair.b.plain, {IpAddress::v4(address), 500}, 1, false, false},
                          first_request(random, default_proposals(Protocol::kIke), 31, key));
  }
  CHECK(pair.b.engine.half_open() == 50);
  CHECK(pair.b.engine.counters().over_limit == 450);
  pair.drain();
  pair.run(31s);
  CHECK(pair.b.engine.half_open() == 0);
  CHECK(pair.b.engine.size() == 1);
  CHECK(pair.traffic_flows());
}

TEST_CASE("security: cookies of another, an old or a made up kind") {
  EngineOptions options;
  options.cookie_threshold = 0;
  IkePair pair(44, {}, std::move(options));
  pair.b.engine.set_connections({IkePair::share(IkePair::connection(false))});
  SeededRandom random(1);
  for (const std::size_t size : {1, 16, 17, 18, 64}) {
    Bytes cookie(size, 1);
    pair.b.engine.receive(pair.now, {pair.b.plain, pair.a.plain, 1, false, false},
                          first_request(random, default_proposals(Protocol::kIke), 31, Bytes(32, 9), cookie));
  }
  CHECK(pair.b.engine.size() == 0);
  CHECK(pair.b.engine.counters().cookies_bad == 5);
}

TEST_CASE("security: public values that are none") {
  struct Row {
    std::uint16_t group;
    Bytes value;
  };
  Bytes one(256);
  one.back() = 1;
  const Row rows[] = {
      {31, {}},        {31, Bytes(32)},        {31, Bytes(31, 1)},  {31, Bytes(33, 1)},
      {19, Bytes(64)}, {19, Bytes(64, 1)},     {19, Bytes(63, 1)},  {14, Bytes(256)},
      {14, one},       {14, Bytes(256, 0xff)}, {14, Bytes(255, 1)}, {14, Bytes(257, 1)},
  };
  for (const Row& row : rows) {
    CAPTURE(row.group);
    CAPTURE(row.value.size());
    IkePair pair(45);
    pair.b.engine.set_connections({IkePair::share(IkePair::connection(false))});
    SeededRandom random(1);
    pair.b.engine.receive(pair.now, {pair.b.plain, pair.a.plain, 1, false, false},
                          first_request(random, default_proposals(Protocol::kIke), row.group, row.value));
    CHECK(pair.b.engine.size() == 0);
  }
}

TEST_CASE("security: odd but legal proposals of a stranger") {
  SeededRandom random(1);
  const Proposal good = *Proposal::parse(Protocol::kIke, "aes256gcm16-prfsha256-x25519");
  std::vector<Proposal> odd;
  for (unsigned type = 0; type < 16; ++type) {
    for (const std::uint16_t id : {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{20}, std::uint16_t{65535}}) {
      for (const std::uint16_t bits : {std::uint16_t{0}, std::uint16_t{1}, std::uint16_t{65535}}) {
        Proposal made = good;
        made.transforms.push_back({static_cast<TransformType>(type), id, bits});
        odd.push_back(made);
        std::erase_if(made.transforms, [&](const Transform& t) { return t.type == static_cast<TransformType>(type); });
        odd.push_back(made);
      }
    }
  }
  for (const std::uint8_t protocol : {0, 2, 3, 255}) {
    odd.push_back({static_cast<Protocol>(protocol), good.transforms});
  }
  IkePair pair(46);
  pair.b.engine.set_connections({IkePair::share(IkePair::connection(false))});
  for (const Proposal& proposal : odd) {
    Bytes key(32, 9);
    pair.b.engine.receive(pair.now, {pair.b.plain, pair.a.plain, 1, false, false},
                          first_request(random, {proposal}, 31, key));
    pair.drain();
  }
  pair.run(60s);
  CHECK(pair.b.engine.size() == 0);
}

TEST_CASE("security: an answer that nobody waits for, or that is not of the first request, opens nothing") {
  IkePair pair(47);
  pair.bend = [](bool from_a, const Buffer&) { return IkePair::Fate{.copies = from_a ? 1u : 0u}; };
  pair.connect();
  SeededRandom random(1);
  for (int i = 0; i < 100; ++i) {
    Buffer message(64);
    Bytes bytes(28 + random.below(64));
    random.fill(bytes);
    bytes[17] = 0x20;
    bytes[18] = static_cast<std::uint8_t>(34 + i % 4);
    store_u64(bytes.data(), pair.a.engine.info(SaId{1})->spi_i);
    store_u32(bytes.data() + 24, static_cast<std::uint32_t>(bytes.size()));
    message.append(bytes);
    pair.a.engine.receive(pair.now, {pair.a.plain, pair.b.plain, 1, false, false}, std::move(message));
  }
  CHECK(pair.a.count<Up>() == 0);
  pair.run(200s);
  CHECK(pair.a.engine.size() == 0);
}

}  // namespace
}  // namespace winze::ike
