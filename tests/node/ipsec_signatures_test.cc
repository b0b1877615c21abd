#include "../../lib/node/ipsec_signatures.h"

#include <doctest/doctest.h>

#include <string>

#include "winze/base/status.h"

namespace winze::node {
namespace {

using enum SignatureScheme;

std::string names(const std::vector<SignatureScheme>& schemes) {
  std::string out;
  for (const SignatureScheme scheme : schemes) out += (out.empty() ? "" : ", ") + std::string(to_string(scheme));
  return out;
}

TEST_CASE("swanctl's words for signatures") {
  struct Row {
    const char* text;
    std::vector<SignatureScheme> schemes;
    unsigned rsa = 0, ecdsa = 0;
    bool chain = true;
  };
  for (const Row& row : {
           Row{"pubkey", {}},
           Row{"ike:pubkey", {}},
           Row{"pubkey-sha256", {kEcdsaSha256, kRsaPkcs1Sha256}},
           Row{"rsa", {kRsaPkcs1Sha256, kRsaPkcs1Sha384, kRsaPkcs1Sha512}},
           Row{"rsa-sha1-sha256", {kRsaPkcs1Sha1, kRsaPkcs1Sha256}},
           Row{"rsa/pss-sha512", {kRsaPssSha512}},
           Row{"ike:rsa/pss-sha384-sha256", {kRsaPssSha384, kRsaPssSha256}, 0, 0, false},
           Row{"ecdsa-384-sha384", {kEcdsaSha384}, 0, 384},
           Row{"ed25519", {kEd25519}},
           Row{"rsa-3072-sha256-ecdsa-256-sha256-sha384", {kRsaPkcs1Sha256, kEcdsaSha256, kEcdsaSha384}, 3072, 256},
           Row{"rsa/pss-pubkey-sha256", {kRsaPssSha256, kRsaPssSha384, kRsaPssSha512, kEcdsaSha256, kRsaPkcs1Sha256}},
       }) {
    CAPTURE(row.text);
    const auto limits = parse_signatures(row.text);
    REQUIRE_MESSAGE(limits.ok(), message_of(limits.status()));
    CHECK(names(limits->schemes) == names(row.schemes));
    CHECK(names(limits->chain_schemes) == (row.chain ? names(row.schemes) : ""));
    CHECK(limits->min_rsa_bits == row.rsa);
    CHECK(limits->min_ecdsa_bits == row.ecdsa);
  }
  for (const char* const text : {"", "rsa-", "rsa-md5", "sha256", "rsa-2048x", "ed448", "pubkey-2048", "ecdsa-sha1",
                                 "ike:", "rsa/pss-sha1", "dsa"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_signatures(text).ok());
  }
}

}  // namespace
}  // namespace winze::node
