#include "winze/crypto/shake128.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "support/vectors.h"

namespace winze {
namespace {

using test::Bytes;

TEST_CASE("shake128: vectors, read at once and in pieces") {
  for (const test::Vector& v : test::load_vectors("crypto/shake128.txt")) {
    const Bytes message = v.bytes("msg"), wanted = v.bytes("out");
    for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{167}, wanted.size()}) {
      Shake128 shake(message);
      Bytes got(wanted.size());
      for (std::size_t at = 0; at < got.size(); at += piece) {
        shake.read(std::span(got).subspan(at, std::min(piece, got.size() - at)));
      }
      CHECK(test::hex(got) == v.text("out"));
    }
  }
}

}  // namespace
}  // namespace winze
