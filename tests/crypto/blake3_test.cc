#include "winze/crypto/blake3.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "support/vectors.h"
#include "winze/base/bytes.h"

namespace winze {
namespace {

using test::Bytes;

Bytes pattern(std::size_t size) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(i % 251);
  return out;
}

TEST_CASE("blake3: the official vectors, whole and in pieces") {
  const Blake3::Key key(as_bytes("whats the Elvish word for friend").data(), 32);
  const std::string_view context = "BLAKE3 2019-12-27 16:29:52 test vectors context";
  const std::vector<test::Vector> vectors = test::load_vectors("crypto/blake3.txt");
  CHECK(vectors.size() == 35);
  for (const test::Vector& vector : vectors) {
    const Bytes input = pattern(std::stoul(vector.text("size")));
    for (const std::size_t piece : {std::size_t{1}, std::size_t{63}, std::size_t{1024}, std::size_t{200'000}}) {
      CAPTURE(vector.text("size"));
      CAPTURE(piece);
      const auto check = [&](Blake3 hash, const Bytes& wanted) {
        for (std::size_t at = 0; at < input.size(); at += piece) {
          hash.update(std::span(input).subspan(at, std::min(piece, input.size() - at)));
        }
        Bytes out(wanted.size());
        hash.finish(out);
        CHECK(out == wanted);
        hash.finish(std::span(out).first(5));
        CHECK(std::equal(out.begin(), out.begin() + 5, wanted.begin()));
      };
      check(Blake3(), vector.bytes("hash"));
      check(Blake3(key), vector.bytes("keyed"));
      check(Blake3::for_keys(context), vector.bytes("derived"));
    }
  }
}

TEST_CASE("blake3: the short forms") {
  const Bytes input = pattern(1025);
  Blake3 hash;
  hash.update(input);
  std::array<std::uint8_t, 32> out, short_form;
  hash.finish(out);
  CHECK(blake3(input) == out);
  Blake3 deriving = Blake3::for_keys("context");
  deriving.update(input);
  deriving.finish(out);
  const std::span<const std::uint8_t> all(input);
  blake3_derive_key("context", {all.first(7), all.subspan(7)}, short_form);
  CHECK(short_form == out);
}

}  // namespace
}  // namespace winze
