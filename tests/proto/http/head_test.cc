#include "winze/proto/http/head.h"

#include <doctest/doctest.h>

#include "support/segments.h"
#include "winze/proto/http/error.h"

namespace winze::http {
namespace {

using Framing = Body::Framing;

TEST_CASE("http: a request head") {
  RequestHead head;
  REQUIRE_FALSE(parse_request(
      "POST /a?b HTTP/1.1\r\nHost: example.org\r\nX-Empty:\r\nx-two: \t a b\t \r\ncontent-length: 12\r\n\r\n", head));
  CHECK(head.method == "POST");
  CHECK(head.target == "/a?b");
  CHECK(head.version == Version::k11);
  CHECK(head.fields.size() == 4);
  CHECK(*head.fields.find("HOST") == "example.org");
  CHECK(*head.fields.find("X-EMPTY") == "");
  CHECK(*head.fields.find("X-Two") == "a b");
  CHECK(head.fields.find("x-three") == nullptr);
  CHECK(head.body == Body{Framing::kLength, 12});
  Buffer out;
  encode(head, out);
  CHECK(out.text() ==
        "POST /a?b HTTP/1.1\r\nHost: example.org\r\nX-Empty: \r\nx-two: a b\r\ncontent-length: 12\r\n\r\n");
}

TEST_CASE("http: a response head") {
  ResponseHead head;
  REQUIRE_FALSE(parse_response("HTTP/1.0 407 Not so fast\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n", head));
  CHECK(head.version == Version::k10);
  CHECK(head.status == 407);
  CHECK(head.reason == "Not so fast");
  Buffer out;
  encode(head, out);
  CHECK(out.text() == "HTTP/1.0 407 Not so fast\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n");
  for (std::string_view text : {"HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 \r\n\r\n", "HTTP/1.1 200 OK\n\n"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_response(text, head));
    CHECK(head.status == 200);
  }
}

struct Malformed {
  std::string_view text;
  Errc error;
};

TEST_CASE("http: malformed requests, each with its error") {
  const Malformed kRows[] = {
      {"\r\n", Errc::kBadStartLine},
      {"GET /\r\n\r\n", Errc::kBadStartLine},
      {"GET  HTTP/1.1\r\n\r\n", Errc::kBadStartLine},
      {" GET / HTTP/1.1\r\n\r\n", Errc::kBadStartLine},
      {"GET / / HTTP/1.1\r\n\r\n", Errc::kBadStartLine},
      {"G(T / HTTP/1.1\r\n\r\n", Errc::kBadStartLine},
      {"GET /\x01 HTTP/1.1\r\n\r\n", Errc::kBadStartLine},
      {"GET /\r HTTP/1.1\r\n\r\n", Errc::kBadStartLine},
      {"GET / HTTP/1.1 \r\n\r\n", Errc::kBadStartLine},
      {"GET / http/1.1\r\n\r\n", Errc::kBadStartLine},
      {"GET / HTTP/2.0\r\n\r\n", Errc::kBadVersion},
      {"GET / HTTP/1.x\r\n\r\n", Errc::kBadVersion},
      {"GET / HTTP/1.1\n\r\n", Errc::kBadLineEnd},
      {"GET / HTTP/1.1\r\nA: b\n\r\n", Errc::kBadLineEnd},
      {"GET / HTTP/1.1\r\nA: b\r\n\n", Errc::kBadLineEnd},
      {"GET / HTTP/1.1\r\nA: b\r\n", Errc::kBadLineEnd},
      {"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", Errc::kBadField},
      {"GET / HTTP/1.1\r\nA: b\r\r\n\r\n", Errc::kBadField},
      {"GET / HTTP/1.1\r\nA : b\r\n\r\n", Errc::kBadField},
      {"GET / HTTP/1.1\r\n: b\r\n\r\n", Errc::kBadField},
      {"GET / HTTP/1.1\r\nA b\r\n\r\n", Errc::kBadField},
      {"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", Errc::kBadField},
      {"GET / HTTP/1.1\r\n\tA: b\r\n\r\n", Errc::kBadField},
      {"GET / HTTP/1.1\r\nA: b\x7f\r\n\r\n", Errc::kBadField},
      {"GET / HTTP/1.1\r\nA\xc3: b\r\n\r\n", Errc::kBadField},
      {{"GET / HTTP/1.1\r\nA: \0\r\n\r\n", 24}, Errc::kBadField},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nContent-Length: \r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nContent-Length: 1 1\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Errc::kBadFraming},
      {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n", Errc::kUnsupportedCoding},
      {"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Errc::kUnsupportedCoding},
      {"GET / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", Errc::kUnsupportedCoding},
      {"GET / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", Errc::kUnsupportedCoding},
      {"GET / HTTP/1.1\r\n\r\nmore", Errc::kUnexpectedData},
  };
  for (const Malformed& row : kRows) {
    CAPTURE(row.text);
    RequestHead head;
    CHECK(parse_request(row.text, head) == row.error);
  }
}

TEST_CASE("http: malformed responses, each with its error") {
  const Malformed kRows[] = {
      {"HTTP/1.1\r\n\r\n", Errc::kBadStartLine},
      {"HTTP/1.1 \r\n\r\n", Errc::kBadStartLine},
      {"HTTP/1.1 20\r\n\r\n", Errc::kBadStartLine},
      {"HTTP/1.1 2000\r\n\r\n", Errc::kBadStartLine},
      {"HTTP/1.1 099 x\r\n\r\n", Errc::kBadStartLine},
      {"HTTP/1.1  200 OK\r\n\r\n", Errc::kBadStartLine},
      {"HTTP/1.1 +20 OK\r\n\r\n", Errc::kBadStartLine},
      {"HTTP/1.1 200 O\x02K\r\n\r\n", Errc::kBadStartLine},
      {"SSH-2.0-OpenSSH\r\n\r\n", Errc::kBadStartLine},
      {"HTTP/3.1 200 OK\r\n\r\n", Errc::kBadVersion},
      {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Errc::kBadField},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Errc::kBadFraming},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Errc::kUnsupportedCoding},
  };
  for (const Malformed& row : kRows) {
    CAPTURE(row.text);
    ResponseHead head;
    CHECK(parse_response(row.text, head) == row.error);
  }
}

TEST_CASE("http: what body a head announces") {
  struct Row {
    std::string_view fields;
    Body body;
  };
  for (const Row& row : {Row{"", {}}, Row{"Content-Length: 0\r\n", {Framing::kLength, 0}},
                         Row{"Content-Length: 5, 5\r\nContent-Length: 5\r\n", {Framing::kLength, 5}},
                         Row{"Content-Length: 18446744073709551615\r\n", {Framing::kLength, ~std::uint64_t{0}}},
                         Row{"transfer-encoding: Chunked\r\n", {Framing::kChunked, 0}}}) {
    CAPTURE(row.fields);
    RequestHead request;
    CHECK_FALSE(parse_request("PUT / HTTP/1.1\r\n" + std::string(row.fields) + "\r\n", request));
    CHECK(request.body == row.body);
    ResponseHead response;
    CHECK_FALSE(parse_response("HTTP/1.1 200 OK\r\n" + std::string(row.fields) + "\r\n", response));
    CHECK(response.body == row.body);
    const Body expected = row.body.framing == Framing::kNone ? Body{Framing::kUntilClose, 0} : row.body;
    CHECK(body_of(response, "GET") == expected);
    CHECK(body_of(response, "HEAD") == Body{});
    CHECK(body_of(response, "CONNECT") == Body{});
    for (unsigned status : {100u, 103u, 204u, 304u}) {
      response.status = status;
      CHECK(body_of(response, "GET") == Body{});
    }
    response.status = 404;
    CHECK(body_of(response, "CONNECT") == expected);
  }
  ResponseHead both;
  CHECK_FALSE(parse_response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", both));
  CHECK(both.body == Body{Framing::kChunked, 0});
}

TEST_CASE("http: Fields and lists") {
  Fields fields;
  fields.add("Connection", "keep-alive, ,Upgrade");
  fields.add("connection", "x-hop");
  CHECK(fields.has_token("CONNECTION", "upgrade"));
  CHECK(fields.has_token("Connection", "X-Hop"));
  CHECK_FALSE(fields.has_token("Connection", "hop"));
  CHECK(fields.count("Connection") == 2);
  fields.set("Connection", "close");
  CHECK(fields.size() == 1);
  CHECK(fields.remove("connection") == 1);
  CHECK(fields.size() == 0);

  fields.add("Connection", "Keep-Alive");
  CHECK(is_persistent(Version::k10, fields));
  CHECK(is_persistent(Version::k11, {}));
  CHECK_FALSE(is_persistent(Version::k10, {}));
  fields.set("Connection", "foo, Close");
  CHECK_FALSE(is_persistent(Version::k11, fields));
}

TEST_CASE("http: heads are collected from segments, not a byte beyond") {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(3000, 'x') + "\r\n\r\n";
  for (std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    HeadCollector collector;
    std::string after;
    int heads = 0;
    test::feed("\r\n\r\n" + head + "\r\n" + head + "tail", segment, [&](Buffer in) {
      while (!in.empty()) {
        std::error_code error;
        if (heads == 2) {
          after += in.text();
          return true;
        }
        if (!collector.collect(in, error)) {
          REQUIRE_FALSE(error);
          CHECK(in.empty());
          return true;
        }
        CHECK(collector.text() == head);
        collector.clear();
        ++heads;
      }
      return true;
    });
    CHECK(heads == 2);
    CHECK(after == "tail");
  }
}

TEST_CASE("http: heads without end are bounded") {
  for (const std::string& text : {std::string(kMaxHeadSize + 1, 'x'), "GET / HTTP/1.1\r\nA: " + std::string(70000, 'a'),
                                  std::string(kMaxHeadSize + 1, '\n')}) {
    for (std::size_t segment : test::kSegmentSizes) {
      HeadCollector collector;
      std::error_code error;
      test::feed(text, segment, [&](Buffer in) {
        CHECK_FALSE(collector.collect(in, error));
        CHECK(collector.text().size() <= kMaxHeadSize);
        return !error;
      });
      CHECK(error == Errc::kHeadTooLarge);
    }
  }
  std::string many = "GET / HTTP/1.1\r\n";
  for (std::size_t i = 0; i < kMaxFields; ++i) many += "A: b\r\n";
  RequestHead head;
  CHECK_FALSE(parse_request(many + "\r\n", head));
  CHECK(parse_request(many + "A: b\r\n\r\n", head) == Errc::kTooManyFields);
}

TEST_CASE("http: errors carry blame, statuses and phrases") {
  CHECK(blame_of(Errc::kBadField) == Blame::kPeerMisbehaved);
  CHECK(blame_of(refusal_of(403)) == Blame::kPeerRefused);
  CHECK(blame_of(Errc::kBadHead) == Blame::kLocalMisuse);
  CHECK(refusal_of(101) == Errc::kSwitched);
  CHECK(refusal_of(302) == Errc::kRedirected);
  CHECK(refusal_of(418) == Errc::kClientError);
  CHECK(refusal_of(407) == Errc::kProxyAuthenticationRequired);
  CHECK(refusal_of(500) == Errc::kServerError);
  CHECK(refusal_of(999) == Errc::kServerError);
  CHECK(status_of(Errc::kHeadTooLarge) == 431);
  CHECK(status_of(Errc::kBadField) == 400);
  CHECK(std::error_code(Errc::kForbidden).message() == "HTTP peer forbids the request (403)");
  CHECK(std::string(reason_of(407)) == "Proxy Authentication Required");
}

}  // namespace
}  // namespace winze::http
