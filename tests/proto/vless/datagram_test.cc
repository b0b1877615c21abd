#include "winze/proto/vless/datagram.h"

#include <doctest/doctest.h>

#include <vector>

#include "support/codec_pair.h"
#include "winze/base/bytes.h"

namespace winze::vless {
namespace {

TEST_CASE("vless datagrams: framed in place") {
  Buffer datagram = Buffer::copy_of("abc", {.front = 2, .back = 0});
  CHECK(encode_datagram(datagram));
  CHECK(test::to_hex(datagram.text()) == "0003616263");
  Buffer empty;
  CHECK_FALSE(encode_datagram(empty));
  Buffer largest = Buffer::copy_of(std::string(65535, 'x'));
  CHECK(encode_datagram(largest));
  CHECK(load_u16(largest.data()) == 65535);
  Buffer larger = Buffer::copy_of(std::string(65536, 'x'));
  CHECK_FALSE(encode_datagram(larger));
}

TEST_CASE("vless datagrams: unframed from any piece") {
  const std::string bytes = test::from_hex("0003616263 0000 0001 78 0000");
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    CAPTURE(cut);
    std::vector<std::string> found;
    std::string kept;
    for (const std::string& piece : {bytes.substr(0, cut), bytes.substr(cut)}) {
      kept += piece;
      auto rest = as_bytes(kept);
      while (auto datagram = decode_datagram(rest)) found.emplace_back(as_text(*datagram));
      kept = std::string(as_text(rest));
    }
    CHECK(found == std::vector<std::string>{"abc", "x"});
    CHECK(kept.empty());
  }
  const std::string incomplete = test::from_hex("0003616200");
  auto rest = as_bytes(std::string_view(incomplete).substr(0, 4));
  CHECK_FALSE(decode_datagram(rest));
  CHECK(rest.size() == 4);
}

}  // namespace
}  // namespace winze::vless
