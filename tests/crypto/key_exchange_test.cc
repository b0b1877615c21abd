#include "winze/crypto/key_exchange.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "support/vectors.h"
#include "winze/base/status.h"
#include "winze/crypto/system_random.h"

namespace winze {
namespace {

using test::Bytes;

constexpr KeyExchangeMethod kAll[] = {
    KeyExchangeMethod::kModp1024,  KeyExchangeMethod::kModp1536, KeyExchangeMethod::kModp2048,
    KeyExchangeMethod::kModp3072,  KeyExchangeMethod::kModp4096, KeyExchangeMethod::kModp6144,
    KeyExchangeMethod::kModp8192,  KeyExchangeMethod::kEcp256,   KeyExchangeMethod::kEcp384,
    KeyExchangeMethod::kEcp521,    KeyExchangeMethod::kX25519,   KeyExchangeMethod::kMlKem768,
    KeyExchangeMethod::kMlKem1024,
};

bool available(KeyExchangeMethod method) { return check_key_exchange(method).ok(); }

// Gives out the bytes of a secret from a vector.
class Replay final : public Random {
 public:
  explicit Replay(Bytes bytes) : bytes_(std::move(bytes)) {}
  void fill(std::span<std::uint8_t> out) override {
    REQUIRE(bytes_.size() == out.size());
    std::ranges::copy(bytes_, out.begin());
  }

 private:
  Bytes bytes_;
};

// As text, so that a test can compare it with "refused" as well.
std::string derived(const KeyExchange& ours, const Bytes& peer) {
  auto shared = ours.derive(peer);
  return shared.ok() ? test::hex(shared->span()) : "refused";
}

TEST_CASE("key exchange: both sides agree, and no two exchanges do") {
  SystemRandom random;
  for (const KeyExchangeMethod method : kAll) {
    CAPTURE(static_cast<int>(method));
    if (!available(method)) continue;
    auto ours = KeyExchange::create(method, random);
    auto other = KeyExchange::create(method, random);
    REQUIRE(ours.ok());
    REQUIRE(other.ok());
    CHECK((*ours)->public_value().size() == initiator_value_size(method));
    CHECK_FALSE(std::ranges::equal((*ours)->public_value(), (*other)->public_value()));
    auto answer = answer_key_exchange(method, (*ours)->public_value(), random);
    REQUIRE(answer.ok());
    CHECK(answer->public_value.size() == responder_value_size(method));
    auto shared = (*ours)->derive(answer->public_value);
    REQUIRE(shared.ok());
    CHECK(*shared == answer->shared);
    auto wrong = (*other)->derive(answer->public_value);
    CHECK_FALSE((wrong.ok() && *wrong == answer->shared));
  }
}

TEST_CASE("key exchange: primes against OpenSSL") {
  for (const test::Vector& v : test::load_vectors("crypto/modp.txt")) {
    CAPTURE(v.text("id"));
    Replay secret(v.bytes("private"));
    auto ours = KeyExchange::create(static_cast<KeyExchangeMethod>(std::stoi(v.text("method"))), secret);
    REQUIRE(ours.ok());
    CHECK(test::hex((*ours)->public_value()) == v.text("public"));
    CHECK(derived(**ours, v.bytes("peer")) == v.text("shared"));
  }
}

TEST_CASE("key exchange: curves against Wycheproof") {
  struct File {
    const char* name;
    KeyExchangeMethod method;
  };
  for (const File& file : {File{"crypto/ecdh_secp256r1.txt", KeyExchangeMethod::kEcp256},
                           File{"crypto/ecdh_secp384r1.txt", KeyExchangeMethod::kEcp384},
                           File{"crypto/ecdh_secp521r1.txt", KeyExchangeMethod::kEcp521},
                           File{"crypto/x25519.txt", KeyExchangeMethod::kX25519}}) {
    int refused = 0;
    for (const test::Vector& v : test::load_vectors(file.name)) {
      CAPTURE(file.name);
      CAPTURE(v.text("id"));
      Replay secret(v.bytes("private"));
      auto ours = KeyExchange::create(file.method, secret);
      REQUIRE(ours.ok());
      const bool valid = v.text("result") == "valid";
      refused += !valid;
      CHECK(derived(**ours, v.bytes("public")) == (valid ? v.text("shared") : "refused"));
    }
    CHECK(refused >= 5);
  }
}

TEST_CASE("key exchange: curves, RFC 5903 section 8") {
  for (const test::Vector& v : test::load_vectors("crypto/rfc5903.txt")) {
    CAPTURE(v.text("id"));
    Replay secret(v.bytes("i"));
    auto ours = KeyExchange::create(static_cast<KeyExchangeMethod>(std::stoi(v.text("method"))), secret);
    REQUIRE(ours.ok());
    CHECK(test::hex((*ours)->public_value()) == v.text("gi"));
    CHECK(derived(**ours, v.bytes("gr")) == v.text("girx"));
  }
}

TEST_CASE("key exchange: ML-KEM against Wycheproof") {
  for (const test::Vector& v : test::load_vectors("crypto/ml_kem.txt")) {
    CAPTURE(v.text("id"));
    const auto method = static_cast<KeyExchangeMethod>(std::stoi(v.text("method")));
    SystemRandom random;
    if (!available(method)) {
      const absl::Status why = answer_key_exchange(method, v.bytes("ek"), random).status();
      CHECK(message_of(why).find("BoringSSL") != std::string_view::npos);
      continue;
    }
    auto answer = answer_key_exchange(method, v.bytes("ek"), random);
    CHECK(answer.ok() == (v.text("result") == "valid"));
    if (!answer.ok()) continue;
    Replay seed(v.bytes("seed"));
    auto ours = KeyExchange::create(method, seed);
    REQUIRE(ours.ok());
    CHECK(test::hex((*ours)->public_value()) == v.text("ek"));
    CHECK(derived(**ours, v.bytes("c")) == v.text("K"));
    CHECK(derived(**ours, answer->public_value) == test::hex(answer->shared.span()));
  }
}

// CVE-2015-3240, CVE-2023-41913 and their like.
TEST_CASE("security: key exchange values of a wrong size") {
  SystemRandom random;
  for (const KeyExchangeMethod method : kAll) {
    CAPTURE(static_cast<int>(method));
    if (!available(method)) continue;
    auto ours = KeyExchange::create(method, random);
    REQUIRE(ours.ok());
    const std::size_t sent = initiator_value_size(method), answered = responder_value_size(method);
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, sent - 1, sent + 1, 2 * sent, std::size_t{65535}}) {
      CHECK_FALSE(answer_key_exchange(method, Bytes(size, 2), random).ok());
    }
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, answered - 1, answered + 1, std::size_t{65535}}) {
      CHECK(derived(**ours, Bytes(size, 2)) == "refused");
    }
  }
}

TEST_CASE("security: key exchange values that give a known secret") {
  SystemRandom random;
  for (const KeyExchangeMethod method : kAll) {
    CAPTURE(static_cast<int>(method));
    if (is_kem(method)) continue;
    auto ours = KeyExchange::create(method, random);
    REQUIRE(ours.ok());
    const std::size_t size = initiator_value_size(method);
    CHECK(derived(**ours, Bytes(size, 0)) == "refused");
    CHECK(derived(**ours, Bytes(size, 0xff)) ==
          (method == KeyExchangeMethod::kX25519 ? derived(**ours, Bytes(size, 0xff)) : "refused"));
    Bytes one(size, 0);
    (method == KeyExchangeMethod::kX25519 ? one.front() : one.back()) = 1;
    CHECK(derived(**ours, one) == "refused");
  }
}

TEST_CASE("security: key exchange, p - 1 and above") {
  SystemRandom random;
  for (const test::Vector& v : test::load_vectors("crypto/modp_primes.txt")) {
    CAPTURE(v.text("id"));
    auto ours = KeyExchange::create(static_cast<KeyExchangeMethod>(std::stoi(v.text("method"))), random);
    REQUIRE(ours.ok());
    // All primes end in ones.
    Bytes value = v.bytes("prime");
    CHECK(derived(**ours, value) == "refused");
    value.back() -= 1;
    CHECK(derived(**ours, value) == "refused");
    value.back() -= 1;
    CHECK(derived(**ours, value) != "refused");
  }
}

TEST_CASE("security: a point of another curve") {
  SystemRandom random;
  auto ours = KeyExchange::create(KeyExchangeMethod::kEcp256, random);
  REQUIRE(ours.ok());
  Bytes point((*ours)->public_value().begin(), (*ours)->public_value().end());
  CHECK(derived(**ours, point) != "refused");
  for (std::size_t i = 0; i < point.size(); ++i) {
    point[i] ^= 1;
    CHECK(derived(**ours, point) == "refused");
    point[i] ^= 1;
  }
}

TEST_CASE("key exchange: unknown and legacy methods") {
  SystemRandom random;
  for (const int number : {0, 1, 3, 13, 22, 32, 35, 38, 65535}) {
    const auto method = static_cast<KeyExchangeMethod>(number);
    CHECK_FALSE(KeyExchange::create(method, random).ok());
    CHECK_FALSE(answer_key_exchange(method, Bytes(32), random).ok());
  }
  CHECK(std::ranges::count_if(kAll, is_legacy) == 2);
}

}  // namespace
}  // namespace winze
