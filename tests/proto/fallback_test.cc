#include "winze/proto/fallback.h"

#include <doctest/doctest.h>

#include "winze/base/bytes.h"

namespace winze {
namespace {

Fallback entry(std::string name, std::string alpn, std::string path, std::uint16_t port) {
  return {.name = std::move(name),
          .alpn = std::move(alpn),
          .path = std::move(path),
          .destination = Destination("127.0.0.1", port),
          .proxy_protocol = 0};
}

// The port of what is selected, 0 for nothing.
int selected(const FallbackTable& table, std::string_view first, std::string_view name, std::string_view alpn) {
  const Fallback* fallback = table.select(as_bytes(first), name, alpn);
  return fallback == nullptr ? 0 : std::get<Destination>(fallback->destination).port;
}

TEST_CASE("fallback: what is nearer wins, what is missing is inherited") {
  const auto table = FallbackTable::create({
      entry("", "", "", 80),
      entry("", "", "/common", 81),
      entry("", "h2", "", 82),
      entry("a.example", "", "", 90),
      entry("a.example", "", "/own", 91),
      entry("Long.A.example", "", "/own", 92),
      entry("b.example", "h2", "", 93),
  });
  REQUIRE(table.ok());
  struct Row {
    std::string_view name, alpn, path;
    int port;
  };
  for (const Row& row : {
           Row{"", "", "/", 80},
           Row{"", "", "/common", 81},
           Row{"", "", "/common?query", 81},
           Row{"", "", "/Common", 80},
           Row{"", "h2", "/", 82},
           Row{"", "h2", "/common", 81},  // alpn h2 has no such path of its own
           Row{"", "http/1.1", "/common", 81},
           Row{"other.example", "", "/", 80},
           Row{"a.example", "", "/", 90},
           Row{"a.example", "", "/own", 91},
           Row{"a.example", "", "/common", 81},
           Row{"A.EXAMPLE", "", "/own", 91},
           Row{"a.example", "h2", "/", 90},  // the name's own default path comes before the other name's
           Row{"a.example", "h2", "/own", 91},
           Row{"x.a.example", "", "/own", 91},  // the longest configured name within it
           Row{"x.long.a.example", "", "/own", 92},
           Row{"long.a.example", "", "/", 80},
           Row{"b.example", "h2", "/", 93},
           Row{"b.example", "", "/", 80},
           Row{"b.example", "h2", "/common", 81},
       }) {
    CAPTURE(row.name);
    CAPTURE(row.alpn);
    CAPTURE(row.path);
    CHECK(selected(*table, "GET " + std::string(row.path) + " HTTP/1.1\r\n", row.name, row.alpn) == row.port);
  }
}

TEST_CASE("fallback: without defaults there may be nothing") {
  const auto table = FallbackTable::create({entry("a.example", "h2", "/x", 90)});
  REQUIRE(table.ok());
  CHECK(selected(*table, "GET /x HTTP/1.1\r\n\r\n", "a.example", "h2") == 90);
  CHECK(selected(*table, "GET /y HTTP/1.1\r\n\r\n", "a.example", "h2") == 0);
  CHECK(selected(*table, "GET /x HTTP/1.1\r\n\r\n", "a.example", "") == 0);
  CHECK(selected(*table, "GET /x HTTP/1.1\r\n\r\n", "", "h2") == 0);
  CHECK(selected(*table, "", "a.example", "h2") == 0);
}

TEST_CASE("fallback: the path of the first request") {
  struct Row {
    std::string_view first, path;
  };
  const std::string at_limit = "GET /" + std::string(58, 'p') + " HTTP/1.1\r\n";
  const std::string beyond_limit = "GET /" + std::string(59, 'p') + " HTTP/1.1\r\n";
  for (const Row& row : {
           Row{"GET /abc HTTP/1.1\r\n", "/abc"},
           Row{"POST /abc HTTP/1.1\r\n", "/abc"},
           Row{"OPTIONS /abc HTTP/1.1\r\n", "/abc"},
           Row{"PROPFIND /abc HTTP/1.1\r\n", ""},  // eight letters are beyond where it looks
           Row{"PT /abc HTTP/1.1\r\n\r\n", ""},
           Row{"GET /abc?x=1 HTTP/1.1\r\n", "/abc"},
           Row{"GET / HTTP/1.1\r\nHost: a", "/"},
           Row{"GET /abcdefghijklmnop", ""},
           Row{"GET /abc\r\nmore and more", ""},
           Row{"GET /abc HTTP/1.1", ""},  // 17 bytes
           Row{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""},
           Row{"", ""},
           Row{at_limit, std::string_view(at_limit).substr(4, 59)},
           Row{beyond_limit, ""},
       }) {
    CAPTURE(row.first);
    CHECK(request_path(as_bytes(row.first)) == row.path);
  }
}

TEST_CASE("fallback: entries that are refused") {
  CHECK(FallbackTable::create({entry("", "", "", 1), entry("", "", "x", 2)}).status().message() ==
        "fallbacks[1].path: must begin with '/'");
  CHECK(FallbackTable::create({entry("A", "", "", 1), entry("a", "", "", 2)}).status().message() ==
        "fallbacks[1]: there is another entry with the same name, alpn and path");
  Fallback version = entry("", "", "", 1);
  version.proxy_protocol = 3;
  CHECK(FallbackTable::create({version}).status().message() == "fallbacks[0].xver: must be 0, 1 or 2");
}

TEST_CASE("fallback: destinations") {
  using D = FallbackDestination;
  CHECK(parse_fallback_destination("80") == D(Destination("127.0.0.1", 80)));
  CHECK(parse_fallback_destination("example.org:80") == D(Destination("example.org", 80)));
  CHECK(parse_fallback_destination("[::1]:80") == D(Destination("::1", 80)));
  CHECK(parse_fallback_destination("/run/web.sock") == D(UnixPath{"/run/web.sock"}));
  CHECK(parse_fallback_destination("@name") == D(UnixPath{"@name"}));
  CHECK(parse_fallback_destination("@@name") == D(UnixPath{"@@name"}));
  for (std::string_view bad :
       {"", "0", "65536", "-1", "80x", "@", "@@", "web", "web:", ":80", "web:0", "::1:80", "serve-ws-none"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_fallback_destination(bad));
  }
}

}  // namespace
}  // namespace winze
