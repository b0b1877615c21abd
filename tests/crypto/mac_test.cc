#include "winze/crypto/mac.h"

#include <doctest/doctest.h>

#include "support/vectors.h"
#include "winze/base/bytes.h"
#include "winze/crypto/system_random.h"

namespace winze {
namespace {

using test::Bytes;

TEST_CASE("mac: vectors") {
  struct File {
    const char* name;
    MacAlgorithm algorithm;
    std::size_t least;  // valid ones expected
  };
  for (const File& file :
       {File{"crypto/hmac_sha1.txt", MacAlgorithm::kHmacSha1, 10},
        File{"crypto/hmac_sha256.txt", MacAlgorithm::kHmacSha256, 10},
        File{"crypto/hmac_sha384.txt", MacAlgorithm::kHmacSha384, 10},
        File{"crypto/hmac_sha512.txt", MacAlgorithm::kHmacSha512, 10},
        File{"crypto/aes_cmac.txt", MacAlgorithm::kAesCmac, 10}, File{"crypto/hmac_md5.txt", MacAlgorithm::kHmacMd5, 4},
        File{"crypto/aes_xcbc.txt", MacAlgorithm::kAesXcbcMac, 4},
        File{"crypto/cavp_hmac_sha1.txt", MacAlgorithm::kHmacSha1, 20},
        File{"crypto/cavp_hmac_sha256.txt", MacAlgorithm::kHmacSha256, 15},
        File{"crypto/cavp_hmac_sha384.txt", MacAlgorithm::kHmacSha384, 20},
        File{"crypto/cavp_hmac_sha512.txt", MacAlgorithm::kHmacSha512, 25},
        File{"crypto/cavp_cmac.txt", MacAlgorithm::kAesCmac, 30}}) {
    std::size_t valid = 0;
    for (const test::Vector& v : test::load_vectors(file.name)) {
      CAPTURE(file.name);
      CAPTURE(v.text("id"));
      auto mac = Mac::create(file.algorithm, v.bytes("key"));
      if (!mac.ok()) {
        CHECK(v.text("result") == "invalid");
        continue;
      }
      const Bytes message = v.bytes("msg"), tag = v.bytes("tag");
      const bool right = v.text("result") == "valid";
      valid += right;
      CHECK(mac->verify({message}, tag) == right);
      // In parts of every size as well.
      for (std::size_t cut = 0; cut <= message.size() && cut < 40; ++cut) {
        const auto whole = std::span<const std::uint8_t>(message);
        Bytes made(tag.size());
        mac->sum({whole.first(cut), {}, whole.subspan(cut)}, made);
        CHECK((made == tag) == right);
      }
    }
    CHECK(valid >= file.least);
  }
}

TEST_CASE("mac: nothing verifies an empty or oversized tag") {
  auto mac = Mac::create(MacAlgorithm::kHmacSha1, Bytes(20));
  CHECK_FALSE(mac->verify({}, {}));
  CHECK_FALSE(mac->verify({}, Bytes(21)));
  CHECK_FALSE(Mac::create(MacAlgorithm::kAesXcbcMac, Bytes(32)).ok());
  CHECK_FALSE(Mac::create(MacAlgorithm::kAesCmac, Bytes(20)).ok());
}

TEST_CASE("hash: FIPS 180 and RFC 1321 examples") {
  const auto text = [](HashAlgorithm algorithm) {
    const auto digest = hash_of(algorithm, {as_bytes("a"), as_bytes("bc")});
    return test::hex(std::span(digest).first(hash_size(algorithm)));
  };
  CHECK(text(HashAlgorithm::kMd5) == "900150983cd24fb0d6963f7d28e17f72");
  CHECK(text(HashAlgorithm::kSha1) == "a9993e364706816aba3e25717850c26c9cd0d89d");
  CHECK(text(HashAlgorithm::kSha256) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(text(HashAlgorithm::kSha384).starts_with("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"));
  CHECK(text(HashAlgorithm::kSha512).starts_with("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2"));
}

TEST_CASE("random: the system's differs each time") {
  SystemRandom random;
  Bytes a(32), b(32);
  random.fill(a);
  random.fill(b);
  CHECK(a != b);
  random.fill({});
}

}  // namespace
}  // namespace winze
