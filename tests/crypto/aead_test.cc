#include "winze/crypto/aead.h"

#include <doctest/doctest.h>

#include "support/vectors.h"

namespace winze {
namespace {

using test::Bytes;

struct File {
  const char* name;
  AeadAlgorithm algorithm;
};

TEST_CASE("aead: vectors, both ways") {
  for (const File& file :
       {File{"crypto/aes_gcm.txt", AeadAlgorithm::kAesGcm}, File{"crypto/cavp_gcm.txt", AeadAlgorithm::kAesGcm},
        File{"crypto/aes_gmac.txt", AeadAlgorithm::kAesGcm}, File{"crypto/cavp_gmac.txt", AeadAlgorithm::kAesGcm},
        File{"crypto/aes_ccm.txt", AeadAlgorithm::kAesCcm}, File{"crypto/cavp_ccm.txt", AeadAlgorithm::kAesCcm},
        File{"crypto/chacha20_poly1305.txt", AeadAlgorithm::kChaCha20Poly1305}}) {
    std::size_t valid = 0, invalid = 0;
    for (const test::Vector& v : test::load_vectors(file.name)) {
      CAPTURE(file.name);
      CAPTURE(v.text("id"));
      const Bytes key = v.bytes("key"), nonce = v.bytes("nonce"), aad = v.bytes("aad"), message = v.bytes("msg");
      const Bytes ciphertext = v.bytes("ct"), tag = v.bytes("tag");
      auto aead = Aead::create(file.algorithm, key, tag.size());
      if (!aead.ok()) {  // a size that is not taken
        CHECK(v.text("result") == "invalid");
        continue;
      }
      Bytes data = ciphertext;
      const bool opened = aead->open(nonce, aad, data, tag.data());
      CHECK(opened == (v.text("result") == "valid"));
      Bytes elsewhere(data.size());
      CHECK(aead->open(nonce, aad, ciphertext, elsewhere.data(), tag.data()) == opened);
      if (!opened) {
        ++invalid;
        if (!message.empty()) CHECK(data != message);
        continue;
      }
      ++valid;
      CHECK(data == message);
      Bytes made(tag.size());
      REQUIRE(aead->seal(nonce, aad, data, made.data()));
      CHECK(data == ciphertext);
      CHECK(made == tag);
      CHECK(elsewhere == message);
      REQUIRE(aead->seal(nonce, aad, message, elsewhere.data(), made.data()));
      CHECK(elsewhere == ciphertext);
      CHECK(made == tag);
    }
    CHECK(valid > 10);
    CHECK(invalid >= 4);
  }
}

TEST_CASE("aead: sizes that are refused") {
  struct Row {
    AeadAlgorithm algorithm;
    std::size_t key, tag;
  };
  for (const Row& row :
       {Row{AeadAlgorithm::kAesGcm, 20, 16}, Row{AeadAlgorithm::kAesGcm, 16, 7}, Row{AeadAlgorithm::kAesGcm, 16, 17},
        Row{AeadAlgorithm::kAesCcm, 15, 16}, Row{AeadAlgorithm::kAesCcm, 16, 9}, Row{AeadAlgorithm::kAesCcm, 16, 18},
        Row{AeadAlgorithm::kChaCha20Poly1305, 16, 16}, Row{AeadAlgorithm::kChaCha20Poly1305, 32, 12}}) {
    CHECK_FALSE(Aead::create(row.algorithm, Bytes(row.key), row.tag).ok());
  }
  auto ccm = Aead::create(AeadAlgorithm::kAesCcm, Bytes(16));
  Bytes data(70000), tag(16);
  CHECK_FALSE(ccm->seal(Bytes(13), {}, data, tag.data()));  // two bytes of length cannot count so much
  CHECK(ccm->seal(Bytes(12), {}, data, tag.data()));
  CHECK_FALSE(ccm->seal(Bytes(14), {}, data, tag.data()));
}

TEST_CASE("aead: CCM counts long associated data") {
  // Longer than 0xff00 bytes, the length takes six bytes (RFC 3610 §2.2); every byte of it must matter.
  auto ccm = Aead::create(AeadAlgorithm::kAesCcm, Bytes(16));
  for (const std::size_t size : {0xfeffu, 0xff00u, 70000u}) {
    Bytes aad(size), tag(16), nonce(12);
    REQUIRE(ccm->seal(nonce, aad, {}, tag.data()));
    CHECK(ccm->open(nonce, aad, {}, tag.data()));
    aad.back() ^= 1;
    CHECK_FALSE(ccm->open(nonce, aad, {}, tag.data()));
  }
}

TEST_CASE("aead: XChaCha20-Poly1305, the draft's vector") {
  for (const test::Vector& v : test::load_vectors("crypto/xchacha20_poly1305.txt")) {
    auto aead = Aead::create(AeadAlgorithm::kXChaCha20Poly1305, v.bytes("key"));
    REQUIRE(aead.ok());
    Bytes data = v.bytes("msg"), tag(16);
    REQUIRE(aead->seal(v.bytes("nonce"), v.bytes("aad"), data, tag.data()));
    CHECK(data == v.bytes("ct"));
    CHECK(tag == v.bytes("tag"));
    CHECK(aead->open(v.bytes("nonce"), v.bytes("aad"), data, tag.data()));
    CHECK(data == v.bytes("msg"));
  }
}

TEST_CASE("aead: from one place to another as in place, and with another key as one made with it") {
  for (const AeadAlgorithm algorithm : {AeadAlgorithm::kAesGcm, AeadAlgorithm::kAesCcm,
                                        AeadAlgorithm::kChaCha20Poly1305, AeadAlgorithm::kXChaCha20Poly1305}) {
    const Bytes first(32, 1), second(32, 2), aad(3, 3), message(1000, 4);
    const Bytes nonce(algorithm == AeadAlgorithm::kXChaCha20Poly1305 ? 24 : 12, 5);
    auto moved = Aead::create(algorithm, first), fresh = Aead::create(algorithm, second);
    CHECK_FALSE(moved->rekey(Bytes(31)));
    REQUIRE(moved->rekey(second));
    Bytes data = message, tag(16), out(message.size()), out_tag(16), back(message.size());
    REQUIRE(fresh->seal(nonce, aad, data, tag.data()));
    REQUIRE(moved->seal(nonce, aad, message, out.data(), out_tag.data()));
    CHECK(out == data);
    CHECK(out_tag == tag);
    CHECK(moved->open(nonce, aad, out, back.data(), tag.data()));
    CHECK(back == message);
  }
}

}  // namespace
}  // namespace winze
