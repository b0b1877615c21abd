// Sessions that go on by a ticket (RFC 5723).
#include <doctest/doctest.h>

#include "proto/ike/keys.h"
#include "proto/ike/payloads.h"
#include "proto/ike/tickets.h"
#include "support/hex.h"
#include "support/ike_pair.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

Connection with_tickets(bool of_a) {
  Connection c = IkePair::connection(of_a);
  c.resumption = true;
  return c;
}

// Two ends that had a session, and of it a ticket.
struct Ends {
  explicit Ends(std::uint64_t seed, EngineOptions for_b = {}) : pair(seed, {}, std::move(for_b)) {
    of_a = IkePair::share(with_tickets(true));
    of_b = IkePair::share(with_tickets(false));
    first = pair.connect(of_a, of_b);
    REQUIRE(pair.a.last<TicketGiven>() != nullptr);
    ticket = pair.a.last<TicketGiven>()->ticket;
  }
  SaId resume(std::shared_ptr<const Ticket> by) {
    const SaId sa = pair.a.engine.initiate(pair.now, of_a, pair.route(), {.ticket = std::move(by)});
    pair.run(1s);
    return sa;
  }
  bool up(SaId sa) {
    const auto info = pair.a.engine.info(sa);
    return info && info->established;
  }

  IkePair pair;
  ConnectionPtr of_a, of_b;
  SaId first{};
  std::shared_ptr<const Ticket> ticket;
};

TEST_CASE("resumption: a new IKE SA and its child, without a key exchange") {
  Ends ends(1);
  IkePair& pair = ends.pair;
  CHECK(ends.ticket->expires_at > pair.now + 30min);
  pair.a.engine.forget(ends.first);  // the client has lost its state
  std::size_t messages = 0, longest = 0;
  pair.bend = [&](bool, const Buffer& datagram) {
    ++messages;
    longest = std::max(longest, datagram.size());
    return IkePair::Fate{};
  };
  const SaId sa = ends.resume(ends.ticket);
  CHECK(ends.up(sa));
  CHECK(messages == 4);
  CHECK(pair.b.engine.counters().resumed == 1);
  CHECK(pair.b.last<Up>()->remote.to_string() == "a.test");
  CHECK(pair.b.last<Closed>()->reason.cause == Cause::kReplaced);  // INITIAL_CONTACT
  CHECK(pair.b.engine.size() == 1);
  CHECK(pair.traffic_flows());
  // It can be rekeyed, and has brought the next ticket.
  CHECK(pair.a.engine.rekey(pair.now, sa));
  pair.run(2s);
  CHECK(pair.a.count<Rekeyed>() == 1);
  CHECK(pair.a.count<TicketGiven>() == 2);
  CHECK(ends.up(ends.resume(pair.a.last<TicketGiven>()->ticket)));
  CHECK(pair.b.engine.counters().resumed == 2);
}

TEST_CASE("resumption: of a session with further key exchanges, which need not be made again") {
  Connection a = with_tickets(true), b = with_tickets(false);
  a.proposals = b.proposals = *parse_proposals(Protocol::kIke, "aes128gcm16-prfsha256-x25519-ke1_ecp256");
  IkePair pair(2);
  const ConnectionPtr of_a = IkePair::share(a);
  pair.connect(of_a, IkePair::share(b));
  REQUIRE(pair.a.last<TicketGiven>() != nullptr);
  const SaId sa = pair.a.engine.initiate(pair.now, of_a, pair.route(), {.ticket = pair.a.last<TicketGiven>()->ticket});
  pair.run(1s);
  CHECK(pair.b.engine.counters().resumed == 1);
  CHECK(pair.traffic_flows());
  CHECK(pair.a.engine.rekey(pair.now, sa));
  pair.run(2s);
  CHECK(pair.a.count<Rekeyed>() == 1);
}

TEST_CASE("resumption: each message lost, doubled or late") {
  for (int which = 0; which < 4; ++which) {
    for (const auto fate : {IkePair::Fate{0}, IkePair::Fate{2}, IkePair::Fate{2, Duration(3s)}}) {
      CAPTURE(which);
      Ends ends(7);
      ends.pair.a.engine.forget(ends.first);
      int n = 0;
      ends.pair.bend = [&](bool, const Buffer&) { return n++ == which ? fate : IkePair::Fate{}; };
      const SaId sa = ends.resume(ends.ticket);
      ends.pair.run(20s);
      CHECK(ends.up(sa));
      CHECK(ends.pair.b.engine.counters().resumed == 1);
      CHECK(ends.pair.traffic_flows());
    }
  }
}

TEST_CASE("resumption: through a NAT, and with a cookie") {
  EngineOptions for_b;
  for_b.cookie_threshold = 0;
  Ends ends(3, std::move(for_b));
  ends.pair.a.engine.forget(ends.first);
  ends.pair.translate = [](Endpoint from) {
    if (from.address == *IpAddress::parse("192.0.2.1")) return Endpoint{*IpAddress::parse("203.0.113.7"), 40000};
    return from;
  };
  const SaId sa = ends.resume(ends.ticket);
  CHECK(ends.up(sa));
  CHECK(ends.pair.b.engine.counters().resumed == 1);
  CHECK(ends.pair.a.last<Up>()->local_nat);
}

TEST_CASE("security: a ticket is good once, until it expires, unchanged, and for its gateway and client alone") {
  SUBCASE("twice: the second time with a key exchange") {
    Ends ends(11);
    CHECK(ends.up(ends.resume(ends.ticket)));
    CHECK(ends.up(ends.resume(ends.ticket)));
    CHECK(ends.pair.b.engine.counters().resumed == 1);
    CHECK(ends.pair.b.engine.counters().tickets_refused == 1);
  }
  SUBCASE("twice at the same time: one of them holds") {
    Ends ends(12);
    const SaId one = ends.pair.a.engine.initiate(ends.pair.now, ends.of_a, ends.pair.route(), {.ticket = ends.ticket});
    const SaId two = ends.resume(ends.ticket);
    CHECK(ends.up(one) != ends.up(two));
    CHECK(ends.pair.b.engine.counters().resumed == 1);
  }
  SUBCASE("too old: not even sent") {
    Ends ends(13);
    ends.pair.run(61min);
    CHECK(ends.up(ends.resume(ends.ticket)));
    CHECK(ends.pair.b.engine.counters().resumed + ends.pair.b.engine.counters().tickets_refused == 0);
  }
  SUBCASE("too old, by a client whose clock has stopped") {
    Ends ends(14);
    auto late = std::make_shared<Ticket>(*ends.ticket);
    late->expires_at = kNever;
    ends.pair.run(61min);
    CHECK(ends.up(ends.resume(late)));
    CHECK(ends.pair.b.engine.counters().tickets_refused == 1);
  }
  SUBCASE("a bit is changed") {
    Ends ends(15);
    for (const std::size_t at : {std::size_t{0}, std::size_t{15}, std::size_t{40}, ends.ticket->opaque.size() - 1}) {
      auto bent = std::make_shared<Ticket>(*ends.ticket);
      bent->opaque[at] ^= 1;
      CHECK(ends.up(ends.resume(bent)));
    }
    CHECK(ends.pair.b.engine.counters().tickets_refused == 4);
    CHECK(ends.pair.b.engine.counters().resumed == 0);
  }
  SUBCASE("by one who has seen it, and has not the key") {
    Ends ends(16);
    auto stolen = std::make_shared<Ticket>(*ends.ticket);
    stolen->d = Secret(ends.ticket->d.size());
    CHECK(!ends.up(ends.resume(stolen)));
    CHECK(ends.pair.b.engine.counters().resumed == 0);
    // It is not used up by that.
    CHECK(ends.up(ends.resume(ends.ticket)));
    CHECK(ends.pair.b.engine.counters().resumed == 1);
  }
  SUBCASE("by one of another name") {
    Ends ends(17);
    auto other = std::make_shared<Ticket>(*ends.ticket);
    other->local = Identity::parse("c.test");
    CHECK(!ends.up(ends.resume(other)));
    CHECK(ends.pair.b.engine.counters().resumed == 0);
  }
  SUBCASE("where the gateway does not allow it any more") {
    Ends ends(18);
    ends.pair.b.engine.set_connections({IkePair::share(IkePair::connection(false))});
    CHECK(ends.up(ends.resume(ends.ticket)));
    CHECK(ends.pair.b.engine.counters().tickets_refused == 1);
  }
}

TEST_CASE("resumption: a gateway that gives none, or knows nothing of tickets") {
  IkePair pair(21);
  pair.connect(IkePair::share(with_tickets(true)));
  CHECK(pair.a.count<Up>() == 1);
  CHECK(pair.a.count<TicketGiven>() == 0);

  Ends ends(22);
  ends.pair.bend = [](bool, const Buffer& datagram) {
    return IkePair::Fate{datagram.size() > 18 && datagram.data()[18] == 38 ? 0u : 1u};
  };
  const SaId sa = ends.resume(ends.ticket);
  ends.pair.run(30s);
  CHECK(ends.up(sa));
}

TEST_CASE("resumption: asks the host whom it would ask before") {
  Connection b = with_tickets(false);
  b.ask_authorize = true;
  Ends ends(23);
  ends.pair.b.engine.set_connections({IkePair::share(b)});
  ends.pair.b.on_event = [&](const Event& event) {
    if (const auto* ask = std::get_if<AskAuthorize>(&event)) {
      CHECK(ask->remote.to_string() == "a.test");
      ends.pair.b.engine.answer(ends.pair.now, ask->id, Refuse{"not now"});
    }
  };
  CHECK(!ends.up(ends.resume(ends.ticket)));
}

TEST_CASE("tickets: keys change, and take their tickets with them after two lifetimes") {
  SeededRandom random(1);
  Tickets tickets;
  TimePoint now{};
  Session session;
  session.d = Secret(32);
  session.expires_at = now + 10h;
  const auto first = tickets.give(now, random, 1h, session);
  CHECK(tickets.open(now, first));
  const auto second = tickets.give(now + 1h, random, 1h, session);
  CHECK(tickets.open(now + 1h, first));
  CHECK(tickets.open(now + 1h, second));
  (void)tickets.give(now + 2h, random, 1h, session);
  CHECK(!tickets.open(now + 2h, first));
  CHECK(tickets.use(*tickets.open(now + 2h, second)));
  CHECK(!tickets.open(now + 2h, second));
  for (std::size_t size = 0; size < first.size(); ++size) CHECK(!tickets.open(now, std::span(second).first(size)));
}

// RFC 5723 section 5.1, by hand.
TEST_CASE("resumption: SKEYSEED") {
  const test::Bytes d(32, 1), ni(16, 2), nr(16, 3);
  const Secret old{std::span<const std::uint8_t>(d)};
  test::Bytes data{'R', 'e', 's', 'u', 'm', 'p', 't', 'i', 'o', 'n'};
  data.insert(data.end(), ni.begin(), ni.end());
  data.insert(data.end(), nr.begin(), nr.end());
  const auto prf = Prf::create(PrfAlgorithm::kHmacSha256, d);
  CHECK(skeyseed_of_resumption(PrfAlgorithm::kHmacSha256, old, ni, nr) == prf->sum({data}));
}

// What a message of the resumed IKE SA holds, opened by `keys`.
Contents open_auth(const Suite& suite, const MessageKeys& keys, Buffer& message) {
  PayloadChain chain, inner;
  Contents out;
  REQUIRE(chain.decode(decode_header(message.span())->first, message.span().subspan(kHeaderSize)));
  const auto opened = open_message(suite, keys, message.span(), chain.find(PayloadType::kEncrypted)->body);
  REQUIRE(opened);
  REQUIRE(inner.decode(chain.inner_first, *opened));
  REQUIRE(out.decode(inner));
  return out;
}

Bytes nonce_of(const Buffer& message) {
  PayloadChain chain;
  REQUIRE(chain.decode(decode_header(message.span())->first, message.span().subspan(kHeaderSize)));
  return chain.find(PayloadType::kNonce)->body;
}

// RFC 5723 section 4.3.3: AUTH = prf(SK_px, <message octets>), of a shared key by its method, but without the key pad
// of RFC 7296 section 2.15. SK_pi and SK_pr are those of the new IKE SA (section 5.1), and the octets are of that
// section 2.15: the end's own first message, the other's nonce, prf(SK_px, IDx').
TEST_CASE("resumption: AUTH") {
  Ends ends(31);
  ends.pair.a.engine.forget(ends.first);
  std::vector<Buffer> messages;
  ends.pair.bend = [&](bool, const Buffer& datagram) {
    const std::size_t marker = load_u32(datagram.data()) == 0 ? 4 : 0;
    messages.push_back(Buffer::copy_of(datagram.span().subspan(marker)));
    return IkePair::Fate{};
  };
  REQUIRE(ends.up(ends.resume(ends.ticket)));
  REQUIRE(messages.size() == 4);

  const Bytes ni = nonce_of(messages[0]), nr = nonce_of(messages[1]);
  const Header header = *decode_header(messages[1].span());
  const Suite suite = *Suite::of(ends.ticket->proposal);
  const Secret seed = skeyseed_of_resumption(suite.prf, ends.ticket->d, ni, nr);
  const IkeKeys keys = derive_keys(suite, seed, ni, nr, {header.spi_i, header.spi_r});
  const auto expected = [&](const Secret& sk_p, const Buffer& first, Bytes nonce, const Identity& id) {
    const auto prf = Prf::create(suite.prf, sk_p.span());
    const test::Bytes body = id_body(id);
    const Secret mac = prf->sum({body});
    return prf->sum({first.span(), nonce, mac.span()});
  };
  const Contents of_a = open_auth(suite, keys.i, messages[2]), of_b = open_auth(suite, keys.r, messages[3]);
  REQUIRE((of_a.auth && of_a.id_i && of_b.auth && of_b.id_r));
  constexpr std::uint8_t kSharedKey = 2;
  CHECK(of_a.auth->method == kSharedKey);
  CHECK(of_b.auth->method == kSharedKey);
  CHECK(constant_time_equal(of_a.auth->data, expected(keys.pi, messages[0], nr, *of_a.id_i).span()));
  CHECK(constant_time_equal(of_b.auth->data, expected(keys.pr, messages[1], ni, *of_b.id_r).span()));
  // Both identities are the ticket's, and no certificate is shown.
  CHECK(*of_a.id_i == ends.ticket->local);
  CHECK(*of_b.id_r == ends.ticket->remote);
  CHECK(of_a.certificates.size() + of_b.certificates.size() == 0);
}

}  // namespace
}  // namespace winze::ike
