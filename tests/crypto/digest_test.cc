#include "winze/crypto/digest.h"

#include <doctest/doctest.h>

#include "support/codec_pair.h"
#include "winze/base/bytes.h"

namespace winze {
namespace {

std::string sha1_hex(std::string_view text) { return test::to_hex(as_text(sha1(as_bytes(text)))); }

// The examples of FIPS 180-2, appendix A, and the empty string.
TEST_CASE("sha1: the standard's examples") {
  CHECK(sha1_hex("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  CHECK(sha1_hex("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
  CHECK(sha1_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

// RFC 3874, section 3.
TEST_CASE("sha224: the standard's examples") {
  const auto hex = [](std::string_view text) { return test::to_hex(as_text(sha224(as_bytes(text)))); };
  CHECK(hex("abc") == "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7");
  CHECK(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "75388b16512776cc5dba5da1fd890150b0c6455cb4f58b1952522525");
}

}  // namespace
}  // namespace winze
