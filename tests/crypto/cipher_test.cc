#include "winze/crypto/cipher.h"

#include <doctest/doctest.h>

#include "support/vectors.h"

namespace winze {
namespace {

using test::Bytes;
using Direction = Cipher::Direction;

TEST_CASE("cipher: known answers, both ways") {
  struct Algorithm {
    const char* name;
    CipherAlgorithm algorithm;
  };
  constexpr Algorithm kAlgorithms[] = {{"aes-cbc", CipherAlgorithm::kAesCbc},
                                       {"aes-ctr", CipherAlgorithm::kAesCtr},
                                       {"3des-cbc", CipherAlgorithm::kTripleDesCbc}};
  for (const char* file : {"crypto/cipher.txt", "crypto/cavp_cbc.txt", "crypto/rfc3686_ctr.txt"}) {
    for (const test::Vector& v : test::load_vectors(file)) {
      const Algorithm* found = nullptr;
      for (const Algorithm& a : kAlgorithms) {
        if (v.text("cipher") == a.name) found = &a;
      }
      CAPTURE(v.text("cipher"));
      REQUIRE(found != nullptr);
      const Bytes key = v.bytes("key"), iv = v.bytes("iv"), plaintext = v.bytes("msg");
      auto encrypt = Cipher::create(found->algorithm, key, Direction::kEncrypt);
      auto decrypt = Cipher::create(found->algorithm, key, Direction::kDecrypt);
      REQUIRE(encrypt.ok());
      REQUIRE(decrypt.ok());
      for (int again = 0; again < 2; ++again) {
        Bytes data = plaintext;
        REQUIRE(encrypt->apply(iv, data));
        CHECK(test::hex(data) == v.text("ct"));
        REQUIRE(decrypt->apply(iv, data));
        CHECK(data == plaintext);
      }
    }
  }
}

// The file's padding is PKCS #5's, which is the caller's affair here.
TEST_CASE("cipher: AES-CBC against Wycheproof") {
  std::size_t valid = 0;
  for (const test::Vector& v : test::load_vectors("crypto/aes_cbc_pkcs5.txt")) {
    CAPTURE(v.text("id"));
    Bytes data = v.bytes("ct");
    auto decrypt = Cipher::create(CipherAlgorithm::kAesCbc, v.bytes("key"), Direction::kDecrypt);
    REQUIRE(decrypt.ok());
    REQUIRE(decrypt->apply(v.bytes("iv"), data) == (data.size() % 16 == 0));
    if (v.text("result") != "valid") continue;
    ++valid;
    Bytes padded = v.bytes("msg");
    padded.resize(padded.size() / 16 * 16 + 16, static_cast<std::uint8_t>(16 - padded.size() % 16));
    CHECK(data == padded);
    auto encrypt = Cipher::create(CipherAlgorithm::kAesCbc, v.bytes("key"), Direction::kEncrypt);
    REQUIRE(encrypt->apply(v.bytes("iv"), padded));
    CHECK(padded == v.bytes("ct"));
  }
  CHECK(valid > 10);
}

TEST_CASE("cipher: sizes that are refused") {
  CHECK_FALSE(Cipher::create(CipherAlgorithm::kAesCbc, Bytes(8), Direction::kEncrypt).ok());
  CHECK_FALSE(Cipher::create(CipherAlgorithm::kTripleDesCbc, Bytes(16), Direction::kEncrypt).ok());
  CHECK_FALSE(AesBlock::create(Bytes(17)).ok());
  auto cbc = Cipher::create(CipherAlgorithm::kAesCbc, Bytes(16), Direction::kEncrypt);
  Bytes data(17);
  CHECK_FALSE(cbc->apply(Bytes(16), data));
  CHECK_FALSE(cbc->apply(Bytes(8), std::span(data).first(16)));
  CHECK(cbc->apply(Bytes(16), std::span(data).first(0)));
}

TEST_CASE("cipher: the AES block function (FIPS 197 C.1)") {
  auto aes = AesBlock::create(test::unhex("000102030405060708090a0b0c0d0e0f"));
  Bytes block = test::unhex("00112233445566778899aabbccddeeff");
  aes->encrypt(block.data(), block.data());
  CHECK(test::hex(block) == "69c4e0d86a7b0430d8cdb78070b4c55a");
  aes->decrypt(block.data(), block.data());
  CHECK(test::hex(block) == "00112233445566778899aabbccddeeff");
}

}  // namespace
}  // namespace winze
