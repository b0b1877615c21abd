#include "winze/base/base64.h"

#include <doctest/doctest.h>

#include "winze/base/bytes.h"
#include "winze/base/random.h"

namespace winze {
namespace {

constexpr auto kStandard = Base64Alphabet::kStandard;
constexpr auto kUrl = Base64Alphabet::kUrl;

std::optional<std::string> decoded(std::string_view text, Base64Alphabet alphabet = kStandard,
                                   Base64Padding padding = Base64Padding::kRequired) {
  auto bytes = base64_decode(text, alphabet, padding);
  if (!bytes) return std::nullopt;
  return std::string(as_text(*bytes));
}

TEST_CASE("base64: the vectors of RFC 4648 §10") {
  struct Row {
    std::string_view plain, text, unpadded;
  };
  for (const Row& row : {Row{"", "", ""}, Row{"f", "Zg==", "Zg"}, Row{"fo", "Zm8=", "Zm8"}, Row{"foo", "Zm9v", "Zm9v"},
                         Row{"foob", "Zm9vYg==", "Zm9vYg"}, Row{"fooba", "Zm9vYmE=", "Zm9vYmE"},
                         Row{"foobar", "Zm9vYmFy", "Zm9vYmFy"}}) {
    CAPTURE(row.plain);
    CHECK(base64_encode(row.plain) == row.text);
    CHECK(base64_encode(row.plain, kStandard, Base64Padding::kNone) == row.unpadded);
    CHECK(decoded(row.text) == row.plain);
    CHECK(decoded(row.unpadded, kStandard, Base64Padding::kNone) == row.plain);
    CHECK(decoded(row.text, kUrl, Base64Padding::kLenient) == row.plain);
    CHECK(decoded(row.unpadded, kUrl, Base64Padding::kLenient) == row.plain);
    if (row.text != row.unpadded) {
      CHECK_FALSE(decoded(row.unpadded));
      CHECK_FALSE(decoded(row.text, kStandard, Base64Padding::kNone));
    }
  }
}

TEST_CASE("base64: the two alphabets differ in their last characters") {
  const std::uint8_t bytes[] = {0xfb, 0xff, 0xfe};
  CHECK(base64_encode(bytes) == "+//+");
  CHECK(base64_encode(bytes, kUrl) == "-__-");
  CHECK(decoded("+//+"));
  CHECK(decoded("-__-", kUrl));
  CHECK_FALSE(decoded("-__-"));
  CHECK_FALSE(decoded("+//+", kUrl));
}

TEST_CASE("base64: malformed text") {
  for (std::string_view bad :
       {"A", "AAAAA", "A===", "=", "====", "AA=A", "AA= ", " AAA", "AA\n=", "AAA=AAAA", "AAAA====", "AAAA=", "AA==="}) {
    CAPTURE(bad);
    CHECK_FALSE(decoded(bad));
    CHECK_FALSE(decoded(bad, kStandard, Base64Padding::kLenient));
  }
  CHECK_FALSE(decoded(std::string_view("AA\0A", 4)));
  // Unused bits that are set.
  CHECK_FALSE(decoded("Zh=="));
  CHECK_FALSE(decoded("Zm9="));
  CHECK(decoded("Zh==", kStandard, Base64Padding::kLenient) == "f");
  CHECK(decoded("Zg=", kStandard, Base64Padding::kLenient) == "f");
}

TEST_CASE("base64: whatever is encoded comes back") {
  SeededRandom random(1);
  for (std::size_t size = 0; size < 100; ++size) {
    std::vector<std::uint8_t> bytes(size);
    random.fill(bytes);
    for (Base64Alphabet alphabet : {kStandard, kUrl}) {
      CHECK(base64_decode(base64_encode(bytes, alphabet), alphabet) == bytes);
    }
  }
}

}  // namespace
}  // namespace winze
