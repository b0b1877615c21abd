// Every exchange between two engines.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "support/ike_pair.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

TEST_CASE("ike: an IKE SA with one child comes up, and carries traffic") {
  IkePair pair(1);
  const SaId sa = pair.connect();
  REQUIRE(pair.a.count<Up>() == 1);
  REQUIRE(pair.b.count<Up>() == 1);
  CHECK(pair.a.last<Up>()->remote.to_string() == "b.test");
  CHECK(pair.b.last<Up>()->remote.to_string() == "a.test");
  CHECK(pair.a.last<Up>()->initiator);
  CHECK(!pair.b.last<Up>()->initiator);
  CHECK(pair.a.last<Up>()->proposal.to_string() == "aes256gcm16-prfsha256-x25519");
  REQUIRE(pair.a.count<ChildUp>() == 1);
  REQUIRE(pair.b.count<ChildUp>() == 1);
  CHECK(pair.a.last<ChildUp>()->selectors.local[0].to_string() == "10.1.0.0/16");
  CHECK(pair.b.last<ChildUp>()->selectors.local[0].to_string() == "10.2.0.0/16");
  CHECK(pair.a.last<ChildUp>()->inbound.spi == pair.b.last<ChildUp>()->outbound.spi);
  CHECK(pair.a.engine.info(sa)->established);
  CHECK(pair.traffic_flows());
  CHECK(pair.b.engine.half_open() == 0);
}

TEST_CASE("ike: every proposal family carries IKE and ESP") {
  const char* const ike_texts[] = {
      "aes256gcm16-prfsha384-x25519",
      "aes128gcm12-prfsha512-ecp256",
      "aes192gcm8-prfsha256-ecp384",
      "aes256ccm16-prfsha256-x25519",
      "aes128ccm8-prfsha1-x25519",
      "chacha20poly1305-prfsha256-ecp521",
      "aes256-sha256-modp2048",
      "aes192-sha384-modp3072",
      "aes128-sha512-x25519",
      "aes128-sha1-x25519",
      "aes256ctr-sha256-x25519",
      "aes128-aesxcbc-x25519",
      "aes128-aescmac-prfaescmac-x25519",
      "3des-md5-modp1024",
  };
  const char* const esp_texts[] = {
      "aes256gcm16-esn", "aes128gcm8",    "aes256ccm16", "chacha20poly1305", "aes256-sha256",
      "aes192-sha384",   "aes128-sha512", "aes128-sha1", "aes256ctr-sha256", "aes128-aesxcbc",
      "aes128-aescmac",  "null-sha256",   "aes256gmac",  "3des-md5",
  };
  for (std::size_t i = 0; i < std::size(ike_texts); ++i) {
    CAPTURE(ike_texts[i]);
    CAPTURE(esp_texts[i]);
    IkePair pair(i);
    Connection ends[2] = {IkePair::connection(true), IkePair::connection(false)};
    for (const bool of_a : {true, false}) {
      Connection& c = ends[of_a ? 0 : 1];
      c.proposals = *parse_proposals(Protocol::kIke, ike_texts[i], true);
      ChildConfig child = IkePair::child(of_a);
      child.proposals = *parse_proposals(Protocol::kEsp, esp_texts[i], true);
      child.legacy = true;
      c.children = {std::make_shared<ChildConfig>(child)};
    }
    const SaId sa = pair.connect(IkePair::share(ends[0]), IkePair::share(ends[1]));
    REQUIRE(pair.a.count<ChildUp>() == 1);
    CHECK(pair.traffic_flows());
    CHECK(pair.a.engine.rekey(pair.now, sa));
    pair.run(1s);
    CHECK(pair.a.count<Rekeyed>() == 1);
    CHECK(pair.b.count<Rekeyed>() == 1);
    CHECK(pair.b.engine.rekey_child(pair.now, pair.b.last<ChildUp>()->child));
    pair.run(10s);
    CHECK(pair.a.count<ChildInboundGone>() == 1);
    CHECK(pair.traffic_flows());
  }
}

// Both ends' connections, changed before they are used.
struct Ends {
  Connection a = IkePair::connection(true), b = IkePair::connection(false);
  SaId connect(IkePair& pair) const { return pair.connect(IkePair::share(a), IkePair::share(b)); }
  void child(bool of_a, const std::function<void(ChildConfig&)>& change) {
    Connection& c = of_a ? a : b;
    ChildConfig config = *c.children.front();
    change(config);
    c.children = {std::make_shared<const ChildConfig>(std::move(config))};
  }
};

const Reason* why_closed(const test::IkeEnd& end) {
  const Closed* const closed = end.last<Closed>();
  return closed == nullptr ? nullptr : &closed->reason;
}

TEST_CASE("ike: a responder under load asks for a cookie, and keeps nothing before it comes back") {
  EngineOptions strict;
  strict.cookie_threshold = 0;
  IkePair pair(2, {}, std::move(strict));
  pair.bend = [&](bool, const Buffer&) {
    if (pair.b.engine.counters().cookies_sent == 1 && pair.a.count<Up>() == 0 &&
        pair.b.engine.counters().received == 1) {
      CHECK(pair.b.engine.size() == 0);
    }
    return IkePair::Fate{};
  };
  pair.connect();
  CHECK(pair.b.engine.counters().cookies_sent == 1);
  CHECK(pair.b.engine.counters().cookies_bad == 0);
  CHECK(pair.traffic_flows());
}

TEST_CASE("ike: a responder that wants another group is followed") {
  Ends ends;
  ends.a.proposals = *parse_proposals(Protocol::kIke, "aes256gcm16-prfsha256-modp2048-ecp384-x25519");
  ends.b.proposals = *parse_proposals(Protocol::kIke, "aes256gcm16-prfsha256-ecp384");
  for (const std::size_t threshold : {std::size_t{30}, std::size_t{0}}) {
    EngineOptions options;
    options.cookie_threshold = threshold;
    IkePair pair(3, {}, std::move(options));
    ends.connect(pair);
    REQUIRE(pair.a.count<Up>() == 1);
    CHECK(pair.a.last<Up>()->proposal.to_string() == "aes256gcm16-prfsha256-ecp384");
  }
}

TEST_CASE("ike: no proposal in common: both lists are told") {
  Ends ends;
  ends.a.proposals = *parse_proposals(Protocol::kIke, "aes128-sha1-modp2048");
  ends.b.proposals = *parse_proposals(Protocol::kIke, "aes256gcm16-prfsha384-ecp384");
  IkePair pair(4);
  ends.connect(pair);
  REQUIRE(why_closed(pair.a) != nullptr);
  CHECK(why_closed(pair.a)->cause == Cause::kNoProposal);
  CHECK(why_closed(pair.a)->stage == Stage::kInit);
  REQUIRE(why_closed(pair.b) != nullptr);
  CHECK(why_closed(pair.b)->to_string() ==
        "IKE_SA_INIT: no proposal in common (NO_PROPOSAL_CHOSEN); the peer offered aes128-prfsha1-sha1-modp2048; we "
        "accept "
        "aes256gcm16-prfsha384-ecp384");
  CHECK(pair.a.engine.size() == 0);
  CHECK(pair.b.engine.size() == 0);
}

TEST_CASE("ike: a wrong secret, and a peer of another name, are refused at the end that finds out") {
  for (const bool secret : {true, false}) {
    CAPTURE(secret);
    Ends ends;
    if (secret) {
      ends.a.local.psk = ends.a.remote.psk = Secret(std::string_view("another"));
    } else {
      ends.a.remote.id = IdentityPattern("c.test");
    }
    IkePair pair(5);
    ends.connect(pair);
    REQUIRE(why_closed(pair.a) != nullptr);
    CHECK(why_closed(pair.a)->cause == Cause::kRefusedByPeer);
    CHECK(why_closed(pair.a)->stage == Stage::kAuth);
    REQUIRE(why_closed(pair.b) != nullptr);
    CHECK(why_closed(pair.b)->cause == (secret ? Cause::kAuthentication : Cause::kNoConnection));
    CHECK(pair.a.count<Up>() + pair.b.count<Up>() == 0);
    pair.run(60s);
    CHECK(pair.a.engine.size() + pair.b.engine.size() == 0);
  }
}

TEST_CASE("ike: a responder that is another than it should be gets a farewell, and no traffic") {
  Ends ends;
  ends.a.remote.id = IdentityPattern("*.other");  // no IDr is asked for
  IkePair pair(6);
  ends.connect(pair);
  REQUIRE(why_closed(pair.a) != nullptr);
  CHECK(why_closed(pair.a)->cause == Cause::kAuthentication);
  CHECK(pair.a.count<ChildUp>() == 0);
  CHECK(pair.b.engine.info(pair.b.last<Up>()->sa) == std::nullopt);
  CHECK(pair.b.children.empty());
}

TEST_CASE("ike: traffic selectors are narrowed to what both want") {
  Ends ends;
  ends.child(true, [](ChildConfig& c) { c.remote = {{*ip::Selector::parse("0.0.0.0/0")}}; });
  ends.child(false, [](ChildConfig& c) { c.remote = {{*ip::Selector::parse("10.0.0.0/8[tcp]")}}; });
  IkePair pair(7);
  ends.connect(pair);
  REQUIRE(pair.a.count<ChildUp>() == 1);
  CHECK(pair.a.last<ChildUp>()->selectors.local[0].to_string() == "10.1.0.0/16[tcp]");
  CHECK(pair.a.last<ChildUp>()->selectors.remote[0].to_string() == "10.2.0.0/16");
}

TEST_CASE("ike: no selectors, or no ESP proposal in common: the IKE SA stands without the child") {
  for (const bool selectors : {true, false}) {
    CAPTURE(selectors);
    Ends ends;
    ends.child(true, [&](ChildConfig& c) {
      if (selectors) {
        c.remote = {{*ip::Selector::parse("10.9.0.0/16")}};
      } else {
        c.proposals = *parse_proposals(Protocol::kEsp, "aes256ctr-sha512");
      }
    });
    IkePair pair(8);
    ends.connect(pair);
    CHECK(pair.a.count<Up>() == 1);
    CHECK(pair.b.count<Up>() == 1);
    REQUIRE(pair.a.count<ChildRefused>() == 1);
    REQUIRE(pair.b.count<ChildRefused>() == 1);
    CHECK(pair.a.last<ChildRefused>()->reason.cause == (selectors ? Cause::kSelectors : Cause::kNoProposal));
    CHECK(pair.b.last<ChildRefused>()->reason.cause == (selectors ? Cause::kSelectors : Cause::kNoProposal));
    if (!selectors) CHECK(!pair.b.last<ChildRefused>()->reason.offered.empty());
  }
}

TEST_CASE("ike: without a child at first (RFC 6023), and one added later") {
  Ends ends;
  ends.a.start_children = 0;
  IkePair pair(9);
  const SaId sa = ends.connect(pair);
  CHECK(pair.a.count<Up>() == 1);
  CHECK(pair.a.count<ChildUp>() == 0);
  CHECK(pair.a.engine.add_child(pair.now, sa, ends.a.children.front()));
  pair.run(1s);
  CHECK(pair.a.count<ChildUp>() == 1);
  CHECK(pair.traffic_flows());
}

TEST_CASE("ike: a client gets addresses and name servers, and its child is for them") {
  Ends ends;
  ends.a.request.addresses = {{IpAddress(), 32}, *Prefix::parse("::")};
  ends.a.request.dns = {IpAddress()};
  ends.child(true, [](ChildConfig& c) {
    c.local = {.dynamic = true};
    c.remote = {{*ip::Selector::parse("0.0.0.0/0"), *ip::Selector::parse("::/0")}};
  });
  ends.b.pool = true;
  ends.b.reply.dns = {*IpAddress::parse("10.0.0.53")};
  ends.b.reply.subnets = {*Prefix::parse("10.0.0.0/8")};
  ends.b.reply.domains = {"corp.example"};
  ends.child(false, [](ChildConfig& c) {
    c.local = {{*ip::Selector::parse("0.0.0.0/0"), *ip::Selector::parse("::/0")}};
    c.remote = {.dynamic = true};
  });
  for (const bool refuse : {false, true}) {
    CAPTURE(refuse);
    IkePair pair(10);
    pair.b.on_event = [&](const Event& event) {
      const auto* ask = std::get_if<AskAddresses>(&event);
      if (ask == nullptr) return;
      CHECK(ask->wish.addresses.size() == 2);
      CHECK(ask->remote.to_string() == "a.test");
      Configuration given;
      given.addresses = {*Prefix::parse("10.3.0.7"), *Prefix::parse("2001:db8::7")};
      CHECK(pair.b.engine.answer(pair.now, ask->id, refuse ? Answer(Refuse{"empty"}) : Answer(given)));
      CHECK(!pair.b.engine.answer(pair.now, ask->id, given));
    };
    ends.connect(pair);
    REQUIRE(pair.a.count<Up>() == 1);
    if (refuse) {
      CHECK(pair.a.last<ChildRefused>()->reason.cause == Cause::kAddress);
      continue;
    }
    const Configuration& got = pair.a.last<Up>()->configuration;
    REQUIRE(got.addresses.size() == 2);
    CHECK(got.addresses[0].address.to_string() == "10.3.0.7");
    CHECK(got.addresses[1].address.to_string() == "2001:db8::7");
    CHECK(got.dns.size() == 1);
    CHECK(got.subnets[0].to_string() == "10.0.0.0/8");
    CHECK(got.domains[0] == "corp.example");
    REQUIRE(pair.a.count<ChildUp>() == 1);
    CHECK(pair.a.last<ChildUp>()->selectors.local[0].to_string() == "10.3.0.7");
    // The same after a rekey from the gateway.
    CHECK(pair.b.engine.rekey_child(pair.now, pair.b.last<ChildUp>()->child));
    pair.run(10s);
    CHECK(pair.b.count<ChildInboundGone>() == 1);
    CHECK(pair.traffic_flows());
  }
}

TEST_CASE("ike: questions wait for the host, and nothing else waits for them") {
  Ends ends;
  ends.b.ask_authorize = ends.b.ask_narrow = true;
  ends.b.remote.psk = ends.b.local.psk = Secret();
  ends.a.remote.psk = ends.a.local.psk = Secret();
  EngineOptions options;
  options.ask_connection = true;
  IkePair pair(11, {}, std::move(options));
  std::vector<std::string> kinds;
  // Each is answered two seconds after it was asked: the peer repeats its request meanwhile.
  std::vector<std::tuple<TimePoint, test::IkeEnd*, QuestionId, Answer>> answers;
  const auto ask = [&](test::IkeEnd& end, QuestionId id, std::string kind, Answer answer) {
    kinds.push_back(std::move(kind));
    answers.emplace_back(pair.now + 2s, &end, id, std::move(answer));
  };
  const ConnectionPtr of_b = IkePair::share(ends.b);
  for (test::IkeEnd* const end : {&pair.a, &pair.b}) {
    end->on_event = [&, end](const Event& event) {
      if (const auto* e = std::get_if<AskConnection>(&event)) ask(*end, e->id, "connection", of_b);
      if (const auto* e = std::get_if<AskPsk>(&event)) ask(*end, e->id, "psk", Secret(std::string_view("later")));
      if (const auto* e = std::get_if<AskAuthorize>(&event)) ask(*end, e->id, "authorize", Allow{});
      if (const auto* e = std::get_if<AskNarrow>(&event)) {
        ip::SelectorPair less = e->selectors;
        less.local = {*ip::Selector::parse("10.2.3.0/24")};
        ask(*end, e->id, "narrow", less);
      }
    };
  }
  pair.connect(IkePair::share(ends.a), of_b);
  for (int i = 0; i < 400; ++i) {
    pair.run(50ms);
    for (auto& [at, end, id, answer] : answers) {
      if (at > pair.now || id == QuestionId{}) continue;
      CHECK(end->engine.answer(pair.now, id, answer));
      id = QuestionId{};
    }
    pair.drain();
  }
  CHECK(kinds == std::vector<std::string>{"psk", "connection", "psk", "authorize", "narrow"});
  REQUIRE(pair.a.count<ChildUp>() == 1);
  CHECK(pair.a.last<ChildUp>()->selectors.remote[0].to_string() == "10.2.3.0/24");
}

TEST_CASE("ike: who begins anew replaces what the responder had of it") {
  IkePair pair(12);
  pair.connect();
  const SaId old = pair.b.last<Up>()->sa;
  pair.a.engine.forget(pair.a.last<Up>()->sa);
  pair.a.children.clear();
  pair.a.inbound.clear();
  pair.connect();
  REQUIRE(why_closed(pair.b) != nullptr);
  CHECK(pair.b.last<Closed>()->sa == old);
  CHECK(why_closed(pair.b)->cause == Cause::kReplaced);
  CHECK(pair.b.engine.size() == 1);
  CHECK(pair.b.children.size() == 1);
}

TEST_CASE("ike: a busy tunnel sends no probe, and a peer that vanished is found out at the exact time") {
  Ends ends;
  ends.a.dpd_delay = 10s;
  ends.b.dpd_delay = Duration(0);
  ends.a.retransmission = {.first = 2s, .factor = 2, .tries = 2};
  TimePoint heard{};
  unsigned asked = 0;
  EngineOptions options;
  options.last_heard = [&](SaId) {
    ++asked;
    return heard;
  };
  IkePair pair(13, std::move(options));
  ends.connect(pair);
  const std::uint64_t sent = pair.a.engine.counters().sent;
  for (int i = 0; i < 600; ++i) {
    pair.run(500ms);
    heard = pair.now;
  }
  CHECK(pair.a.engine.counters().sent == sent);
  CHECK(asked <= 32);
  CHECK(pair.a.engine.deadline() <= heard + 10s);

  // The tunnel falls silent: a probe, which is answered.
  pair.run(15s);
  CHECK(pair.a.engine.counters().sent == sent + 1);
  CHECK(pair.a.engine.counters().retransmits == 0);

  pair.bend = [](bool, const Buffer&) { return IkePair::Fate{.copies = 0}; };
  heard = pair.now;
  // 10 s from the last packet until the probe, then 2 + 4 + 8.
  pair.run(24s - 1ns);
  CHECK(pair.a.count<Closed>() == 0);
  pair.run(1ns);
  REQUIRE(pair.a.count<Closed>() == 1);
  CHECK(pair.now == heard + 24s);
  CHECK(why_closed(pair.a)->cause == Cause::kTimedOut);
  CHECK(pair.a.count<ChildDown>() == 1);
}

TEST_CASE("ike: large messages go in fragments, which may come in any order, and twice") {
  for (const std::uint16_t size : {std::uint16_t{576}, std::uint16_t{300}}) {
    CAPTURE(size);
    Ends ends;
    ends.a.fragment_size = ends.b.fragment_size = size;
    IkePair pair(14);
    std::size_t longest = 0;
    pair.bend = [&](bool, const Buffer& datagram) {
      if (pair.a.count<Up>() != 0 || pair.a.engine.counters().sent > 1) longest = std::max(longest, datagram.size());
      return IkePair::Fate{.copies = 2, .extra = Duration(pair.net.below(50'000'000))};
    };
    ends.connect(pair);
    CHECK(pair.traffic_flows());
    if (size == 300) CHECK(pair.a.engine.counters().sent >= 3);
    CHECK(longest <= std::size_t{size} - 28);
  }
}

TEST_CASE("ike: a NAT before the initiator: port 4500, keepalives, and a mapping that changes") {
  Ends ends;
  ends.a.force_encapsulation = ends.b.force_encapsulation = false;
  ends.a.mobike = ends.b.mobike = false;
  IkePair pair(15);
  std::uint16_t shift = 10000;
  pair.translate = [&](Endpoint from) {
    if (from.address == pair.a.plain.address)
      return Endpoint{*IpAddress::parse("198.51.100.1"), static_cast<std::uint16_t>(from.port + shift)};
    return from;
  };
  ends.connect(pair);
  REQUIRE(pair.a.count<Up>() == 1);
  CHECK(pair.a.last<Up>()->local_nat);
  CHECK(!pair.a.last<Up>()->remote_nat);
  CHECK(pair.b.last<Up>()->remote_nat);
  CHECK(pair.a.last<Up>()->path.marker);
  CHECK(pair.a.last<ChildUp>()->how.local_port == 4500);
  CHECK(pair.b.last<ChildUp>()->how.remote_port == 14500);
  CHECK(pair.traffic_flows());
  const std::uint64_t wakes = pair.wakes;
  pair.run(120s);
  CHECK(pair.wakes - wakes >= 6);
  shift = 20000;
  CHECK(pair.a.engine.rekey(pair.now, pair.a.last<Up>()->sa));
  pair.run(1s);
  REQUIRE(pair.b.count<Migrated>() == 1);
  CHECK(pair.b.last<Migrated>()->path.remote.port == 24500);
  REQUIRE(pair.b.last<Migrated>()->children.size() == 1);
  CHECK(pair.b.last<Migrated>()->children[0].how.remote_port == 24500);
}

TEST_CASE("ike: no NAT, nothing forced, no MOBIKE: port 500, and ESP without UDP") {
  Ends ends;
  ends.a.force_encapsulation = ends.b.force_encapsulation = false;
  ends.a.mobike = ends.b.mobike = false;
  IkePair pair(16);
  ends.connect(pair);
  REQUIRE(pair.a.count<ChildUp>() == 1);
  CHECK(!pair.a.last<Up>()->path.marker);
  CHECK(pair.a.last<ChildUp>()->how.local_port == 0);
}

// RFC 7296 section 2.23.1.
TEST_CASE("ike: transport mode through NATs before either end: each knows the other by where its packets come from") {
  for (const bool before_a : {true, false}) {
    CAPTURE(before_a);
    Ends ends;
    ChildConfig hosts;
    hosts.name = "hosts";
    hosts.mode = esp::Mode::kTransport;
    ends.a.children = ends.b.children = {std::make_shared<const ChildConfig>(hosts)};
    IkePair pair(19);
    const IpAddress outside = *IpAddress::parse("198.51.100.1");
    const IpAddress inside = before_a ? pair.a.plain.address : pair.b.plain.address;
    pair.translate = [&](Endpoint from) { return from.address == inside ? Endpoint{outside, from.port} : from; };
    pair.bring_on = [&](Endpoint to) { return to.address == outside ? Endpoint{inside, to.port} : to; };
    Route route = pair.route();
    if (!before_a) route.first.remote.address = route.floated->remote.address = outside;
    pair.b.engine.set_connections({IkePair::share(ends.b)});
    pair.a.engine.initiate(pair.now, IkePair::share(ends.a), route);
    pair.run(1s);
    REQUIRE(pair.a.count<ChildUp>() == 1);
    REQUIRE(pair.b.count<ChildUp>() == 1);
    const ChildUp &of_a = *pair.a.last<ChildUp>(), &of_b = *pair.b.last<ChildUp>();
    for (const ChildUp* up : {&of_a, &of_b}) {
      CHECK(up->how.mode == esp::Mode::kTransport);
      CHECK(up->how.behind_nat);
      CHECK(up->selectors.local == std::vector{ip::Selector::prefix(up->path.local.address, 32)});
      CHECK(up->selectors.remote == std::vector{ip::Selector::prefix(up->path.remote.address, 32)});
    }
    CHECK((before_a ? of_b : of_a).path.remote.address == outside);
    CHECK((before_a ? of_a : of_b).path.local.address == inside);
    CHECK(pair.traffic_flows());
    for (test::IkeEnd* const end : {&pair.a, &pair.b}) {
      CHECK(end->engine.rekey_child(pair.now, end->last<ChildUp>()->child));
      pair.run(2s);
    }
    CHECK(pair.a.count<ChildOutbound>() == 2);
    CHECK(pair.b.count<ChildOutbound>() == 2);
    CHECK(pair.traffic_flows());
  }
}

TEST_CASE("ike: a client moves, also to the other version of IP (RFC 4555)") {
  IkePair pair(17);
  const SaId sa = pair.connect();
  for (const char* const address : {"198.51.100.9", "2001:db8::9"}) {
    CAPTURE(address);
    Path path = pair.route().floated.value();
    path.local = {*IpAddress::parse(address), 4500};
    if (path.local.address.is_v6()) path.remote = {*IpAddress::parse("2001:db8::2"), 4500};
    const std::size_t before = pair.a.count<Migrated>();
    CHECK(pair.a.engine.move(pair.now, sa, {path, std::nullopt}));
    pair.run(1s);
    CHECK(pair.a.count<Migrated>() == before + 1);
    REQUIRE(pair.b.count<Migrated>() == before + 1);
    CHECK(pair.b.last<Migrated>()->path.remote.address.to_string() == address);
    CHECK(pair.b.last<Migrated>()->children.at(0).how.remote.to_string() == address);
  }
  CHECK(pair.traffic_flows());
}

TEST_CASE("ike: reauthentication makes before it breaks") {
  Ends ends;
  ends.a.reauth_time = 600s;
  ends.a.rand_time = Duration(0);
  IkePair pair(18);
  const SaId old = ends.connect(pair);
  pair.run(610s);
  REQUIRE(pair.a.count<Up>() == 2);
  CHECK(pair.a.last<Up>()->replaces == old);
  CHECK(pair.a.last<Closed>()->reason.cause == Cause::kReplaced);
  CHECK(pair.traffic_flows());
  pair.run(60s);
  CHECK(pair.a.engine.size() == 1);
  CHECK(pair.b.engine.size() == 1);
  CHECK(pair.b.children.size() == 1);
}

TEST_CASE("ike: what a rekey has replaced is deleted before other keys are made") {
  for (const bool by_a : {true, false}) {
    CAPTURE(by_a);
    IkePair pair(31);
    pair.connect();
    constexpr std::uint8_t kCreateChild = 36, kInformational = 37;
    std::vector<std::uint8_t> asked;
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      const std::uint8_t exchange = datagram.data()[4 + 18], flags = datagram.data()[4 + 19];
      const bool response = (flags & 0x20) != 0;
      if (from_a == by_a && !response) asked.push_back(exchange);
      return IkePair::Fate{};
    };
    test::IkeEnd& end = by_a ? pair.a : pair.b;
    CHECK(end.engine.rekey_child(pair.now, end.last<ChildUp>()->child));
    CHECK(end.engine.rekey(pair.now, end.last<Up>()->sa));
    pair.run(5s);
    CHECK(asked == std::vector{kCreateChild, kInformational, kCreateChild, kInformational});
    CHECK(end.engine.counters().child_rekeys == 1);
    CHECK(end.engine.counters().ike_rekeys == 1);
  }
}

TEST_CASE("ike: the key log is a line for each IKE SA, and nothing without it") {
  std::vector<std::string> lines;
  EngineOptions options;
  options.key_log = [&](std::string_view line) { lines.emplace_back(line); };
  IkePair pair(19, std::move(options));
  const SaId sa = pair.connect();
  pair.a.engine.rekey(pair.now, sa);
  pair.run(1s);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find("\"AES-GCM-256 with 16 octet ICV [RFC5282]\",\"\",\"\",\"NONE [RFC4306]\"") != std::string::npos);
  CHECK(lines[0] != lines[1]);
}

TEST_CASE("ike: time alone rekeys children and IKE SAs before their end, without a gap") {
  IkePair pair(20);
  pair.connect();
  for (int i = 0; i < 24 * 60; ++i) {
    pair.send_packet(true);
    pair.send_packet(false);
    pair.run(60s);
  }
  CHECK(pair.lost_to_rekeying() == 0);
  CHECK(pair.a.engine.counters().child_rekeys >= 20);
  CHECK(pair.a.engine.counters().ike_rekeys >= 5);
  CHECK(pair.traffic_flows());
}

}  // namespace
}  // namespace winze::ike
