#include "winze/base/crc32.h"

#include <doctest/doctest.h>

#include "winze/base/bytes.h"

namespace winze {
namespace {

TEST_CASE("crc32: the check value of the catalogue of CRCs, and others") {
  CHECK(crc32(as_bytes("123456789")) == 0xcbf43926);
  CHECK(crc32({}) == 0);
  CHECK(crc32(as_bytes("a")) == 0xe8b7be43);
}

}  // namespace
}  // namespace winze
