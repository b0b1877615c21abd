#include "winze/proto/user_id.h"

#include <doctest/doctest.h>

#include <string>

namespace winze {
namespace {

// The expected ids are those of Python's uuid.uuid5(uuid.UUID(int=0), name).
TEST_CASE("user id: names stand for UUIDs of version 5") {
  struct Row {
    std::string_view text, id;
  };
  for (const Row& row :
       {Row{"example", "feb54431-301b-52bb-a6dd-e1e93e81bb9e"}, Row{"a", "35b65f33-a679-5e76-af3c-273ea349ede4"},
        Row{"caf\xc3\xa9", "5aca2037-e489-53a0-8a86-3cab62a1217c"},
        Row{"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "53267599-dc74-5b79-bef1-55ca25ed44c9"},
        Row{"b831381d63244d53ad4f8cda48b30811", "b831381d-6324-4d53-ad4f-8cda48b30811"}}) {
    CAPTURE(row.text);
    const auto id = parse_user_id(row.text);
    REQUIRE(id);
    CHECK(id->to_string() == row.id);
  }
}

TEST_CASE("user id: texts that stand for none") {
  CHECK_FALSE(parse_user_id(""));
  CHECK_FALSE(parse_user_id(std::string(31, 'x')));
  CHECK_FALSE(parse_user_id(std::string(32, 'x')));
  CHECK_FALSE(parse_user_id("b831381d-6324-4d53-ad4f-8cda48b308111"));
}

}  // namespace
}  // namespace winze
