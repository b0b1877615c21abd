#include "winze/crypto/signature.h"

#include <doctest/doctest.h>

#include <optional>

#include "support/files.h"
#include "support/vectors.h"
#include "winze/base/bytes.h"
#include "winze/base/status.h"
#include "winze/crypto/private_key.h"

namespace winze {
namespace {

using test::Bytes;

constexpr SignatureScheme kLast = SignatureScheme::kEd25519;

template <typename F>
void each_scheme(F f) {
  for (int i = 0; i <= static_cast<int>(kLast); ++i) f(static_cast<SignatureScheme>(i));
}

Bytes sign(PrivateKey& key, SignatureScheme scheme, const Bytes& message) {
  Bytes out;
  int calls = 0;
  key.sign(scheme, message, [&](absl::StatusOr<Bytes> signature) {
    ++calls;
    if (signature.ok()) out = *std::move(signature);
  });
  CHECK(calls == 1);
  return out;
}

PrivateKeyPtr key_from(const std::string& file, std::string_view passphrase = {}) {
  auto key = parse_private_key(test::bytes_of("crypto/keys/" + file), passphrase);
  REQUIRE_MESSAGE(key.ok(), file << ": " << message_of(key.status()));
  return *std::move(key);
}

TEST_CASE("signature: Wycheproof") {
  struct File {
    const char* name;
    int valid, invalid;  // at least
  };
  for (const File& file : {File{"crypto/rsa_pkcs1.txt", 10, 100}, File{"crypto/rsa_pss.txt", 30, 20},
                           File{"crypto/ecdsa.txt", 50, 100}, File{"crypto/ed25519.txt", 20, 30}}) {
    std::optional<PublicKey> key;
    int valid = 0, invalid = 0;
    for (const test::Vector& v : test::load_vectors(file.name)) {
      CAPTURE(v.text("id"));
      if (v.has("spki")) {
        auto parsed = PublicKey::parse(v.bytes("spki"));
        REQUIRE(parsed.ok());
        key = *std::move(parsed);
      }
      const auto scheme = static_cast<SignatureScheme>(std::stoi(v.text("scheme")));
      const bool right = v.text("result") == "valid";
      ++(right ? valid : invalid);
      CHECK(key->verify(scheme, v.bytes("msg"), v.bytes("sig")) == right);
    }
    CHECK(valid >= file.valid);
    CHECK(invalid >= file.invalid);
  }
}

// CVE-2006-4339, CVE-2018-16151, CVE-2018-16152, CVE-2018-17540, CVE-2026-50721, CVE-2026-50722 and their like.
TEST_CASE("security: RSA signatures that a lax parser would take") {
  std::optional<PublicKey> key;
  Bytes message;
  for (const test::Vector& v : test::load_vectors("crypto/rsa_forgeries.txt")) {
    CAPTURE(v.text("id"));
    if (v.has("spki")) {
      auto parsed = PublicKey::parse(v.bytes("spki"));
      REQUIRE(parsed.ok());
      key = *std::move(parsed);
      message = v.bytes("msg");
    }
    const Bytes signature = v.bytes("sig");
    const bool right = v.text("result") == "valid";
    CHECK(key->verify(SignatureScheme::kRsaPkcs1Sha256, message, signature) == right);
    each_scheme([&](SignatureScheme other) {
      if (other != SignatureScheme::kRsaPkcs1Sha256 && other != SignatureScheme::kRsaPkcs1Sha1) {
        CHECK_FALSE(key->verify(other, message, signature));
      }
    });
  }
}

TEST_CASE("signature: every key signs by each of its schemes, and by no other") {
  const Bytes message{1, 2, 3};
  for (const char* name : {"rsa.pem", "p256.pem", "p384.pem", "p521.pem", "ed25519.pem"}) {
    CAPTURE(name);
    const PrivateKeyPtr key = key_from(name);
    each_scheme([&](SignatureScheme scheme) {
      CAPTURE(to_string(scheme));
      Bytes signature = sign(*key, scheme, message);
      CHECK(signature.empty() == !key->public_key().can(scheme));
      if (signature.empty()) return;
      CHECK(key->public_key().verify(scheme, message, signature));
      CHECK_FALSE(key->public_key().verify(scheme, Bytes{1, 2, 4}, signature));
      CHECK_FALSE(key->public_key().verify(scheme, {}, signature));
      for (std::size_t i = 0; i < signature.size(); i += 7) {
        signature[i] ^= 4;
        CHECK_FALSE(key->public_key().verify(scheme, message, signature));
        signature[i] ^= 4;
      }
    });
  }
}

TEST_CASE("signature: verifies what OpenSSL signed") {
  struct Row {
    const char *key, *signature;
    SignatureScheme scheme;
  };
  for (const Row& row : {Row{"rsa", "rsa.sha256.sig", SignatureScheme::kRsaPkcs1Sha256},
                         Row{"rsa", "rsa.pss384.sig", SignatureScheme::kRsaPssSha384},
                         Row{"p256", "p256.sha256.sig", SignatureScheme::kEcdsaSha256},
                         Row{"p384", "p384.sha256.sig", SignatureScheme::kEcdsaSha256},
                         Row{"p521", "p521.sha256.sig", SignatureScheme::kEcdsaSha256},
                         Row{"ed25519", "ed25519.sig", SignatureScheme::kEd25519}}) {
    CAPTURE(row.signature);
    auto key = PublicKey::parse_pem(test::text_of(std::string("crypto/keys/") + row.key + ".pub.pem"));
    REQUIRE(key.ok());
    CHECK(key->verify(row.scheme, test::bytes_of("crypto/keys/message"),
                      test::bytes_of(std::string("crypto/keys/") + row.signature)));
    CHECK(*key == key_from(std::string(row.key) + ".pem")->public_key());
  }
}

TEST_CASE("private key: every form") {
  struct Row {
    const char *file, *passphrase, *type;
  };
  for (const Row& row :
       {Row{"rsa.pem", "", "RSA 2048"}, Row{"rsa.pkcs1.pem", "", "RSA 2048"}, Row{"rsa.pkcs1.der", "", "RSA 2048"},
        Row{"rsa.enc.pem", "secret", "RSA 2048"}, Row{"p256.pem", "", "ECDSA P-256"},
        Row{"p256.sec1.pem", "", "ECDSA P-256"}, Row{"p256.der", "", "ECDSA P-256"},
        Row{"p256.enc.pem", "secret", "ECDSA P-256"}, Row{"p256.enc.der", "secret", "ECDSA P-256"},
        Row{"p521.pem", "", "ECDSA P-521"}, Row{"ed25519.pem", "", "Ed25519"}}) {
    CAPTURE(row.file);
    CHECK(key_from(row.file, row.passphrase)->public_key().to_string() == row.type);
  }
  struct Bad {
    const char *file, *passphrase, *says;
  };
  for (const Bad& row :
       {Bad{"p256.enc.pem", "", "no passphrase was given"}, Bad{"p256.enc.pem", "wrong", "does not open it"},
        Bad{"rsa.enc.pem", "wrong", "does not open it"}, Bad{"p256.pub.pem", "", "no PEM private key"},
        Bad{"p224.pem", "", "of a kind that is not known"}, Bad{"message", "", "not a DER private key"}}) {
    CAPTURE(row.file);
    auto key = parse_private_key(test::bytes_of(std::string("crypto/keys/") + row.file), row.passphrase);
    REQUIRE_FALSE(key.ok());
    CHECK(message_of(key.status()).find(row.says) != std::string_view::npos);
  }
}

TEST_CASE("public key: nothing behind it, and nothing missing") {
  const PrivateKeyPtr key = key_from("p256.pem");
  const auto spki = key->public_key().spki();
  Bytes der(spki.begin(), spki.end());
  CHECK(PublicKey::parse(der).ok());
  der.push_back(0);
  CHECK_FALSE(PublicKey::parse(der).ok());
  for (std::size_t n = 0; n < spki.size(); ++n) CHECK_FALSE(PublicKey::parse(spki.first(n)).ok());
}

// CVE-2026-14957: RSA with e = 0.
TEST_CASE("security: RSA keys without a usable exponent or modulus") {
  for (const char* spki : {"301d300d06092a864886f70d0101010500030c003009020400c35b11020100",  // e = 0
                           "301d300d06092a864886f70d0101010500030c003009020400c35b11020101",  // e = 1
                           "301d300d06092a864886f70d0101010500030c003009020400c35b11020102",  // e = 2
                           "301a300d06092a864886f70d01010105000309003006020100020103",        // n = 0
                           "301a300d06092a864886f70d010101050003090030060201ff020103"}) {     // n = -1
    CAPTURE(spki);
    auto key = PublicKey::parse(test::unhex(spki));
    if (key.ok()) CHECK_FALSE(key->verify(SignatureScheme::kRsaPkcs1Sha256, {}, Bytes(3)));
  }
}

TEST_CASE("algorithm identifier: each scheme's names it, and nothing less or more does") {
  each_scheme([](SignatureScheme scheme) {
    CAPTURE(to_string(scheme));
    const auto der = algorithm_identifier_of(scheme);
    CHECK(parse_algorithm_identifier(der) == scheme);
    for (std::size_t n = 0; n < der.size(); ++n) CHECK_FALSE(parse_algorithm_identifier(der.first(n)));
    Bytes more(der.begin(), der.end());
    more.push_back(0);
    CHECK_FALSE(parse_algorithm_identifier(more));
  });
}

TEST_CASE("algorithm identifier: other forms") {
  struct Row {
    const char* der;
    std::optional<SignatureScheme> scheme;
  };
  const Row kRows[] = {
      {"300b06092a864886f70d01010b", SignatureScheme::kRsaPkcs1Sha256},  // no NULL
      {"300c06082a8648ce3d0403020500", SignatureScheme::kEcdsaSha256},   // a NULL
      {"300d06092a864886f70d01010e0500", std::nullopt},                  // SHA-224
      {"300b06092a864886f70d01010a", std::nullopt},                      // PSS without parameters: SHA-1
      {"300d06092a864886f70d01010a3000", std::nullopt},                  // likewise
      {"300d06092a864886f70d01010b0501", std::nullopt},                  // NULL that is not there
      {"300e06092a864886f70d01010b050000", std::nullopt},                // bytes behind it
      {"300f06092a864886f70d01010b05000500", std::nullopt},              // twice
      // PSS: hashes without NULL
      {"303d06092a864886f70d01010a3030a00d300b0609608648016503040201a11a301806092a864886f70d010108300b06096086480165030"
       "40"
       "201a203020120",
       SignatureScheme::kRsaPssSha256},
      // and a trailer field that says what is the default
      {"304206092a864886f70d01010a3035a00d300b0609608648016503040201a11a301806092a864886f70d010108300b06096086480165030"
       "40"
       "201a203020120a303020101",
       SignatureScheme::kRsaPssSha256},
      // another trailer field
      {"304206092a864886f70d01010a3035a00d300b0609608648016503040201a11a301806092a864886f70d010108300b06096086480165030"
       "40"
       "201a203020120a303020102",
       std::nullopt},
      // a salt of another size
      {"303d06092a864886f70d01010a3030a00d300b0609608648016503040201a11a301806092a864886f70d010108300b06096086480165030"
       "40"
       "201a203020114",
       std::nullopt},
      // MGF1 with another hash
      {"303d06092a864886f70d01010a3030a00d300b0609608648016503040201a11a301806092a864886f70d010108300b06096086480165030"
       "40"
       "202a203020120",
       std::nullopt},
  };
  for (const Row& row : kRows) {
    CAPTURE(row.der);
    CHECK(parse_algorithm_identifier(test::unhex(row.der)) == row.scheme);
  }
}

TEST_CASE("ecdsa: fixed form and back") {
  const PrivateKeyPtr key = key_from("p521.pem");
  for (int i = 0; i < 20; ++i) {  // some have leading zeros
    const Bytes message{static_cast<std::uint8_t>(i)};
    const Bytes der = sign(*key, SignatureScheme::kEcdsaSha512, message);
    const Bytes fixed = ecdsa_to_fixed(der, 66);
    CHECK(fixed.size() == 132);
    CHECK(ecdsa_from_fixed(fixed) == der);
  }
  CHECK(ecdsa_to_fixed(sign(*key, SignatureScheme::kEcdsaSha512, {}), 48).empty());
  CHECK(ecdsa_to_fixed({}, 32).empty());
  CHECK(ecdsa_to_fixed(Bytes{0x30, 0x00}, 32).empty());
  CHECK(ecdsa_from_fixed(Bytes(63, 1)).empty());
  CHECK(ecdsa_from_fixed({}).empty());
}

}  // namespace
}  // namespace winze
