#include "winze/crypto/mschapv2.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "support/vectors.h"

namespace winze::mschapv2 {
namespace {

Challenge challenge_of(const test::Bytes& bytes) {
  Challenge out;
  REQUIRE(bytes.size() == out.size());
  std::ranges::copy(bytes, out.begin());
  return out;
}

TEST_CASE("mschapv2: RFC 2759 and RFC 3079") {
  for (const test::Vector& v : test::load_vectors("crypto/mschapv2.txt")) {
    const test::Bytes text = v.bytes("password");
    const std::string password(text.begin(), text.end());
    const Challenge authenticator = challenge_of(v.bytes("authenticator")), peer = challenge_of(v.bytes("peer"));
    const Secret hash = nt_hash(password);
    CHECK(test::hex(hash.span()) == v.text("nt_hash"));
    const NtResponse made = response(authenticator, peer, v.text("name"), hash);
    CHECK(test::hex(made) == v.text("response"));
    CHECK(made == response(authenticator, peer, "DOMAIN\\" + v.text("name"), hash));
    CHECK(test::hex(answer(authenticator, peer, v.text("name"), hash, made)) == v.text("answer"));
    const Secret msk = master_session_key(hash, made);
    REQUIRE(msk.size() == 64);
    // The RFC's example is the server's send key, which the client receives with.
    CHECK(test::hex(msk.span().subspan(16, 16)) == v.text("send"));
    CHECK(std::ranges::all_of(msk.span().subspan(32), [](std::uint8_t b) { return b == 0; }));
  }
}

// The hash of UTF-16 is MD4's: checked with values of other software.
TEST_CASE("mschapv2: passwords in any script") {
  CHECK(test::hex(nt_hash("").span()) == "31d6cfe0d16ae931b73c59d7e0c089c0");
  CHECK(test::hex(nt_hash("password").span()) == "8846f7eaee8fb117ad06bdd830b7586c");
  // Two units in UTF-16 for one point beyond the first plane; bytes that are no UTF-8 stand for themselves.
  CHECK_FALSE(nt_hash("\xf0\x9f\x94\x91") == nt_hash("\xf0\x9f\x94\x92"));
  CHECK(nt_hash("\xe9") == nt_hash("\xc3\xa9"));
  CHECK(nt_hash("\xc3") == nt_hash("\xc3\x83"));
  CHECK(plain_name("a\\b") == "b");
  CHECK(plain_name("b@a") == "b@a");
}

}  // namespace
}  // namespace winze::mschapv2
