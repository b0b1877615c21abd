// Every exchange between two engines.
#include <doctest/doctest.h>

#include <string>

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

}  // namespace
}  // namespace winze::ike
