#include "winze/base/uuid.h"

#include <doctest/doctest.h>

#include "winze/base/random.h"

namespace winze {
namespace {

TEST_CASE("uuid: text to bytes and back") {
  const auto id = Uuid::parse("b831381d-6324-4d53-ad4f-8cda48b30811");
  REQUIRE(id);
  CHECK(id->bytes == std::array<std::uint8_t, 16>{0xb8, 0x31, 0x38, 0x1d, 0x63, 0x24, 0x4d, 0x53, 0xad, 0x4f, 0x8c,
                                                  0xda, 0x48, 0xb3, 0x08, 0x11});
  CHECK(id->to_string() == "b831381d-6324-4d53-ad4f-8cda48b30811");
  CHECK(Uuid::parse("B831381D63244D53AD4F8CDA48B30811") == id);
  CHECK(Uuid::parse("b831381d-63244d53ad4f-8cda48b30811") == id);
  CHECK(Uuid{}.to_string() == "00000000-0000-0000-0000-000000000000");
}

TEST_CASE("uuid: malformed text") {
  for (std::string_view bad :
       {"", "b831381d", "b831381d-6324-4d53-ad4f-8cda48b3081", "b831381d-6324-4d53-ad4f-8cda48b308111",
        "b831381d-6324-4d53-ad4f-8cda48b30811-", "-b831381d-6324-4d53-ad4f-8cda48b30811",
        "b831381d--6324-4d53-ad4f-8cda48b30811", "b83-1381d63244d53ad4f8cda48b30811",
        "g831381d-6324-4d53-ad4f-8cda48b30811", "b831381d-6324-4d53-ad4f-8cda48b3081 "}) {
    CAPTURE(bad);
    CHECK_FALSE(Uuid::parse(bad));
  }
}

TEST_CASE("uuid: a random one is of version 4 and not always the same") {
  SeededRandom random(7);
  const Uuid a = Uuid::random(random);
  CHECK(a != Uuid::random(random));
  for (int i = 0; i < 100; ++i) {
    const std::string text = Uuid::random(random).to_string();
    CHECK(text[14] == '4');
    CHECK(std::string_view("89ab").find(text[19]) != std::string_view::npos);
  }
}

}  // namespace
}  // namespace winze
