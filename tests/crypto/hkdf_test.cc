#include "winze/crypto/hkdf.h"

#include <doctest/doctest.h>

#include "support/vectors.h"
#include "winze/base/bytes.h"

namespace winze {
namespace {

TEST_CASE("hkdf: vectors") {
  for (const test::Vector& vector : test::load_vectors("crypto/hkdf_sha1.txt")) {
    if (vector.text("result") != "valid") continue;
    CAPTURE(vector.text("id"));
    const test::Bytes wanted = vector.bytes("okm");
    test::Bytes out(wanted.size());
    hkdf_sha1(vector.bytes("ikm"), vector.bytes("salt"), as_text(vector.bytes("info")), out);
    CHECK(out == wanted);
  }
}

}  // namespace
}  // namespace winze
