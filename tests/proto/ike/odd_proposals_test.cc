// Proposals for child SAs that are odd but legal, in IKE_AUTH and in CREATE_CHILD_SA; and a peer that chooses what was
// not offered.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/ike/transforms.h"
#include "support/ike_impostor.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::Bytes;
using test::Heard;
using test::IkePair;
using test::Impostor;

constexpr TransformType kE = TransformType::kEncryption, kI = TransformType::kIntegrity,
                        kD = TransformType::kKeyExchange, kN = TransformType::kEsn;

Proposal esp_of(std::vector<Transform> transforms, Protocol protocol = Protocol::kEsp) {
  return {protocol, std::move(transforms)};
}

Connection taking(bool of_a, ProposalList esp) {
  Connection c = test::open_book(of_a);
  ChildConfig config = *c.children.front();
  config.proposals = std::move(esp);
  config.legacy = true;
  c.children = {std::make_shared<ChildConfig>(config)};
  return c;
}

bool all_zero(const Secret& secret) {
  return std::ranges::all_of(secret.span(), [](std::uint8_t byte) { return byte == 0; });
}

// A key of the size that the cipher has, and one that was made, for each direction (CVE-2024-3652: none for GMAC).
void check_keys(const ChildUp& up) {
  for (const esp::Algorithms* const side : {&up.inbound.algorithms, &up.outbound.algorithms}) {
    if (side->encryption != esp::Encryption::kNull) {
      CHECK(side->encryption_key.size() >= 16);
      CHECK(!all_zero(side->encryption_key));
    }
    CHECK((side->integrity == esp::Integrity::kNone) == esp::is_aead(side->encryption));
    if (side->integrity != esp::Integrity::kNone) CHECK(!all_zero(side->integrity_key));
  }
  const bool null = up.inbound.algorithms.encryption == esp::Encryption::kNull;
  CHECK((null || !(up.inbound.algorithms.encryption_key == up.outbound.algorithms.encryption_key)));
}

struct Row {
  std::string_view name;
  Proposal offered;
  std::string_view chosen;  // empty: refused
};

const std::vector<Row>& rows() {
  const Transform gcm{kE, id::kAesGcm16, 128}, cbc{kE, id::kAesCbc, 128}, sha{kI, id::kHmacSha256, 0};
  const Transform no_esn{kN, 0, 0}, esn{kN, 1, 0}, none{kD, 0, 0}, x25519{kD, 31, 0};
  static const std::vector<Row> kAll = {
      {"as it should be", esp_of({gcm, no_esn}), "aes128gcm16-noesn"},
      {"GMAC", esp_of({{kE, id::kNullAesGmac, 128}, no_esn}), "aes128gmac-noesn"},
      {"GMAC of 256 bits", esp_of({{kE, id::kNullAesGmac, 256}, no_esn}), "aes256gmac-noesn"},
      {"GMAC with integrity", esp_of({{kE, id::kNullAesGmac, 128}, sha, no_esn}), ""},
      {"NULL", esp_of({{kE, id::kNull, 0}, sha, no_esn}), "null-sha256-noesn"},
      {"NULL without integrity", esp_of({{kE, id::kNull, 0}, no_esn}), ""},
      {"XCBC", esp_of({cbc, {kI, id::kAesXcbc, 0}, no_esn}), "aes128-aesxcbc-noesn"},
      {"CBC without integrity", esp_of({cbc, no_esn}), ""},
      {"CBC with integrity 0", esp_of({cbc, {kI, 0, 0}, no_esn}), ""},
      {"GCM with integrity", esp_of({gcm, sha, no_esn}), ""},
      {"GCM with integrity 0", esp_of({gcm, {kI, 0, 0}, no_esn}), "aes128gcm16-noesn"},
      {"no encryption", esp_of({sha, no_esn}), ""},
      {"nothing", esp_of({}), ""},
      {"no ESN", esp_of({gcm}), "aes128gcm16-noesn"},
      {"ESN that nobody knows", esp_of({gcm, {kN, 2, 0}}), ""},
      {"both kinds of ESN", esp_of({gcm, esn, no_esn}), "aes128gcm16-noesn"},
      {"all twice", esp_of({gcm, gcm, no_esn, no_esn}), "aes128gcm16-noesn"},
      {"AES without a key length", esp_of({{kE, id::kAesGcm16, 0}, no_esn}), ""},
      {"AES of 65535 bits", esp_of({{kE, id::kAesGcm16, 65535}, no_esn}), ""},
      {"AES of 64 bits", esp_of({{kE, id::kAesGcm16, 64}, no_esn}), ""},
      {"NULL with a key length", esp_of({{kE, id::kNull, 128}, sha, no_esn}), ""},
      {"ChaCha with a key length", esp_of({{kE, id::kChaCha20Poly1305, 256}, no_esn}), ""},
      {"integrity with a key length", esp_of({cbc, {kI, id::kHmacSha256, 256}, no_esn}), ""},
      {"a PRF", esp_of({gcm, {TransformType::kPrf, id::kPrfHmacSha256, 0}, no_esn}), ""},
      {"a type that nobody knows", esp_of({gcm, {static_cast<TransformType>(13), 1, 0}, no_esn}), ""},
      {"type 0", esp_of({gcm, {static_cast<TransformType>(0), 1, 0}, no_esn}), ""},
      {"DES", esp_of({{kE, 2, 0}, sha, no_esn}), ""},
      {"AH", esp_of({sha, no_esn}, Protocol::kAh), ""},
      {"protocol 0", esp_of({gcm, no_esn}, Protocol::kNone), ""},
      {"protocol 255", esp_of({gcm, no_esn}, static_cast<Protocol>(255)), ""},
      {"no group, said so", esp_of({gcm, none, no_esn}), "aes128gcm16-noesn"},
      {"a group or none", esp_of({gcm, x25519, none, no_esn}), "aes128gcm16-noesn"},
  };
  return kAll;
}

const std::string kTaken =
    "aes128gcm16-noesn, aes256gmac-aes128gmac-noesn, null-sha256-noesn, aes128-aesxcbc-sha256-noesn, "
    "chacha20poly1305-noesn";

TEST_CASE("security: odd but legal proposals for a child in IKE_AUTH") {
  for (const Row& row : rows()) {
    // Types of further key exchanges are no part of what our own end offers there.
    if (row.name == "a type that nobody knows") continue;
    CAPTURE(row.name);
    IkePair pair(101);
    pair.connect(IkePair::share(taking(true, {row.offered})),
                 IkePair::share(taking(false, *parse_proposals(Protocol::kEsp, kTaken, true))));
    // Whatever becomes of the child, the IKE SA is up.
    CHECK(pair.a.count<Up>() == 1);
    CHECK(pair.b.count<Up>() == 1);
    CHECK(pair.b.count<ChildUp>() == (row.chosen.empty() ? 0 : 1));
    if (row.chosen.empty()) {
      REQUIRE(pair.b.count<ChildRefused>() == 1);
      CHECK(pair.b.last<ChildRefused>()->reason.cause == Cause::kNoProposal);
      CHECK(pair.b.last<ChildRefused>()->reason.offered == ProposalList{row.offered});
      CHECK(pair.a.count<ChildUp>() == 0);
      continue;
    }
    check_keys(*pair.b.last<ChildUp>());
    // Where our own end has offered something odd, it may judge the answer by that.
    if (pair.a.count<ChildUp>() == 1) CHECK(pair.traffic_flows());
  }
}

TEST_CASE("security: odd but legal proposals for a child in CREATE_CHILD_SA, from either end") {
  for (const Row& row : rows()) {
    for (const bool at_a : {true, false}) {
      CAPTURE(row.name);
      CAPTURE(at_a);
      const ProposalList taken = *parse_proposals(Protocol::kEsp, kTaken, true);
      Impostor world(102, at_a, taking(true, taken), taking(false, taken));
      const auto answers = world.say(Exchange::kCreateChild, test::said([&](PayloadWriter& out) {
                                       write_sa(out, {&row.offered, 1}, test::unhex("0a0b0c0d"));
                                       out.add(PayloadType::kNonce, Bytes(32, 1));
                                       const auto a = *ip::Selector::parse("10.1.0.0/16");
                                       const auto b = *ip::Selector::parse("10.2.0.0/16");
                                       write_selectors(out, PayloadType::kTsInitiator, {at_a ? &b : &a, 1});
                                       write_selectors(out, PayloadType::kTsResponder, {at_a ? &a : &b, 1});
                                     }));
      REQUIRE(answers.size() == 1);
      CHECK(world.is_up());
      CHECK(world.attacked().count<ChildUp>() == (row.chosen.empty() ? 1 : 2));
      if (row.chosen.empty()) {
        CHECK(answers[0].error() == notify::kNoProposalChosen);
        continue;
      }
      CHECK(answers[0].error() == 0);
      answers[0].with_contents([&](const Contents& contents) {
        REQUIRE(contents.offers.size() == 1);
        CHECK(contents.offers[0].proposal.to_string() == row.chosen);
      });
      check_keys(*world.attacked().last<ChildUp>());
    }
  }
}

TEST_CASE("security: what is wrong around a proposal for a child, and not in it") {
  const Proposal with_group = *Proposal::parse(Protocol::kEsp, "aes128gcm16-x25519-noesn");
  const Proposal plain = *Proposal::parse(Protocol::kEsp, "aes128gcm16-noesn");
  struct Odd {
    std::string_view name;
    Proposal offered;
    std::string_view spi;
    bool key;
    std::uint16_t notify;
  };
  for (const Odd& row : {
           Odd{"an SPI of nothing", plain, "", false, notify::kNoProposalChosen},
           Odd{"an SPI of three bytes", plain, "0a0b0c", false, notify::kNoProposalChosen},
           Odd{"an SPI of eight bytes", plain, "0a0b0c0d0a0b0c0d", false, notify::kNoProposalChosen},
           Odd{"an SPI that is reserved", plain, "000000ff", false, notify::kNoProposalChosen},
           Odd{"SPI 0", plain, "00000000", false, notify::kNoProposalChosen},
           Odd{"a group without its key", with_group, "0a0b0c0d", false, notify::kInvalidKePayload},
           Odd{"a key without a group", plain, "0a0b0c0d", true, 0},
       }) {
    for (const bool at_a : {true, false}) {
      CAPTURE(row.name);
      CAPTURE(at_a);
      Impostor world(103, at_a);
      const auto answers = world.say(Exchange::kCreateChild, test::said([&](PayloadWriter& out) {
                                       write_sa(out, {&row.offered, 1}, test::unhex(row.spi));
                                       out.add(PayloadType::kNonce, Bytes(32, 1));
                                       if (row.key) write_key_exchange(out, 31, test::good_x25519(world.random));
                                       const auto a = *ip::Selector::parse("10.1.0.0/16");
                                       const auto b = *ip::Selector::parse("10.2.0.0/16");
                                       write_selectors(out, PayloadType::kTsInitiator, {at_a ? &b : &a, 1});
                                       write_selectors(out, PayloadType::kTsResponder, {at_a ? &a : &b, 1});
                                     }));
      REQUIRE(answers.size() == 1);
      CHECK(answers[0].error() == row.notify);
      CHECK(world.attacked().count<ChildUp>() == (row.notify == 0 ? 2 : 1));
      CHECK(world.is_up());
    }
  }
}

TEST_CASE("security: every encryption with every integrity, key length and ESN is taken whole, or refused") {
  // Whatever this library can name is allowed here.
  ProposalList all;
  for (const TransformRow& row : transform_rows()) {
    if (row.transform.type != kE) continue;
    Proposal one = esp_of({row.transform, {kN, 1, 0}, {kN, 0, 0}});
    if (!is_aead(row.transform)) {
      for (const TransformRow& other : transform_rows()) {
        if (other.transform.type == kI) one.transforms.push_back(other.transform);
      }
    }
    all.push_back(one);
  }
  Impostor world(104, false, taking(true, all), taking(false, all));
  REQUIRE(world.is_up());
  std::size_t taken = 0, refused = 0;
  for (std::uint16_t encryption = 0; encryption <= 31; ++encryption) {
    for (const std::uint16_t bits : {0, 128, 192, 256, 65535}) {
      for (const std::uint16_t integrity : {0, 1, 2, 5, 8, 12, 14, 99, 65535}) {
        for (const std::uint16_t esn : {0, 1, 7}) {
          std::vector<Transform> transforms{{kE, encryption, bits}, {kN, esn, 0}};
          if (integrity != 0) transforms.push_back({kI, integrity, 0});
          const Proposal offered = esp_of(transforms);
          const std::size_t before = world.attacked().count<ChildUp>();
          const auto answers = world.say(Exchange::kCreateChild, test::said([&](PayloadWriter& out) {
                                           write_sa(out, {&offered, 1}, test::unhex("0a0b0c0d"));
                                           out.add(PayloadType::kNonce, Bytes(32, 1));
                                           const auto a = *ip::Selector::parse("10.1.0.0/16");
                                           const auto b = *ip::Selector::parse("10.2.0.0/16");
                                           write_selectors(out, PayloadType::kTsInitiator, {&a, 1});
                                           write_selectors(out, PayloadType::kTsResponder, {&b, 1});
                                         }));
          REQUIRE(answers.size() == 1);
          const bool up = world.attacked().count<ChildUp>() > before;
          CHECK(answers[0].error() == (up ? 0 : notify::kNoProposalChosen));
          ++(up ? taken : refused);
          if (!up) continue;
          CHECK(esn != 7);
          check_keys(*world.attacked().last<ChildUp>());
          // There is no more than one beside the first.
          const std::uint32_t spi = 0x0a0b0c0d;
          REQUIRE(world
                      .say(Exchange::kInformational, test::said([&](PayloadWriter& out) {
                             write_delete_esp(out, {&spi, 1});
                           }))
                      .size() == 1);
          world.attacked().events.clear();
        }
      }
    }
  }
  CHECK(taken > 50);
  CHECK(refused > 3000);
  CHECK(world.attacked().children.size() == 1);
}

// --- The client, whose gateway chooses

using Edit = std::function<std::optional<Bytes>(PayloadType, Bytes)>;

struct Choice {
  std::string_view name;
  Edit edit;
  Cause cause;
};

Edit other_sa(const Proposal& proposal, std::string_view spi = "0a0b0c0d", std::uint8_t count = 1) {
  return [=](PayloadType type, Bytes body) -> std::optional<Bytes> {
    if (type != PayloadType::kSa) return body;
    const ProposalList list(count, proposal);
    const auto written = test::said([&](PayloadWriter& out) { write_sa(out, list, test::unhex(spi)); });
    return Bytes(written.bytes.begin() + 4, written.bytes.end());
  };
}

Edit other_selectors(PayloadType which, std::string_view selector) {
  return [=](PayloadType type, Bytes body) -> std::optional<Bytes> {
    if (type != which) return body;
    const auto one = *ip::Selector::parse(selector);
    const auto written = test::said([&](PayloadWriter& out) { write_selectors(out, which, {&one, 1}); });
    return Bytes(written.bytes.begin() + 4, written.bytes.end());
  };
}

Edit without(PayloadType which) {
  return [=](PayloadType type, Bytes body) { return type == which ? std::nullopt : std::optional(body); };
}

std::vector<Choice> choices() {
  const auto esp = [](std::string_view text) { return *Proposal::parse(Protocol::kEsp, text, true); };
  return {
      {"another cipher", other_sa(esp("aes256gcm16-noesn")), Cause::kNoProposal},
      {"NULL", other_sa(esp("null-sha256-noesn")), Cause::kNoProposal},
      {"ESN", other_sa(esp("aes128gcm16-esn")), Cause::kNoProposal},
      {"two ciphers", other_sa(esp("aes128gcm16-aes256gcm16-noesn")), Cause::kNoProposal},
      {"the same twice", other_sa(esp_of({{kE, id::kAesGcm16, 128}, {kE, id::kAesGcm16, 128}, {kN, 0, 0}})),
       Cause::kNoProposal},
      {"integrity beside it", other_sa(esp_of({{kE, id::kAesGcm16, 128}, {kI, id::kHmacSha256, 0}, {kN, 0, 0}})),
       Cause::kNoProposal},
      {"a group", other_sa(esp("aes128gcm16-modp1024-noesn")), Cause::kNoProposal},
      {"AH", other_sa(esp_of({{kI, id::kHmacSha256, 0}, {kN, 0, 0}}, Protocol::kAh)), Cause::kNoProposal},
      {"IKE", other_sa(*Proposal::parse(Protocol::kIke, test::kRogueProposal)), Cause::kNoProposal},
      {"nothing", other_sa(esp_of({})), Cause::kNoProposal},
      {"a reserved SPI", other_sa(esp("aes128gcm16-noesn"), "00000001"), Cause::kNoProposal},
      {"a long SPI", other_sa(esp("aes128gcm16-noesn"), "0102030405060708"), Cause::kMisbehaved},
      {"two proposals", other_sa(esp("aes128gcm16-noesn"), "0a0b0c0d", 2), Cause::kMisbehaved},
      {"no proposal", without(PayloadType::kSa), Cause::kMisbehaved},
      {"no TSi", without(PayloadType::kTsInitiator), Cause::kMisbehaved},
      {"no TSr", without(PayloadType::kTsResponder), Cause::kMisbehaved},
      {"more of our side", other_selectors(PayloadType::kTsInitiator, "10.0.0.0/8"), Cause::kSelectors},
      {"more of its own side", other_selectors(PayloadType::kTsResponder, "0.0.0.0/0"), Cause::kSelectors},
      {"another net of ours", other_selectors(PayloadType::kTsInitiator, "10.9.0.0/16"), Cause::kSelectors},
      {"another version of IP", other_selectors(PayloadType::kTsResponder, "2001:db8::/32"), Cause::kSelectors},
  };
}

ProposalList plain_esp() { return *parse_proposals(Protocol::kEsp, "aes128gcm16-noesn"); }

TEST_CASE("security: a gateway that chooses in IKE_AUTH what was not offered gets no child") {
  for (const Choice& choice : choices()) {
    CAPTURE(choice.name);
    test::RogueKeys keys;
    EngineOptions options;
    options.key_log = [&](std::string_view line) { keys.take(line); };
    IkePair pair(105, {}, std::move(options));
    const auto done = test::tamper(pair, keys, false, Exchange::kAuth,
                                   [&](const Heard& heard) { return test::rewritten(heard.inner, choice.edit); });
    pair.connect(IkePair::share(taking(true, plain_esp())), IkePair::share(taking(false, plain_esp())));
    pair.run(5s);
    CHECK(*done);
    CHECK(pair.a.count<Up>() == 1);
    CHECK(pair.a.count<ChildUp>() == 0);
    REQUIRE(pair.a.count<ChildRefused>() == 1);
    const Reason& why = pair.a.last<ChildRefused>()->reason;
    CHECK(why.cause == choice.cause);
    if (why.cause == Cause::kNoProposal) CHECK(why.accepted == plain_esp());
  }
}

TEST_CASE("security: a peer that chooses in CREATE_CHILD_SA what was not offered gets no child, and rekeys none") {
  for (const Choice& choice : choices()) {
    for (const bool at_a : {true, false}) {
      for (const bool rekey : {true, false}) {
        CAPTURE(choice.name);
        CAPTURE(at_a);
        CAPTURE(rekey);
        Impostor world(106, at_a, taking(true, plain_esp()), taking(false, plain_esp()));
        IkePair& pair = world.pair;
        test::IkeEnd& end = world.attacked();
        const auto done = test::tamper(pair, world.keys, !at_a, Exchange::kCreateChild,
                                       [&](const Heard& heard) { return test::rewritten(heard.inner, choice.edit); });
        if (rekey) {
          REQUIRE(end.engine.rekey_child(pair.now, end.children.begin()->first));
        } else {
          REQUIRE(end.engine.add_child(pair.now, world.sa(),
                                       std::make_shared<ChildConfig>(*end.children.begin()->second.up.config)));
        }
        pair.run(200ms);
        CHECK(*done);
        CHECK(end.count<ChildUp>() == 1);
        CHECK(end.count<ChildInbound>() == 0);
        CHECK(end.count<ChildRefused>() == (rekey ? 0 : 1));
        CHECK(end.inbound.size() == 1);
        CHECK(world.is_up());
      }
    }
  }
}

TEST_CASE("security: a peer that chooses another IKE proposal than was offered is not rekeyed to") {
  for (const std::string_view text :
       {"aes256gcm16-prfsha256-x25519", "aes128gcm16-prfsha1-x25519", "aes128gcm16-prfsha256-modp1024",
        "aes128gcm16-aes256gcm16-prfsha256-x25519", "aes128-sha256-x25519"}) {
    for (const std::string_view spi : {"1112131415161718", "0000000000000000", "11121314"}) {
      for (const bool at_a : {true, false}) {
        CAPTURE(text);
        CAPTURE(spi);
        CAPTURE(at_a);
        Impostor world(107, at_a);
        IkePair& pair = world.pair;
        const auto done = test::tamper(pair, world.keys, !at_a, Exchange::kCreateChild, [&](const Heard& heard) {
          return test::rewritten(heard.inner, other_sa(*Proposal::parse(Protocol::kIke, text, true), spi));
        });
        REQUIRE(world.attacked().engine.rekey(pair.now, world.sa()));
        pair.run(200ms);
        CHECK(*done);
        // It starts over: the peer has gone on to what is none.
        pair.run(1s);
        CHECK(world.attacked().count<Rekeyed>() == 0);
        CHECK_FALSE(world.is_up());
        CHECK(world.attacked().last<Closed>()->reason.cause == (at_a ? Cause::kReplaced : Cause::kMisbehaved));
        CHECK(pair.a.count<Up>() == (at_a ? 2 : 1));
      }
    }
  }
}

}  // namespace
}  // namespace winze::ike
