#include "winze/crypto/prf.h"

#include <doctest/doctest.h>

#include "support/vectors.h"

namespace winze {
namespace {

using test::Bytes;

PrfAlgorithm algorithm_of(const std::string& name) {
  constexpr std::pair<const char*, PrfAlgorithm> kNames[] = {
      {"sha1", PrfAlgorithm::kHmacSha1},     {"sha256", PrfAlgorithm::kHmacSha256},
      {"sha384", PrfAlgorithm::kHmacSha384}, {"sha512", PrfAlgorithm::kHmacSha512},
      {"xcbc", PrfAlgorithm::kAesXcbc},      {"cmac", PrfAlgorithm::kAesCmac}};
  for (const auto& [text, algorithm] : kNames) {
    if (name == text) return algorithm;
  }
  FAIL(name);
  return {};
}

TEST_CASE("prf: keys of every size") {
  for (const test::Vector& v : test::load_vectors("crypto/prf.txt")) {
    CAPTURE(v.text("id"));
    auto prf = Prf::create(algorithm_of(v.text("prf")), v.bytes("key"));
    REQUIRE(prf.ok());
    const Secret out = prf->sum({v.bytes("msg")});
    CHECK(test::hex(out.span()) == v.text("out"));
  }
}

TEST_CASE("prf+: NIST CAVP, IKEv2 key derivation") {
  for (const test::Vector& v : test::load_vectors("crypto/cavp_ikev2.txt")) {
    CAPTURE(v.text("id"));
    const PrfAlgorithm algorithm = algorithm_of(v.text("prf"));
    Bytes nonces = v.bytes("ni"), seed;
    for (const std::uint8_t b : v.bytes("nr")) nonces.push_back(b);
    seed = nonces;
    for (const std::uint8_t b : v.bytes("spii")) seed.push_back(b);
    for (const std::uint8_t b : v.bytes("spir")) seed.push_back(b);
    const Bytes gir = v.bytes("gir"), gir_new = v.bytes("gir_new");

    auto of_nonces = Prf::create(algorithm, nonces);
    REQUIRE(of_nonces.ok());
    const Secret skeyseed = of_nonces->sum({gir});
    CHECK(test::hex(skeyseed.span()) == v.text("skeyseed"));

    auto of_skeyseed = Prf::create(algorithm, skeyseed.span());
    REQUIRE(of_skeyseed.ok());
    const Bytes dkm = v.bytes("dkm");
    Bytes made(dkm.size());
    REQUIRE(of_skeyseed->expand(seed, made));
    CHECK(made == dkm);

    const auto sk_d = std::span(made).first(of_skeyseed->size());
    auto of_sk_d = Prf::create(algorithm, sk_d);
    REQUIRE(of_sk_d.ok());
    CHECK(test::hex(of_sk_d->sum({gir_new, nonces}).span()) == v.text("skeyseed_rekey"));
    const Bytes child = v.bytes("dkm_child");
    Bytes made_child(child.size());
    REQUIRE(of_sk_d->expand(nonces, made_child));
    CHECK(made_child == child);
  }
}

// HKDF (RFC 5869) is the same construction: extract is the function itself, keyed by the salt, and expand is prf+.
TEST_CASE("prf+: Wycheproof's HKDF vectors") {
  for (const char* file :
       {"crypto/hkdf_sha1.txt", "crypto/hkdf_sha256.txt", "crypto/hkdf_sha384.txt", "crypto/hkdf_sha512.txt"}) {
    for (const test::Vector& v : test::load_vectors(file)) {
      CAPTURE(file);
      CAPTURE(v.text("id"));
      const PrfAlgorithm algorithm = algorithm_of(v.text("prf"));
      auto extract = Prf::create(algorithm, v.bytes("salt"));
      REQUIRE(extract.ok());
      auto expand = Prf::create(algorithm, extract->sum({v.bytes("ikm")}).span());
      REQUIRE(expand.ok());
      Bytes out(std::stoul(v.text("size")));
      CHECK(expand->expand(v.bytes("info"), out) == (v.text("result") == "valid"));
      if (v.text("result") == "valid") CHECK(test::hex(out) == v.text("okm"));
    }
  }
}

TEST_CASE("prf+: ends after 255 blocks") {
  auto prf = Prf::create(PrfAlgorithm::kAesXcbc, {});
  REQUIRE(prf.ok());
  Bytes most(255 * 16);
  CHECK(prf->expand({}, most));
  Bytes more(255 * 16 + 1);
  CHECK_FALSE(prf->expand({}, more));
  CHECK(more == Bytes(more.size()));
}

}  // namespace
}  // namespace winze
