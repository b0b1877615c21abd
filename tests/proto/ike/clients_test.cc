// What the clients that people have propose, replayed against our responder: what it chooses, and what it refuses
// without `legacy`. The proposals are as their makers document them, or as they were seen on the wire.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "support/ike_pair.h"

namespace winze::ike {
namespace {

using namespace std::chrono_literals;
using test::IkePair;

struct Client {
  std::string_view name;
  std::string_view ike, esp;
  // Chosen by the default lists, without and with legacy; empty: refused.
  std::string_view ike_chosen, esp_chosen;
  std::string_view legacy_ike_chosen, legacy_esp_chosen;
};

constexpr std::string_view kWindowsEsp = "aes256-sha1, aes128-sha1, 3des-sha1, null-sha1";
constexpr std::string_view kAndroidIke =
    "aes256ctr-aes256-aes192ctr-aes192-aes128ctr-aes128-sha512-sha384-sha256-aesxcbc-aescmac-prfsha512-prfsha384-"
    "prfsha256-prfaesxcbc-prfaescmac-modp4096-x25519-modp3072-modp2048, "
    "chacha20poly1305-aes256gcm16-aes256gcm12-aes256gcm8-aes192gcm16-aes192gcm12-aes192gcm8-aes128gcm16-aes128gcm12-"
    "aes128gcm8-prfsha512-prfsha384-prfsha256-prfaesxcbc-prfaescmac-modp4096-x25519-modp3072-modp2048";
constexpr std::string_view kAndroidFirst =
    "aes256ctr-aes256-aes192ctr-aes192-aes128ctr-aes128-sha512-sha384-sha256-aesxcbc-aescmac-prfsha512-prfsha384-"
    "prfsha256-prfaesxcbc-prfaescmac-modp4096-x25519-modp3072-modp2048";
// What strongSwan adds for `default`, as far as anybody here has it too.
constexpr std::string_view kChromeIke =
    "aes128-sha256-modp3072, aes128-sha1-modp2048, 3des-sha1-modp1536, 3des-sha1-modp1024, "
    "aes128-aes192-aes256-sha256-sha384-sha512-sha1-aesxcbc-ecp256-ecp384-ecp521-x25519-modp3072-modp4096-modp8192-"
    "modp2048, aes128gcm16-aes192gcm16-aes256gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-prfaesxcbc-prfsha1-"
    "ecp256-ecp384-ecp521-x25519-modp3072-modp4096-modp8192-modp2048";
constexpr std::string_view kChromeEsp =
    "aes128gcm16, aes128-sha256, aes128-sha1, 3des-sha1, 3des-md5, aes128gcm16-aes192gcm16-aes256gcm16, "
    "aes128-aes192-aes256-sha256-sha384-sha512-sha1-aesxcbc";
constexpr std::string_view kAndroidEsp =
    "aes256-aes192-aes128-sha512-sha384-sha256-aesxcbc-aescmac, "
    "chacha20poly1305-aes256gcm16-aes256gcm12-aes256gcm8-aes192gcm16-aes192gcm12-aes192gcm8-aes128gcm16-aes128gcm12-"
    "aes128gcm8";
constexpr std::string_view kMacEsp = "aes256gcm16, aes256gcm16, aes256-sha256, aes256-sha256";

constexpr Client kClients[] = {
    {"Windows 10, as it comes",
     "3des-sha1-modp1024, aes128-sha1-modp1024, aes192-sha1-modp1024, aes256-sha1-modp1024, 3des-sha256-modp1024, "
     "aes256-sha256-modp1024, aes256-sha384-modp1024",
     kWindowsEsp, "", "aes256-sha1-noesn", "aes256-prfsha256-sha256-modp1024", "aes256-sha1-noesn"},
    {"Windows 11, as it comes",
     "aes256-sha1-modp1024, aes256-sha256-modp1024, aes128gcm16-prfsha256-modp1024, aes256gcm16-prfsha384-modp1024",
     kWindowsEsp, "", "aes256-sha1-noesn", "aes256-prfsha256-sha256-modp1024", "aes256-sha1-noesn"},
    {"Windows with NegotiateDH2048_AES256 = 2", "aes256-sha1-modp2048, aes256-sha256-modp2048, aes256-sha384-modp2048",
     kWindowsEsp, "aes256-prfsha256-sha256-modp2048", "aes256-sha1-noesn", "aes256-prfsha256-sha256-modp2048",
     "aes256-sha1-noesn"},
    {"Windows, Set-VpnConnectionIPsecConfiguration, with PFS", "aes256gcm16-prfsha384-ecp384", "aes256gcm16-ecp384",
     "aes256gcm16-prfsha384-ecp384", "aes256gcm16-noesn", "aes256gcm16-prfsha384-ecp384", "aes256gcm16-noesn"},
    {"Windows, Set-VpnConnectionIPsecConfiguration, CBC with PFS", "aes256-sha256-modp2048", "aes256-sha256-modp2048",
     "aes256-prfsha256-sha256-modp2048", "aes256-sha256-noesn", "aes256-prfsha256-sha256-modp2048",
     "aes256-sha256-noesn"},
    {"Windows 11, its settings app, no PFS", "aes256-sha1-modp2048, aes256-sha256-modp2048, aes256-sha384-modp2048",
     "aes256-sha1", "aes256-prfsha256-sha256-modp2048", "aes256-sha1-noesn", "aes256-prfsha256-sha256-modp2048",
     "aes256-sha1-noesn"},
    {"iOS 16.5, made by hand",
     "aes256-sha256-modp2048, aes256-sha256-ecp256, aes256-sha256-modp1536, aes128-sha1-modp1024, 3des-sha1-modp1024",
     "aes256-sha256, aes256-sha256, aes256-sha256, aes128-sha1, 3des-sha1", "aes256-prfsha256-sha256-modp2048",
     "aes256-sha256-noesn", "aes256-prfsha256-sha256-modp2048", "aes256-sha256-noesn"},
    {"macOS 14, a profile without parameters",
     "aes256gcm16-prfsha256-ecp256, aes256gcm16-prfsha256-modp2048, aes256-sha256-ecp256, aes256-sha256-modp2048",
     kMacEsp, "aes256gcm16-prfsha256-ecp256", "aes256gcm16-noesn", "aes256gcm16-prfsha256-ecp256", "aes256gcm16-noesn"},
    {"NEVPNProtocolIKEv2, defaults", "aes256-sha256-modp2048", "aes256-sha256", "aes256-prfsha256-sha256-modp2048",
     "aes256-sha256-noesn", "aes256-prfsha256-sha256-modp2048", "aes256-sha256-noesn"},
    {"NEVPNProtocolIKEv2 of tvOS, defaults", "aes256gcm16-prfsha256-modp2048", "aes256gcm16",
     "aes256gcm16-prfsha256-modp2048", "aes256gcm16-noesn", "aes256gcm16-prfsha256-modp2048", "aes256gcm16-noesn"},
    {"NEVPNProtocolIKEv2, enablePFS", "aes256-sha256-modp2048", "aes256-sha256-modp2048",
     "aes256-prfsha256-sha256-modp2048", "aes256-sha256-noesn", "aes256-prfsha256-sha256-modp2048",
     "aes256-sha256-noesn"},
    {"Android 11 and later, its first proposal alone", kAndroidFirst, "aes256ctr-aes192ctr-aes128ctr-sha256",
     "aes256-prfsha256-sha256-modp4096", "", "aes256-prfsha256-sha256-modp4096", ""},
    {"Android 11 and later", kAndroidIke, kAndroidEsp, "aes256gcm16-prfsha256-modp4096", "aes256gcm16-noesn",
     "aes256gcm16-prfsha256-modp4096", "aes256gcm16-noesn"},
    {"ChromeOS", "aes128-sha256-modp3072, aes128-sha1-modp2048, 3des-sha1-modp1536, 3des-sha1-modp1024",
     "aes128gcm16, aes128-sha256, aes128-sha1, 3des-sha1, 3des-md5", "aes128-prfsha256-sha256-modp3072",
     "aes128gcm16-noesn", "aes128-prfsha256-sha256-modp3072", "aes128gcm16-noesn"},
    {"ChromeOS, with `default` at the end", kChromeIke, kChromeEsp, "aes256gcm16-prfsha256-modp3072",
     "aes256gcm16-noesn", "aes256gcm16-prfsha256-modp3072", "aes256gcm16-noesn"},
    {"an old phone", "3des-sha1-modp1024", "3des-sha1", "", "", "3des-prfsha1-sha1-modp1024", "3des-sha1-noesn"},
};

std::string chosen(Protocol protocol, std::string_view theirs, bool legacy) {
  const ProposalList offered = *parse_proposals(protocol, theirs, true);
  std::size_t index = 0;
  const auto found = choose(default_proposals(protocol, legacy), offered, KeyExchangeRule::kIgnored, index);
  return found ? found->to_string() : "";
}

TEST_CASE("ike clients: which ESP proposal of theirs the default lists choose") {
  for (const Client& client : kClients) {
    CAPTURE(client.name);
    CHECK(chosen(Protocol::kEsp, client.esp, false) == client.esp_chosen);
    CHECK(chosen(Protocol::kEsp, client.esp, true) == client.legacy_esp_chosen);
  }
}

TEST_CASE("ike clients: their proposals on the wire, against a gateway with and without legacy") {
  for (const Client& client : kClients) {
    for (const bool legacy : {false, true}) {
      CAPTURE(client.name);
      CAPTURE(legacy);
      Connection a = IkePair::connection(true), b = IkePair::connection(false);
      ChildConfig theirs = IkePair::child(true), ours = IkePair::child(false);
      a.proposals = *parse_proposals(Protocol::kIke, client.ike, true);
      theirs.proposals = *parse_proposals(Protocol::kEsp, client.esp, true);
      theirs.legacy = true;
      a.children = {std::make_shared<ChildConfig>(theirs)};
      b.proposals = default_proposals(Protocol::kIke, legacy);
      ours.proposals = default_proposals(Protocol::kEsp, legacy);
      ours.legacy = legacy;
      b.children = {std::make_shared<ChildConfig>(ours)};
      IkePair pair(77);
      const SaId sa = pair.connect(IkePair::share(a), IkePair::share(b));
      const std::string_view expected = legacy ? client.legacy_ike_chosen : client.ike_chosen;
      REQUIRE((pair.a.count<Up>() == 1) == !expected.empty());
      if (expected.empty()) {
        CHECK(pair.b.last<Closed>()->reason.cause == Cause::kNoProposal);
        CHECK(pair.b.last<Closed>()->reason.offered == a.proposals);
        continue;
      }
      CHECK(pair.a.last<Up>()->proposal.to_string() == expected);
      if ((legacy ? client.legacy_esp_chosen : client.esp_chosen).empty()) {
        REQUIRE(pair.b.count<ChildRefused>() == 1);
        CHECK(pair.b.last<ChildRefused>()->reason.cause == Cause::kNoProposal);
        continue;
      }
      REQUIRE(pair.a.count<ChildUp>() == 1);
      CHECK(pair.traffic_flows());
      // Rekeys of the client, whose proposals name no group; and of the gateway.
      CHECK(pair.a.engine.rekey_child(pair.now, pair.a.last<ChildUp>()->child));
      pair.run(20s);
      CHECK(pair.b.engine.rekey_child(pair.now, pair.b.last<ChildUp>()->child));
      pair.run(20s);
      CHECK(pair.a.engine.rekey(pair.now, sa));
      pair.run(20s);
      CHECK(pair.a.engine.counters().child_rekeys == 2);
      CHECK(pair.a.engine.counters().ike_rekeys == 1);
      CHECK(pair.traffic_flows());
    }
  }
}

TEST_CASE("ike clients: iOS' MODP-1536, which does not work, is not picked where anything else is there") {
  const Client& ios = *std::ranges::find_if(kClients, [](const Client& c) { return c.name.starts_with("iOS"); });
  for (const std::string_view ours :
       {"aes256-sha256-modp1536-modp2048", "aes256-sha256-modp1536, aes256-sha256-modp2048",
        "aes256-aes128-sha256-sha1-modp1536-ecp256-modp2048-modp1024"}) {
    CAPTURE(ours);
    Connection a = IkePair::connection(true), b = IkePair::connection(false);
    a.proposals = *parse_proposals(Protocol::kIke, ios.ike, true);
    b.proposals = *parse_proposals(Protocol::kIke, ours, true);
    IkePair pair(79);
    pair.connect(IkePair::share(a), IkePair::share(b));
    REQUIRE(pair.a.count<Up>() == 1);
    CHECK(pair.a.last<Up>()->proposal.to_string() == "aes256-prfsha256-sha256-modp2048");
  }
}

TEST_CASE("ike clients: Android's counter mode, for a gateway that has nothing else") {
  Connection a = IkePair::connection(true), b = IkePair::connection(false);
  ChildConfig theirs = IkePair::child(true), ours = IkePair::child(false);
  a.proposals = *parse_proposals(Protocol::kIke, kAndroidIke, true);
  theirs.proposals = *parse_proposals(Protocol::kEsp, "aes256ctr-aes192ctr-aes128ctr-sha512-sha384-sha256", true);
  a.children = {std::make_shared<ChildConfig>(theirs)};
  b.proposals = *parse_proposals(Protocol::kIke, "aes192ctr-sha384-x25519");
  ours.proposals = *parse_proposals(Protocol::kEsp, "aes192ctr-sha384");
  b.children = {std::make_shared<ChildConfig>(ours)};
  IkePair pair(80);
  const SaId sa = pair.connect(IkePair::share(a), IkePair::share(b));
  REQUIRE(pair.a.count<ChildUp>() == 1);
  CHECK(pair.a.last<Up>()->proposal.to_string() == "aes192ctr-prfsha384-sha384-x25519");
  CHECK(pair.traffic_flows());
  CHECK(pair.a.engine.rekey(pair.now, sa));
  pair.run(10s);
  CHECK(pair.b.engine.rekey_child(pair.now, pair.b.last<ChildUp>()->child));
  pair.run(20s);
  CHECK(pair.a.engine.counters().ike_rekeys == 1);
  CHECK(pair.traffic_flows());
}

// A group in the client's ESP proposals, as PFS is set: used in rekeys, by whoever begins them.
TEST_CASE("ike clients: PFS as PowerShell sets it is what a rekey has") {
  for (const bool by_client : {true, false}) {
    for (const std::string_view ours : {"aes256gcm16", "aes256gcm16-ecp384", "aes256gcm16-x25519-ecp384"}) {
      CAPTURE(by_client);
      CAPTURE(ours);
      Connection a = IkePair::connection(true), b = IkePair::connection(false);
      ChildConfig theirs = IkePair::child(true), gateways = IkePair::child(false);
      theirs.proposals = *parse_proposals(Protocol::kEsp, "aes256gcm16-ecp384");
      gateways.proposals = *parse_proposals(Protocol::kEsp, ours);
      a.children = {std::make_shared<ChildConfig>(theirs)};
      b.children = {std::make_shared<ChildConfig>(gateways)};
      IkePair pair(81);
      pair.connect(IkePair::share(a), IkePair::share(b));
      REQUIRE(pair.a.count<ChildUp>() == 1);
      test::IkeEnd& end = by_client ? pair.a : pair.b;
      CHECK(end.engine.rekey_child(pair.now, end.last<ChildUp>()->child));
      pair.run(20s);
      CHECK(pair.a.engine.counters().child_rekeys == 1);
      CHECK(pair.b.engine.counters().child_rekeys == 1);
      CHECK(pair.traffic_flows());
    }
  }
}

TEST_CASE(
    "ike clients: a client that rekeys without Diffie-Hellman where the gateway has it, and the other way round") {
  for (const bool client : {true, false}) {
    CAPTURE(client);
    Connection a = IkePair::connection(true), b = IkePair::connection(false);
    ChildConfig with = IkePair::child(!client ? true : false);
    with.proposals = *parse_proposals(Protocol::kEsp, "aes256gcm16-ecp256");
    (client ? b : a).children = {std::make_shared<ChildConfig>(with)};
    IkePair pair(78);
    pair.connect(IkePair::share(a), IkePair::share(b));
    CHECK(pair.a.engine.rekey_child(pair.now, pair.a.last<ChildUp>()->child));
    pair.run(20s);
    CHECK(pair.a.engine.counters().child_rekeys == 1);
    CHECK(pair.traffic_flows());
  }
}

}  // namespace
}  // namespace winze::ike
