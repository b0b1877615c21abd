#include "winze/proto/mixed_server.h"

#include <doctest/doctest.h>

#include "support/opening.h"

namespace winze {
namespace {

using test::bytes;
using test::run_opening;
using test::sealed;

TEST_CASE("mixed server: the first byte decides") {
  for (std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    {
      MixedServerCodec codec({}, {});
      const auto opening = run_opening(codec, bytes("\x05\x01\x00\x05\x01\x00\x03\x01z\x00\x50payload"), segment);
      REQUIRE(opening.done);
      CHECK(opening.sent == bytes("\x05\x00"));
      CHECK(opening.payload == "payload");
      CHECK(codec.as_socks() != nullptr);
      CHECK(codec.request().destination == Destination("z", 80));
      codec.grant({});
      CHECK(sealed(codec, "") == bytes("\x05\x00\x00\x01\0\0\0\0\0\0"));
    }
    {
      MixedServerCodec codec({}, {});
      REQUIRE(run_opening(codec, bytes("\x04\x01\x00\x50\xc0\x00\x02\x01\x00"), segment).done);
      codec.refuse(Refusal::kGeneral);
      CHECK(codec.holds_opening());
      CHECK(sealed(codec, "") == bytes("\x00\x5b\0\0\0\0\0\0"));
    }
    {
      MixedServerCodec codec({}, {});
      const auto opening = run_opening(codec, "CONNECT z:80 HTTP/1.1\r\n\r\npayload", segment);
      REQUIRE(opening.done);
      CHECK(opening.payload == "payload");
      CHECK(codec.as_http() != nullptr);
      CHECK_FALSE(codec.is_forward());
      CHECK(codec.request().destination == Destination("z", 80));
      codec.grant({});
      CHECK(sealed(codec, "") == "HTTP/1.1 200 Connection established\r\n\r\n");
      CHECK(codec.seals_verbatim());
    }
    {
      MixedServerCodec codec({}, {});
      const auto opening = run_opening(codec, "GET http://z/ HTTP/1.1\r\n\r\n", segment);
      REQUIRE(opening.done);
      CHECK(codec.is_forward());
      CHECK(opening.payload == "GET http://z/ HTTP/1.1\r\n\r\n");
    }
  }
}

TEST_CASE("mixed server: neither, and nothing") {
  MixedServerCodec odd({}, {});
  const auto opening = run_opening(odd, bytes("\x06\x01\r\n\r\n"), 1);
  CHECK(opening.error == http::Errc::kBadStartLine);
  CHECK(opening.sent.starts_with("HTTP/1.1 400 Bad Request\r\n"));

  MixedServerCodec silent({}, {});
  CHECK_FALSE(run_opening(silent, "", 1).error);
  CHECK(silent.as_http() == nullptr);
  CHECK(silent.as_socks() == nullptr);
  CHECK(silent.request().destination == Destination());
}

}  // namespace
}  // namespace winze
