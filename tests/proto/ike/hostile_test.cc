// What must not happen, by the kinds of holes that IKE implementations have had: openings, lengths, and echoes.
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

Connection hostile_connection(bool of_a) {
  Connection c = IkePair::connection(of_a);
  c.proposals = *parse_proposals(Protocol::kIke, test::kRogueProposal);
  c.resumption = true;
  return c;
}

TEST_CASE("security: each message while an IKE SA opens: nobody comes in without a proof") {
  enum class At { kHalfOpen, kAsking, kFurtherKeyExchange, kInitiator };
  for (const At at : {At::kHalfOpen, At::kAsking, At::kFurtherKeyExchange, At::kInitiator}) {
    for (const std::uint8_t exchange : {34, 35, 36, 37, 38, 43, 44, 0, 255}) {
      for (const bool response : {false, true}) {
        for (const auto& [first, inner] : test::odd_payloads()) {
          CAPTURE(static_cast<int>(at));
          CAPTURE(exchange);
          CAPTURE(static_cast<int>(first));
          test::RogueKeys keys;
          EngineOptions for_b;
          for_b.key_log = [&](std::string_view line) { keys.take(line); };
          IkePair pair(48, {}, std::move(for_b));
          Connection a = hostile_connection(true), b = hostile_connection(false);
          b.ask_authorize = at == At::kAsking;
          if (at == At::kFurtherKeyExchange) {
            a.proposals = b.proposals = *parse_proposals(Protocol::kIke, "aes128gcm16-prfsha256-x25519-ke1_ecp256");
          }
          // What is genuine gets no further.
          const unsigned last = at == At::kAsking ? 3 : 2;
          pair.bend = [&, n = 0u](bool, const Buffer&) mutable { return IkePair::Fate{++n > last ? 0u : 1u}; };
          pair.connect(IkePair::share(a), IkePair::share(b));
          const bool to_a = at == At::kInitiator;
          SeededRandom random(5);
          for (std::uint32_t id = 0; id < 3; ++id) {
            test::bring(pair, to_a,
                        keys.seal(random, static_cast<Exchange>(exchange), !to_a, response, id, first, inner));
            pair.drain();
          }
          pair.run(600s);
          CHECK(pair.a.count<Up>() + pair.b.count<Up>() == 0);
          CHECK(pair.a.engine.size() + pair.b.engine.size() == 0);
          CHECK(pair.b.engine.half_open() == 0);
        }
      }
    }
  }
}

// Every length inside every payload of a handshake, made untrue.
TEST_CASE("security: lengths inside payloads that are not true") {
  struct Row {
    PayloadType type;
    const char* body;
    std::vector<std::size_t> lengths;  // offsets of 16 bits
    std::vector<std::size_t> counts;   // of 8 bits
  };
  const Row rows[] = {
      {PayloadType::kSa,
       "00000024010100030300000c01000014800e0080030000080200000500000008040000"
       "1f",
       {2, 10, 22, 30},
       {6, 7}},
      {PayloadType::kKeyExchange, "001f0000aabb", {0}, {}},
      {PayloadType::kNotify, "03044009aabbccdd0102", {2}, {1}},
      {PayloadType::kDelete, "03040002aabbccddaabbccdd", {2}, {0, 1}},
      {PayloadType::kTsInitiator, "01000000070000100000ffff0a0000000a0000ff", {6}, {0, 4}},
      {PayloadType::kConfiguration, "0100000000010004c0000201000300000015000201aa", {6, 14, 18}, {0}},
      {PayloadType::kIdInitiator, "02000000612e74657374", {}, {0}},
      {PayloadType::kAuth, "02000000aabb", {}, {0}},
      {PayloadType::kCertificate, "04aabb", {}, {0}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.body);
    const Bytes good = test::unhex(row.body);
    const auto decodes = [&](const Bytes& body) {
      PayloadChain chain;
      Contents contents;
      const Bytes bytes = payload(0, body);
      return chain.decode(row.type, bytes) && contents.decode(chain);
    };
    CHECK(decodes(good));
    for (const std::size_t at : row.lengths) {
      for (const unsigned value : {0u, 1u, 3u, 4u, 7u, 8u, 9u, 255u, 256u, 32767u, 32768u, 65535u}) {
        Bytes bent = good;
        store_u16(&bent[at], static_cast<std::uint16_t>(value));
        (void)decodes(bent);
      }
    }
    for (const std::size_t at : row.counts) {
      for (unsigned value = 0; value < 256; ++value) {
        Bytes bent = good;
        bent[at] = static_cast<std::uint8_t>(value);
        (void)decodes(bent);
      }
    }
    for (std::size_t size = 0; size < good.size(); ++size) {
      (void)decodes({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)});
    }
  }
}

TEST_CASE("security: what a peer names is neither believed nor repeated blindly") {
  struct Row {
    const char* what;
    PayloadType first;
    Bytes inner;
  };
  const Bytes spi{1, 2, 3, 4};
  const auto notify = [](std::uint8_t protocol, std::uint8_t size, std::uint16_t type, const Bytes& rest) {
    Bytes body{protocol, size, static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type)};
    body.insert(body.end(), rest.begin(), rest.end());
    return payload(0, body);
  };
  std::vector<Row> rows;
  for (const std::uint8_t protocol : {0, 1, 2, 3, 4, 255}) {
    rows.push_back({"REKEY_SA", PayloadType::kNotify, notify(protocol, 4, 16393, spi)});
    rows.push_back({"REKEY_SA without SPI", PayloadType::kNotify, notify(protocol, 0, 16393, {})});
    rows.push_back({"REKEY_SA, long SPI", PayloadType::kNotify, notify(protocol, 200, 16393, Bytes(200))});
    // With protocol 1, IKE, a number of SPIs is bad syntax, which ends an IKE SA.
    if (protocol == 1) continue;
    rows.push_back({"DELETE", PayloadType::kDelete, payload(0, {protocol, 4, 0, 1, 1, 2, 3, 4})});
    rows.push_back({"DELETE twice", PayloadType::kDelete, payload(0, {protocol, 4, 0, 2, 1, 2, 3, 4, 1, 2, 3, 4})});
  }
  rows.push_back({"COOKIE2", PayloadType::kNotify, notify(0, 0, 16401, Bytes(200))});
  rows.push_back({"REDIRECT", PayloadType::kNotify, notify(0, 0, 16407, {1, 4, 1, 2, 3, 4})});
  for (const std::uint8_t exchange : {36, 37}) {
    for (const Row& row : rows) {
      CAPTURE(row.what);
      CAPTURE(exchange);
      test::RogueKeys keys;
      EngineOptions for_b;
      for_b.key_log = [&](std::string_view line) { keys.take(line); };
      IkePair pair(49, {}, std::move(for_b));
      const SaId sa = pair.connect(IkePair::share(hostile_connection(true)), IkePair::share(hostile_connection(false)));
      REQUIRE(pair.traffic_flows());
      SeededRandom random(6);
      Bytes inner = row.inner;
      PayloadType first = row.first;
      if (exchange == 36) {
        // With what belongs into CREATE_CHILD_SA before it.
        const Bytes sa_payload =
            payload(40, test::unhex("00000020010304020a0b0c0d0300000c01000014800e00800000000805000000"));
        Bytes all = sa_payload;
        const Bytes nonce = payload(static_cast<std::uint8_t>(row.first), Bytes(32, 1));
        all.insert(all.end(), nonce.begin(), nonce.end());
        all.insert(all.end(), inner.begin(), inner.end());
        inner = all;
        first = PayloadType::kSa;
      }
      test::bring(pair, false, keys.seal(random, static_cast<Exchange>(exchange), true, false, 2, first, inner));
      pair.run(1s);
      // The child that was not meant lives, and so does the IKE SA.
      CHECK(pair.b.engine.info(pair.b.last<Up>()->sa));
      CHECK(pair.b.count<ChildDown>() == 0);
      CHECK(pair.b.count<Redirected>() == 0);
      CHECK(pair.a.engine.info(sa));
    }
  }
}

TEST_CASE("security: nobody who has not shown where he is gets more bytes than he has sent") {
  for (const int number : {0, 1, 2, 3, 4, 5}) {
    CAPTURE(number);
    EngineOptions for_b;
    if (number == 0) for_b.cookie_threshold = 0;
    IkePair pair(50, {}, std::move(for_b));
    Connection a = hostile_connection(true), b = hostile_connection(false);
    a.follow_redirects = true;
    Opening opening;
    if (number == 1) a.proposals = *parse_proposals(Protocol::kIke, "aes256gcm16-prfsha384-ecp384");
    if (number == 2) {
      a.proposals = *parse_proposals(Protocol::kIke, "aes128gcm16-prfsha256-ecp256-x25519");
    }
    if (number == 3) pair.b.engine.redirect_newcomers(Gateway{{}, std::string(60, 'g')});
    if (number == 4) {
      auto ticket = std::make_shared<Ticket>();
      ticket->opaque = Bytes(64, 7);
      ticket->proposal = a.proposals.front();
      ticket->expires_at = kNever;
      opening.ticket = std::move(ticket);
    }
    std::size_t asked = 0, answered = 0;
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      if (number == 5 && from_a) {
        // Another major version.
        const_cast<Buffer&>(datagram).span()[17] = 0x30;
      }
      std::size_t& size = from_a ? asked : answered;
      if (size == 0) size = datagram.size();
      return IkePair::Fate{from_a && answered != 0 ? 0u : 1u};
    };
    pair.b.engine.set_connections({IkePair::share(b)});
    (void)pair.a.engine.initiate(pair.now, IkePair::share(a), pair.route(), std::move(opening));
    pair.run(100ms);
    CHECK(answered > 0);
    CHECK(answered <= asked);
    CHECK(pair.b.engine.half_open() == 0);
  }
}

TEST_CASE("security: no secret is none, not an empty one") {
  for (const bool client : {true, false}) {
    CAPTURE(client);
    Connection a = hostile_connection(true), b = hostile_connection(false);
    Connection& without = client ? a : b;
    without.local.psk = without.remote.psk = Secret();
    IkePair pair(51);
    test::IkeEnd& end = client ? pair.a : pair.b;
    end.on_event = [&](const Event& event) {
      if (const auto* ask = std::get_if<AskPsk>(&event)) end.engine.answer(pair.now, ask->id, Secret());
    };
    pair.connect(IkePair::share(a), IkePair::share(b));
    CHECK(end.count<AskPsk>() == 1);
    CHECK(pair.a.count<Up>() + pair.b.count<Up>() == 0);
    CHECK(end.last<Closed>()->reason.cause == Cause::kRefusedByHost);
  }
}

}  // namespace
}  // namespace winze::ike
