// Sessions of strongSwan with itself: its messages decode, its keys derive, its AUTH payloads verify.
#include "support/vectors.h"

#include <doctest/doctest.h>

#include <string>

#include "../../../lib/proto/ike/keys.h"
#include "../../../lib/proto/ike/payloads.h"

namespace winze::ike {
namespace {

using test::Vector;
using ByteVector = std::vector<std::uint8_t>;

struct Decoded {
  ByteVector bytes;
  Header header;
  ByteVector inner;
  PayloadChain chain;
  Contents contents;
};

void decode(Decoded& message, ByteVector bytes, const Suite& suite, const IkeKeys* keys) {
  message.bytes = std::move(bytes);
  const auto header = decode_header(message.bytes);
  REQUIRE(header);
  message.header = *header;
  const auto body = std::span(message.bytes).subspan(kHeaderSize);
  REQUIRE(message.chain.decode(header->first, body));
  if (keys != nullptr) {
    const Payload sealed = message.chain.payloads.back();
    REQUIRE(sealed.type == PayloadType::kEncrypted);
    const auto inner =
        open_message(suite, header->initiator ? keys->i : keys->r, std::span(message.bytes), sealed.body);
    REQUIRE(inner);
    message.inner.assign(inner->begin(), inner->end());
    const PayloadType first = message.chain.inner_first;
    REQUIRE(message.chain.decode(first, message.inner));
  }
  CHECK(message.chain.unknown_critical == 0);
  REQUIRE(message.contents.decode(message.chain));
}

bool same(const Secret& secret, const Vector& vector, const std::string& name) {
  return test::hex(secret.span()) == (vector.has(name) ? vector.text(name) : std::string());
}

void check_auth(const Vector& vector, const Suite& suite, const IkeKeys& keys, const Decoded& init,
                const Decoded& other, const Decoded& auth, bool of_initiator) {
  ByteVector octets = init.bytes;
  octets.insert(octets.end(), other.contents.nonce->begin(), other.contents.nonce->end());
  const auto& id = of_initiator ? auth.contents.id_i : auth.contents.id_r;
  REQUIRE(id);
  CHECK(id->to_string() == (of_initiator ? "a.test" : "b.test"));
  const Secret mac = mac_of_id(suite.prf, of_initiator ? keys.pi : keys.pr, id_body(*id));
  octets.insert(octets.end(), mac.span().begin(), mac.span().end());
  const Secret expected = shared_secret_auth(suite.prf, vector.bytes("psk"), octets);
  REQUIRE(auth.contents.auth);
  CHECK(test::hex(auth.contents.auth->data) == test::hex(expected.span()));
}

TEST_CASE("ike: sessions of strongSwan decode, and their keys and proofs come out the same") {
  for (const Vector& vector : test::load_vectors("ike/strongswan.txt")) {
    CAPTURE(vector.text("proposal"));
    const Proposal proposal = *Proposal::parse(Protocol::kIke, vector.text("proposal"));
    const Suite suite = *Suite::of(proposal);
    Decoded messages[6];
    for (int i = 0; i < 2; ++i) {
      decode(messages[i], vector.bytes("message" + std::to_string(i)), suite, nullptr);
      REQUIRE(messages[i].contents.nonce);
    }
    REQUIRE(messages[1].contents.offers.size() == 1);
    // strongSwan has its transforms in an order of its own.
    std::size_t index = 0;
    CHECK(choose({&proposal, 1}, messages[1].contents.offered(), KeyExchangeRule::kRequired, index) == proposal);
    CHECK(messages[1].contents.has(notify::kFragmentationSupported));

    const auto nonce_i = *messages[0].contents.nonce, nonce_r = *messages[1].contents.nonce;
    const Secret seed = skeyseed(suite.prf, vector.bytes("shared"), nonce_i, nonce_r);
    CHECK(same(seed, vector, "skeyseed"));
    const IkeKeys keys =
        derive_keys(suite, seed, nonce_i, nonce_r, {messages[1].header.spi_i, messages[1].header.spi_r});
    CHECK(same(keys.d, vector, "sk_d"));
    CHECK(same(keys.i.integrity, vector, "sk_ai"));
    CHECK(same(keys.r.integrity, vector, "sk_ar"));
    CHECK(same(keys.i.encryption, vector, "sk_ei"));
    CHECK(same(keys.r.encryption, vector, "sk_er"));
    CHECK(same(keys.pi, vector, "sk_pi"));
    CHECK(same(keys.pr, vector, "sk_pr"));

    for (int i = 2; i < 6; ++i) decode(messages[i], vector.bytes("message" + std::to_string(i)), suite, &keys);
    check_auth(vector, suite, keys, messages[0], messages[1], messages[2], true);
    check_auth(vector, suite, keys, messages[1], messages[0], messages[3], false);

    const Contents& answer = messages[3].contents;
    REQUIRE(answer.ts_i);
    CHECK(answer.ts_i->at(0).to_string() == "10.1.0.0/24");
    CHECK(answer.ts_r->at(0).to_string() == "10.2.0.0/24");
    const auto check_child = [&](const Contents& chosen, std::span<const std::uint8_t> shared,
                                 std::span<const std::uint8_t> from, std::span<const std::uint8_t> to,
                                 const std::string& prefix) {
      REQUIRE(chosen.offers.size() == 1);
      const auto child = derive_child_keys(suite.prf, keys.d, chosen.offers[0].proposal, shared, from, to, {}, false);
      REQUIRE(child);
      CHECK(same(child->from_initiator.encryption_key, vector, prefix + "encryption_initiator"));
      CHECK(same(child->from_responder.encryption_key, vector, prefix + "encryption_responder"));
    };
    check_child(answer, {}, nonce_i, nonce_r, "child_");
    REQUIRE(messages[4].contents.has(notify::kRekeySa));
    check_child(messages[5].contents, vector.bytes("rekey_shared"), *messages[4].contents.nonce,
                *messages[5].contents.nonce, "rekey_");
    // One bit changed anywhere behind the header is found.
    const ByteVector whole = vector.bytes("message2");
    for (std::size_t at = kHeaderSize + kPayloadHeaderSize; at < whole.size(); at += 7) {
      ByteVector bytes = whole;
      bytes[at] ^= 1;
      PayloadChain chain;
      REQUIRE(chain.decode(PayloadType::kEncrypted, std::span(bytes).subspan(kHeaderSize)));
      CHECK(!open_message(suite, keys.i, bytes, chain.payloads.back().body));
    }
  }
}

}  // namespace
}  // namespace winze::ike
