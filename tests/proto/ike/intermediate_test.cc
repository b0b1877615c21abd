// Further key exchanges (RFC 9370, RFC 9242) and preshared keys (RFC 8784).
#include "proto/ike/intermediate.h"

#include <doctest/doctest.h>

#include "support/hex.h"
#include "support/ike_pair.h"
#include "winze/crypto/key_exchange.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

Connection with(bool of_a, std::string_view proposals) {
  Connection c = IkePair::connection(of_a);
  auto parsed = parse_proposals(Protocol::kIke, proposals);
  REQUIRE(parsed.ok());
  c.proposals = *std::move(parsed);
  return c;
}

bool is_up(IkePair& pair, SaId sa) {
  const auto info = pair.a.engine.info(sa);
  return info && info->established && pair.b.count<Up>() == 1 && pair.a.count<Up>() == 1 && pair.traffic_flows();
}

TEST_CASE("intermediate: further key exchanges, one after another") {
  struct Row {
    const char *a, *b;
    const char* chosen;  // null: no SA
  };
  for (const Row& row : {
           Row{"aes128gcm16-prfsha256-x25519-ke1_ecp256", "aes128gcm16-prfsha256-x25519-ke1_ecp256", "ke1_ecp256"},
           Row{"aes128gcm16-prfsha256-x25519-ke1_modp3072-ke2_ecp384-ke3_ecp256",
               "aes128gcm16-prfsha256-x25519-ke1_modp3072-ke2_ecp384-ke3_ecp256", "ke3_ecp256"},
           Row{"aes128-sha256-x25519-ke2_ecp256", "aes128-sha256-x25519-ke2_ecp256", "ke2_ecp256"},
           Row{"aes128gcm16-prfsha256-x25519-ke1_ecp256-ke1_none", "aes128gcm16-prfsha256-x25519", ""},
           Row{"aes128gcm16-prfsha256-x25519-ke1_ecp256", "aes128gcm16-prfsha256-x25519", nullptr},
           Row{"aes128gcm16-prfsha256-x25519", "aes128gcm16-prfsha256-x25519-ke1_ecp256", nullptr},
       }) {
    CAPTURE(row.a);
    IkePair pair(1);
    const SaId sa = pair.connect(IkePair::share(with(true, row.a)), IkePair::share(with(false, row.b)));
    CHECK(is_up(pair, sa) == (row.chosen != nullptr));
    if (row.chosen == nullptr) continue;
    const Up* const up = pair.a.last<Up>();
    REQUIRE(up != nullptr);
    CHECK(up->proposal.to_string().find(row.chosen) != std::string::npos);
    // In a rekey too, by IKE_FOLLOWUP_KE.
    CHECK(pair.a.engine.rekey(pair.now, sa));
    pair.run(5s);
    CHECK(pair.a.count<Rekeyed>() == 1);
    CHECK(pair.traffic_flows());
    CHECK(pair.b.engine.rekey(pair.now, pair.b.last<Up>()->sa));
    pair.run(5s);
    CHECK(pair.b.count<Rekeyed>() == 2);
    CHECK(pair.traffic_flows());
  }
}

TEST_CASE("intermediate: each message lost, doubled or late") {
  constexpr const char* kProposal = "aes128gcm16-prfsha256-x25519-ke1_ecp256-ke2_ecp384";
  for (int which = 0; which < 8; ++which) {
    for (const auto fate : {IkePair::Fate{0}, IkePair::Fate{2}, IkePair::Fate{2, Duration(3s)}}) {
      CAPTURE(which);
      IkePair pair(3);
      int n = 0;
      pair.bend = [&](bool, const Buffer&) { return n++ == which ? fate : IkePair::Fate{}; };
      const SaId sa = pair.connect(IkePair::share(with(true, kProposal)), IkePair::share(with(false, kProposal)));
      pair.run(20s);
      CHECK(is_up(pair, sa));
    }
  }
}

TEST_CASE("intermediate: ML-KEM, or a clear error where the linked BoringSSL has none") {
  const bool here = check_key_exchange(KeyExchangeMethod::kMlKem768).ok();
  if (!here) MESSAGE("the linked BoringSSL has no ML-KEM: only that is tested");
  for (const std::string text :
       {"aes256gcm16-prfsha384-x25519-ke1_mlkem768", "aes256gcm16-prfsha384-ecp384-ke1_mlkem1024-ke2_mlkem768"}) {
    CAPTURE(text);
    const auto parsed = parse_proposals(Protocol::kIke, text);
    CHECK(parsed.ok() == here);
    if (!here) {
      CHECK(std::string(parsed.status().message()).find("needs a newer BoringSSL than is linked") != std::string::npos);
      continue;
    }
    IkePair pair(5);
    const SaId sa = pair.connect(IkePair::share(with(true, text)), IkePair::share(with(false, text)));
    CHECK(is_up(pair, sa));
    CHECK(pair.a.last<Up>()->proposal.to_string() == text);
    CHECK(pair.b.engine.rekey(pair.now, pair.b.last<Up>()->sa));
    pair.run(5s);
    CHECK(pair.a.count<Rekeyed>() == 1);
    CHECK(pair.traffic_flows());
  }
}

// --- Rekeys (RFC 9370 section 2.2.4)

struct FollowUpPair : IkePair {
  static constexpr const char* kIke = "aes128gcm16-prfsha256-x25519-ke1_ecp256-ke2_ecp384";
  SaId sa;

  explicit FollowUpPair(std::uint64_t seed) : IkePair(seed) {
    Connection of_a = with(true, kIke), of_b = with(false, kIke);
    for (Connection* const c : {&of_a, &of_b}) {
      ChildConfig config = *c->children.front();
      config.proposals = *parse_proposals(Protocol::kEsp, "aes128gcm16-x25519-ke1_ecp256-ke2_ecp384");
      c->children = {std::make_shared<ChildConfig>(config)};
    }
    sa = connect(share(of_a), share(of_b));
    REQUIRE(a.count<ChildUp>() == 1);
  }
  ChildId child_of(test::IkeEnd& end) { return end.children.begin()->first; }
  SaId sa_of_b() { return b.last<Up>()->sa; }
  // Both ends have one IKE SA, one child, and traffic.
  bool is_whole() {
    return a.engine.size() == 1 && b.engine.size() == 1 && a.children.size() == 1 && b.children.size() == 1 &&
           a.inbound.size() == 1 && b.inbound.size() == 1 && traffic_flows();
  }
};

TEST_CASE("follow-up: children and IKE SAs are rekeyed with all their key exchanges, by either end") {
  FollowUpPair pair(21);
  int follow_ups = 0;
  pair.bend = [&](bool, const Buffer& datagram) {
    follow_ups += datagram.data()[4 + 18] == 44;
    return IkePair::Fate{};
  };
  CHECK(pair.a.engine.rekey_child(pair.now, pair.child_of(pair.a)));
  pair.run(10s);
  CHECK(follow_ups == 4);
  CHECK(pair.b.engine.rekey_child(pair.now, pair.child_of(pair.b)));
  pair.run(10s);
  CHECK(pair.a.engine.rekey(pair.now, pair.sa));
  pair.run(10s);
  CHECK(pair.b.engine.rekey(pair.now, pair.sa_of_b()));
  pair.run(70s);
  CHECK(follow_ups == 16);
  CHECK(pair.a.count<Rekeyed>() == 2);
  CHECK(pair.a.count<ChildOutbound>() == 2);
  CHECK(pair.is_whole());
  CHECK(pair.a.engine.add_child(pair.now, pair.sa, pair.a.children.begin()->second.up.config));
  pair.run(10s);
  CHECK(pair.a.children.size() == 2);
}

TEST_CASE("follow-up: each message lost, doubled or late") {
  for (const bool of_ike : {false, true}) {
    for (int which = 0; which < 8; ++which) {
      for (const auto fate : {IkePair::Fate{0}, IkePair::Fate{2}, IkePair::Fate{2, Duration(3s)}}) {
        CAPTURE(of_ike);
        CAPTURE(which);
        FollowUpPair pair(22);
        int n = 0;
        pair.bend = [&](bool, const Buffer&) { return n++ == which ? fate : IkePair::Fate{}; };
        CHECK((of_ike ? pair.a.engine.rekey(pair.now, pair.sa)
                      : pair.a.engine.rekey_child(pair.now, pair.child_of(pair.a))));
        pair.run(90s);
        CHECK(pair.is_whole());
      }
    }
  }
}

TEST_CASE("follow-up: both ends at once, in every order of messages, and with losses") {
  for (const bool of_ike : {false, true}) {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      CAPTURE(of_ike);
      CAPTURE(seed);
      FollowUpPair pair(100 + seed);
      SeededRandom chance(seed);
      pair.bend = [&](bool, const Buffer&) {
        return IkePair::Fate{chance.below(10) == 0 ? 0u : 1u, std::chrono::milliseconds(chance.below(200))};
      };
      const auto begin = [&](test::IkeEnd& end, SaId sa) {
        (void)(of_ike ? end.engine.rekey(pair.now, sa) : end.engine.rekey_child(pair.now, pair.child_of(end)));
      };
      begin(pair.a, pair.sa);
      pair.run(std::chrono::milliseconds(chance.below(60)));
      begin(pair.b, pair.sa_of_b());
      pair.run(60s);
      pair.bend = nullptr;
      pair.run(120s);
      CHECK(pair.is_whole());
      CHECK((of_ike ? pair.a.count<Rekeyed>() : pair.a.count<ChildOutbound>()) >= 1);
    }
  }
}

TEST_CASE("follow-up: whose rekey of the IKE SA gives way, asks nothing else until the other's is done") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    CAPTURE(seed);
    FollowUpPair pair(200 + seed);
    struct Request {
      bool from_a;
      std::uint8_t exchange;
    };
    std::vector<Request> requests;
    pair.bend = [&](bool from_a, const Buffer& datagram) {
      constexpr std::size_t kExchangeAt = 4 + 18, kFlagsAt = kExchangeAt + 1;  // behind the marker
      constexpr std::uint8_t kResponse = 0x20;
      if ((datagram.data()[kFlagsAt] & kResponse) == 0) requests.push_back({from_a, datagram.data()[kExchangeAt]});
      return IkePair::Fate{};
    };
    CHECK(pair.a.engine.rekey(pair.now, pair.sa));
    CHECK(pair.b.engine.rekey(pair.now, pair.sa_of_b()));
    // What either has to say besides.
    CHECK(pair.a.engine.rekey_child(pair.now, pair.child_of(pair.a)));
    CHECK(pair.b.engine.rekey_child(pair.now, pair.child_of(pair.b)));
    pair.run(10s);
    const auto follows_up = [](const Request& request) { return request.exchange == 44; };
    const auto first = std::ranges::find_if(requests, follows_up);
    REQUIRE(first != requests.end());
    const auto second = std::find_if(first + 1, requests.end(), follows_up);
    REQUIRE(second != requests.end());
    CHECK(second->from_a == first->from_a);
    CHECK(std::count_if(requests.begin(), second,
                        [&](const Request& request) { return request.from_a != first->from_a; }) == 1);
    pair.run(120s);
    CHECK(pair.is_whole());
    CHECK(pair.a.count<Rekeyed>() >= 1);
    CHECK(pair.a.count<ChildOutbound>() >= 1);
  }
}

TEST_CASE("follow-up: a link that leads nowhere") {
  FollowUpPair pair(23);
  int n = 0;
  // The responder forgets what it has begun: its peer begins another.
  pair.bend = [&](bool from_a, const Buffer&) {
    if (!from_a && n++ == 0) {
      CHECK(pair.b.engine.delete_child(pair.now, pair.child_of(pair.b)));
    }
    return IkePair::Fate{};
  };
  CHECK(pair.a.engine.rekey_child(pair.now, pair.child_of(pair.a)));
  pair.run(30s);
  CHECK(pair.a.children.empty());
  CHECK(pair.b.children.empty());
  CHECK(pair.a.inbound.empty());
}

TEST_CASE("intermediate: in fragments") {
  Connection a = with(true, "aes128gcm16-prfsha256-x25519-ke1_modp8192"),
             b = with(false, "aes128gcm16-prfsha256-x25519-ke1_modp8192");
  a.fragment_size = b.fragment_size = 576;
  IkePair pair(1);
  std::size_t longest = 0;
  pair.bend = [&](bool, const Buffer& datagram) {
    longest = std::max(longest, datagram.size());
    return IkePair::Fate{};
  };
  const SaId sa = pair.connect(IkePair::share(a), IkePair::share(b));
  CHECK(is_up(pair, sa));
  CHECK(longest < 600);
}

// RFC 9242 section 3.3.2, by hand: the lengths are those without IV, padding and checksum.
TEST_CASE("intermediate: what AUTH covers") {
  const test::Bytes key(32, 7), payloads{0, 0, 0, 8, 1, 2, 3, 4};
  const Secret sk_p{std::span<const std::uint8_t>(key)};
  IntermediateAuth both;
  const Header request{.spi_i = 1, .spi_r = 2, .exchange = Exchange::kIntermediate, .initiator = true, .message_id = 1};
  Header response = request;
  response.initiator = false;
  response.response = true;
  CHECK(both.octets().empty());
  both.cover(PrfAlgorithm::kHmacSha256, sk_p, request, PayloadType::kKeyExchange, payloads);
  both.cover(PrfAlgorithm::kHmacSha256, sk_p, response, PayloadType::kKeyExchange, payloads);
  const auto prf = Prf::create(PrfAlgorithm::kHmacSha256, key);
  const auto mac = [&](const char* hex) { return test::hex(prf->sum({test::unhex(hex)}).span()); };
  CHECK(test::hex(both.octets()) ==
        mac("000000000000000100000000000000022e202b0800000001000000282200000c0000000801020304") +
            mac("000000000000000100000000000000022e202b2000000001000000282200000c0000000801020304") + "00000002");
  both.cover(PrfAlgorithm::kHmacSha256, sk_p, request, PayloadType::kKeyExchange, payloads);
  both.cover(PrfAlgorithm::kHmacSha256, sk_p, response, PayloadType::kKeyExchange, payloads);
  CHECK(both.octets().size() == 68);
  CHECK(both.octets().back() == 3);
}

// --- PPK

Connection ppk(bool of_a, std::string_view secret, std::string_view id, bool required) {
  Connection c = IkePair::connection(of_a);
  if (!secret.empty()) c.ppks.push_back({std::string(id), Secret(secret)});
  c.ppk_id = std::string(id);
  c.ppk_required = required;
  return c;
}

TEST_CASE("ppk: whoever has it uses it, and whoever requires it gets nothing less") {
  struct Row {
    const char *a_secret, *a_id;
    bool a_required;
    const char *b_secret, *b_id;
    bool b_required;
    bool up;
  };
  for (const Row& row : {
           Row{"quantum", "one", true, "quantum", "one", true, true},
           Row{"quantum", "one", false, "quantum", "one", false, true},
           Row{"quantum", "one", false, "", "", false, true},  // the responder has none
           Row{"quantum", "one", true, "", "", false, false},
           Row{"", "", false, "quantum", "one", false, true},  // the initiator has none
           Row{"", "", false, "quantum", "one", true, false},
           Row{"quantum", "one", false, "other", "two", false, true},  // each has one of its own
           Row{"quantum", "one", true, "other", "two", false, false},
           Row{"quantum", "one", false, "other", "two", true, false},
           Row{"quantum", "one", false, "other", "one", false, false},  // the same name for another secret
           Row{"quantum", "one", true, "other", "one", true, false},
       }) {
    CAPTURE(row.a_secret);
    CAPTURE(row.b_secret);
    CAPTURE(row.a_required);
    CAPTURE(row.b_required);
    IkePair pair(1);
    const SaId sa = pair.connect(IkePair::share(ppk(true, row.a_secret, row.a_id, row.a_required)),
                                 IkePair::share(ppk(false, row.b_secret, row.b_id, row.b_required)));
    pair.run(5s);
    CHECK(is_up(pair, sa) == row.up);
  }
}

TEST_CASE("ppk: with further key exchanges, and through rekeys") {
  constexpr const char* kProposal = "aes128gcm16-prfsha384-x25519-ke1_ecp256";
  Connection a = with(true, kProposal), b = with(false, kProposal);
  for (Connection* c : {&a, &b}) {
    c->ppks.push_back({"one", Secret(std::string_view("quantum"))});
    c->ppk_id = "one";
    c->ppk_required = true;
  }
  IkePair pair(1);
  const SaId sa = pair.connect(IkePair::share(a), IkePair::share(b));
  REQUIRE(is_up(pair, sa));
  CHECK(pair.a.engine.rekey(pair.now, sa));
  pair.run(5s);
  CHECK(pair.a.engine.rekey_child(pair.now, pair.a.children.begin()->first));
  pair.run(5s);
  CHECK(pair.traffic_flows());
}

TEST_CASE("ppk: what it changes (RFC 8784 section 3)") {
  IkeKeys keys;
  keys.d = Secret(std::string_view("dddddddddddddddddddddddddddddddd"));
  keys.pi = Secret(std::string_view("iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii"));
  keys.pr = Secret(std::string_view("rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr"));
  const IkeKeys before = keys;
  const Secret secret(std::string_view("quantum"));
  mix_ppk(PrfAlgorithm::kHmacSha256, secret, keys);
  const auto prf = Prf::create(PrfAlgorithm::kHmacSha256, secret.span());
  const std::uint8_t one[] = {1};
  CHECK(keys.d == prf->sum({before.d.span(), one}));
  CHECK(keys.pi == prf->sum({before.pi.span(), one}));
  CHECK(keys.pr == prf->sum({before.pr.span(), one}));
}

}  // namespace
}  // namespace winze::ike
