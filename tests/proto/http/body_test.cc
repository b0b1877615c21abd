#include "winze/proto/http/body.h"

#include <doctest/doctest.h>

#include "support/segments.h"
#include "winze/proto/http/error.h"

namespace winze::http {
namespace {

using Framing = Body::Framing;

struct Result {
  std::string body;
  std::string rest;
  std::error_code error;
  bool done = false;
};

Result decode(std::string_view wire, std::size_t segment) {
  Result result;
  ChunkReader reader;
  test::feed(wire, segment, [&](Buffer in) {
    if (reader.done()) {
      result.rest += in.text();
      return true;
    }
    Buffer out;
    result.error = reader.read(in, out);
    if (result.error) return false;
    result.body += out.text();
    if (reader.done()) {
      result.rest += in.text();
    } else {
      CHECK(in.empty());
    }
    return true;
  });
  result.done = reader.done();
  return result;
}

TEST_CASE("http: chunked bodies") {
  struct Row {
    std::string wire, body;
  };
  const std::string large(100000, 'z');
  const Row kRows[] = {
      {"0\r\n\r\n", ""},
      {"5\r\nhello\r\n0\r\n\r\n", "hello"},
      {"3\r\nhel\r\n0002\r\nlo\r\n000\r\n\r\n", "hello"},
      {"A;name=value;x=\"y\r\n0123456789\r\n1 \t;q\r\n.\r\n0;last\r\nTrailer: x\r\nOther: y\r\n\r\n", "0123456789."},
      {"b\r\n\r\n0\r\n\r\nmore\r\n0\r\n\r\n", "\r\n0\r\n\r\nmore"},
      {"186A0\r\n" + large + "\r\n1\r\n!\r\n0\r\n\r\n", large + "!"},
  };
  for (const Row& row : kRows) {
    for (std::size_t segment : test::kSegmentSizes) {
      CAPTURE(segment);
      const Result result = decode(row.wire + "GET /", segment);
      REQUIRE_FALSE(result.error);
      CHECK(result.done);
      CHECK((result.body == row.body));
      CHECK(result.rest == "GET /");
    }
  }
}

TEST_CASE("http: malformed chunks") {
  const std::string kRows[] = {
      "\r\n",
      ";x\r\n",
      "-1\r\n",
      "+1\r\n",
      "0x1\r\n",
      " 1\r\n",
      "g\r\n",
      "1\n",
      "1\rx",
      "5 5\r\n",
      "1;a\nb\r\n",
      "1;\x01\r\n",
      "10000000000000000\r\n",
      "00000000000000001\r\n",
      "1\r\nab",
      "1\r\na\n",
      "1\r\na\rx",
      "0\r\nA: b\n",
      "0\r\nA\r\r\n",
      "0\r\n\rx",
      "1;" + std::string(5000, 'x'),
      "0\r\n" + std::string(70000, 'x'),
      "1\r\na\r\n\r\n",
  };
  for (const std::string& wire : kRows) {
    CAPTURE(wire.substr(0, 30));
    for (std::size_t segment : test::kSegmentSizes) {
      const Result result = decode(wire, segment);
      CHECK(result.error == Errc::kBadChunk);
      CHECK_FALSE(result.done);
    }
  }
}

TEST_CASE("http: chunks are decoded in place, and wrapped in the room that leaves") {
  Buffer in = Buffer::copy_of("1000\r\n" + std::string(4096, 'a') + "\r\n");
  const std::uint8_t* block = in.data();
  BodyRelay relay({Framing::kChunked, 0}, Framing::kChunked);
  Buffer out;
  REQUIRE_FALSE(relay.relay(in, out));
  CHECK(out.data() == block);
  CHECK((out.text() == "1000\r\n" + std::string(4096, 'a') + "\r\n"));
}

TEST_CASE("http: bodies by length and until close") {
  for (std::size_t segment : test::kSegmentSizes) {
    BodyRelay relay({Framing::kLength, 5000}, Framing::kLength);
    std::string body;
    std::string rest;
    test::feed(std::string(5000, 'a') + "rest", segment, [&](Buffer in) {
      Buffer out;
      CHECK_FALSE(relay.relay(in, out));
      body += out.text();
      rest += in.text();
      return true;
    });
    CHECK(relay.done());
    CHECK((body == std::string(5000, 'a')));
    CHECK(rest == "rest");
    CHECK_FALSE(relay.end());
  }
  BodyRelay open({Framing::kUntilClose, 0}, Framing::kUntilClose);
  Buffer in = Buffer::copy_of("abc");
  Buffer out;
  CHECK_FALSE(open.relay(in, out));
  CHECK(out.text() == "abc");
  CHECK_FALSE(open.done());
  CHECK(open.end());
  CHECK(open.done());
  CHECK(BodyRelay().done());
}

}  // namespace
}  // namespace winze::http
