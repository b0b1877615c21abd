#include <doctest/doctest.h>

#include <vector>

#include "support/segments.h"
#include "winze/proto/http/basic.h"
#include "winze/proto/http/forward_request.h"
#include "winze/proto/http/forward_response.h"

namespace winze::http {
namespace {

using test::kSegmentSizes;
using Requests = ForwardRequests;

// The chunks of `wire` joined; independent of the code under test. Empty and *ok false when malformed.
std::string joined(std::string_view wire, bool* ok) {
  std::string out;
  for (;;) {
    const std::size_t line = wire.find("\r\n");
    *ok = line != wire.npos;
    if (!*ok) return {};
    const std::size_t size = std::stoul(std::string(wire.substr(0, line)), nullptr, 16);
    wire.remove_prefix(line + 2);
    *ok = wire.substr(size, 2) == "\r\n";
    if (!*ok) return {};
    if (size == 0) {
      *ok = wire == "\r\n";
      return out;
    }
    out += wire.substr(0, size);
    wire.remove_prefix(size + 2);
  }
}

// One request as the origin saw it, with chunks joined.
struct Exchange {
  std::string destination, user, head, body;
  bool complete = false;
  bool keep_alive = false;
};

struct Outcome {
  std::vector<Exchange> exchanges;
  std::string answer;
  std::error_code error;
  std::string connect;  // what kConnect left
};

void finish(Exchange& exchange, const ForwardedRequest& request) {
  exchange.complete = true;
  if (request.head.body.framing != Body::Framing::kChunked) return;
  bool ok = false;
  exchange.body = joined(exchange.body, &ok);
  CHECK(ok);
}

Outcome run(std::string_view wire, std::size_t segment, const ForwardOptions& options = {}) {
  Outcome outcome;
  ForwardRequests engine(options);
  bool stopped = false;
  const auto consume = [&](Buffer in) {
    if (!outcome.connect.empty()) {
      outcome.connect += in.text();
      return true;
    }
    for (;;) {
      Buffer out;
      switch (engine.feed(in, out)) {
        case Requests::Event::kMore:
          CHECK(in.empty());
          CHECK(out.empty());
          return true;
        case Requests::Event::kHead:
          outcome.exchanges.push_back({engine.request().proxy.destination.to_string(), engine.request().proxy.user,
                                       std::string(out.text()), "", false, engine.request().keep_alive});
          CHECK_FALSE(engine.is_between());
          break;
        case Requests::Event::kBody:
          outcome.exchanges.back().body += out.text();
          break;
        case Requests::Event::kEnd:
          outcome.exchanges.back().body += out.text();
          finish(outcome.exchanges.back(), engine.request());
          CHECK(engine.is_between());
          break;
        case Requests::Event::kConnect:
          outcome.connect = in.text();
          return true;
        case Requests::Event::kRejected:
          outcome.answer = out.text();
          outcome.error = engine.error();
          stopped = true;
          return false;
      }
    }
  };
  test::feed(wire, segment, consume);
  if (!stopped && outcome.connect.empty() && !outcome.exchanges.empty() && outcome.exchanges.back().complete) {
    CHECK(engine.is_between());
  }
  return outcome;
}

struct Row {
  std::string wire, destination, head, body;
  bool keep_alive;
};

TEST_CASE("http forward: requests are rewritten") {
  const Row kRows[] = {
      {"GET http://example.org/a?b HTTP/1.1\r\nHost: other.example\r\nAccept: */*\r\n\r\n", "example.org:80",
       "GET /a?b HTTP/1.1\r\nAccept: */*\r\nHost: example.org\r\nConnection: close\r\n\r\n", "", true},
      {"GET http://example.org:81 HTTP/1.0\r\nUser-Agent: x\r\n\r\n", "example.org:81",
       "GET / HTTP/1.1\r\nUser-Agent: x\r\nHost: example.org:81\r\nConnection: close\r\n\r\n", "", false},
      {"GET http://a/ HTTP/1.0\r\nProxy-Connection: Keep-Alive\r\n\r\n", "a:80",
       "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "", true},
      {"GET http://a/ HTTP/1.1\r\nProxy-Connection: close\r\n\r\n", "a:80",
       "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "", false},
      {"GET http://a/ HTTP/1.1\r\nConnection: X-Hop, close, Host, Upgrade\r\nx-hop: 1\r\nUpgrade: websocket\r\nTE: "
       "trailers\r\nTrailer: x\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic eDp5\r\nX-End: 2\r\n\r\n",
       "a:80", "GET / HTTP/1.1\r\nX-End: 2\r\nHost: a\r\nConnection: close\r\n\r\n", "", false},
      {"POST http://[::1]:8080/ HTTP/1.1\r\nContent-Length: 5, 5\r\nConnection: Content-Length\r\n\r\nhello",
       "[::1]:8080", "POST / HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", "hello",
       true},
      {"PUT http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
       "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: gone\r\n\r\n",
       "a:80",
       "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
       "hello!", true},
      {"POST http://a/ HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "a:80",
       "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "", true},
      {"OPTIONS http://a HTTP/1.1\r\n\r\n", "a:80", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "",
       true},
      {"OPTIONS http://a/ HTTP/1.1\r\n\r\n", "a:80", "OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "",
       true},
  };
  std::string all;
  for (const Row& row : kRows) all += row.wire + "\r\n";
  for (std::size_t segment : kSegmentSizes) {
    CAPTURE(segment);
    // Each alone would prove less: together they also show that each ends where the next begins.
    const Outcome outcome = run(all, segment);
    CHECK_FALSE(outcome.error);
    REQUIRE(outcome.exchanges.size() == std::size(kRows));
    for (std::size_t i = 0; i < std::size(kRows); ++i) {
      const Exchange& got = outcome.exchanges[i];
      CHECK(got.destination == kRows[i].destination);
      CHECK(got.head == kRows[i].head);
      CHECK(got.body == kRows[i].body);
      CHECK(got.complete);
      CHECK(got.keep_alive == kRows[i].keep_alive);
    }
  }
}

TEST_CASE("http forward: what is rejected, and how") {
  auto list = std::make_shared<PasswordList>();
  list->add("alice", "secret");
  struct BadRow {
    ForwardOptions options;
    std::string wire, status;
    Errc error;
  };
  const BadRow kRows[] = {
      {{}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request", Errc::kBadTarget},
      {{}, "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request", Errc::kBadTarget},
      {{}, "GET https://a/ HTTP/1.1\r\n\r\n", "400 Bad Request", Errc::kBadTarget},
      {{.transparent = true}, "GET / HTTP/1.1\r\n\r\n", "400 Bad Request", Errc::kBadTarget},
      {{.transparent = true}, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 Bad Request", Errc::kBadTarget},
      {{},
       "GET http://a/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       "400 Bad Request",
       Errc::kBadFraming},
      {{}, "GET http://a/ HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "400 Bad Request", Errc::kBadField},
      {{}, std::string(70000, 'x'), "431 Request Header Fields Too Large", Errc::kHeadTooLarge},
      {{},
       "GET http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhellox",
       "400 Bad Request",
       Errc::kBadChunk},
      {{.credentials = list, .realm = "r"},
       "GET http://a/ HTTP/1.1\r\n\r\n",
       "407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"r\"",
       Errc::kBadCredentials},
  };
  for (const BadRow& row : kRows) {
    CAPTURE(row.wire.substr(0, 60));
    for (std::size_t segment : kSegmentSizes) {
      const Outcome outcome = run(row.wire, segment, row.options);
      CHECK(outcome.error == row.error);
      CHECK(outcome.answer ==
            "HTTP/1.1 " + row.status + "\r\nConnection: close\r\nProxy-Connection: close\r\nContent-Length: 0\r\n\r\n");
    }
  }
}

TEST_CASE("http forward: credentials, transparent requests, and a CONNECT among them") {
  auto list = std::make_shared<PasswordList>();
  list->add("alice", "secret");
  const std::string authorized = "Proxy-Authorization: " + basic_credentials("alice", "secret") + "\r\n\r\n";
  for (std::size_t segment : kSegmentSizes) {
    Outcome outcome = run("GET http://a/ HTTP/1.1\r\n" + authorized, segment, {.credentials = list});
    REQUIRE(outcome.exchanges.size() == 1);
    CHECK(outcome.exchanges[0].user == "alice");
    CHECK(outcome.exchanges[0].head.find("Proxy-Authorization") == std::string::npos);

    outcome = run("GET /x HTTP/1.1\r\nHost: a:81\r\n\r\n", segment, {.transparent = true});
    REQUIRE(outcome.exchanges.size() == 1);
    CHECK(outcome.exchanges[0].destination == "a:81");
    CHECK(outcome.exchanges[0].head == "GET /x HTTP/1.1\r\nHost: a:81\r\nConnection: close\r\n\r\n");

    outcome = run("GET http://a/ HTTP/1.1\r\n\r\nCONNECT b:1 HTTP/1.1\r\n\r\nhello", segment);
    CHECK(outcome.exchanges.size() == 1);
    CHECK(outcome.connect == "CONNECT b:1 HTTP/1.1\r\n\r\nhello");
  }
}

// --- responses ---

struct Answer {
  std::string sent;
  bool ended = false;
  bool keeps = false;
  std::error_code error;
};

struct Asked {
  std::string method = "GET";
  Version version = Version::k11;
  bool keep_alive = true;
  bool request_ended = true;
};

Answer respond(const Asked& asked, std::string_view wire, std::size_t segment, bool eof, bool whole = true) {
  ForwardedRequest request;
  request.head.method = asked.method;
  request.client_version = asked.version;
  request.keep_alive = asked.keep_alive;
  ForwardResponse engine(request, 60);
  if (asked.request_ended) engine.request_ended();
  Answer answer;
  const auto settle = [&](ForwardResponse::Event event, Buffer& out) {
    answer.sent += out.text();
    answer.ended = event == ForwardResponse::Event::kEnd;
    answer.error = engine.error();
    answer.keeps = engine.keeps_client();
    return event == ForwardResponse::Event::kBytes;
  };
  test::feed(wire, segment, [&](Buffer in) {
    for (;;) {
      Buffer out;
      const auto event = engine.feed(in, out);
      if (event == ForwardResponse::Event::kMore) {
        CHECK(in.empty());
        CHECK(out.empty());
        return true;
      }
      if (!settle(event, out)) return false;
    }
  });
  if (eof && !answer.ended && !answer.error) {
    Buffer out;
    settle(engine.end(whole, out), out);
  }
  return answer;
}

const std::string kKeep = "Connection: keep-alive\r\nProxy-Connection: keep-alive\r\nKeep-Alive: timeout=60\r\n\r\n";
const std::string kClose = "Connection: close\r\nProxy-Connection: close\r\n\r\n";
const std::string kGatewayAnswer =
    "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nProxy-Connection: close\r\nContent-Length: 0\r\n\r\n";

TEST_CASE("http forward: responses are rewritten") {
  struct ResponseRow {
    Asked asked;
    std::string wire, sent;
    bool keeps;
  };
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const ResponseRow kRows[] = {
      {{}, ok + "Content-Length: 5\r\n\r\nhello", ok + "Content-Length: 5\r\n" + kKeep + "hello", true},
      {{}, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", ok + "Content-Length: 0\r\n" + kKeep, true},
      {{}, ok + "Server: x\r\n\r\nhello", ok + "Server: x\r\n" + kClose + "hello", false},
      {{.keep_alive = false}, ok + "Content-Length: 1\r\n\r\n.", ok + "Content-Length: 1\r\n" + kClose + ".", false},
      {{.request_ended = false}, ok + "Content-Length: 1\r\n\r\n.", ok + "Content-Length: 1\r\n" + kClose + ".", false},
      {{.method = "HEAD"}, ok + "Content-Length: 5\r\n\r\n", ok + "Content-Length: 5\r\n" + kKeep, true},
      {{.method = "HEAD"}, ok + "Transfer-Encoding: chunked\r\n\r\n", ok + kKeep, true},
      {{.method = "HEAD"}, ok + "\r\n", ok + kKeep, true},
      {{}, "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 204 No\r\n" + kKeep, true},
      {{},
       "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nEtag: x\r\n\r\n",
       "HTTP/1.1 304 Not Modified\r\nEtag: x\r\nContent-Length: 5\r\n" + kKeep,
       true},
      {{},
       ok + "Connection: X-Hop, Keep-Alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nContent-Length: "
            "1\r\nVia: z\r\n\r\n.",
       ok + "Via: z\r\nContent-Length: 1\r\n" + kKeep + ".",
       true},
      {{},
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: close\r\n\r\n" + ok +
           "Content-Length: 1\r\n\r\n.",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "Content-Length: 1\r\n" +
           kKeep + ".",
       true},
      {{.version = Version::k10},
       "HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 1\r\n\r\n.",
       ok + "Content-Length: 1\r\n" + kKeep + ".",
       true},
      {{.version = Version::k10},
       ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
       ok + kClose + "hello!",
       false},
  };
  for (const ResponseRow& row : kRows) {
    CAPTURE(row.wire);
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(segment);
      const Answer answer = respond(row.asked, row.wire, segment, true);
      CHECK_FALSE(answer.error);
      CHECK(answer.ended);
      CHECK(answer.sent == row.sent);
      CHECK(answer.keeps == row.keeps);
    }
  }
}

TEST_CASE("http forward: chunks are made anew") {
  const std::string wire =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5;x\r\nhello\r\n1\r\n!\r\n0\r\nT: "
      "x\r\n\r\n";
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + kKeep;
  for (std::size_t segment : kSegmentSizes) {
    const Answer answer = respond({}, wire, segment, false);
    CHECK(answer.ended);
    CHECK(answer.keeps);
    REQUIRE(answer.sent.starts_with(head));
    bool ok = false;
    CHECK(joined(answer.sent.substr(head.size()), &ok) == "hello!");
    CHECK(ok);
  }
}

TEST_CASE("http forward: origins that fail") {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  struct BadRow {
    std::string wire;
    bool whole;
    std::error_code error;
    std::string sent;
  };
  const BadRow kRows[] = {
      {"", true, winze::Errc::kTruncated, kGatewayAnswer},
      {"HTTP/1.1 200", true, winze::Errc::kTruncated, kGatewayAnswer},
      {"SSH-2.0\r\n\r\n", true, Errc::kBadStartLine, kGatewayAnswer},
      {"HTTP/1.1 101 Switching\r\n\r\n", true, Errc::kSwitched, kGatewayAnswer},
      {ok + "A: " + std::string(70000, 'a'), true, Errc::kHeadTooLarge, kGatewayAnswer},
      {ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", true, Errc::kBadFraming, kGatewayAnswer},
      {"HTTP/1.1 100 Continue\r\n\r\n", true, winze::Errc::kTruncated,
       "HTTP/1.1 100 Continue\r\n\r\n" + kGatewayAnswer},
      {ok + "Content-Length: 2\r\n\r\n.", true, winze::Errc::kTruncated, ok + "Content-Length: 2\r\n" + kKeep + "."},
      {ok + "\r\n.", false, winze::Errc::kTruncated, ok + kClose + "."},
      {ok + "Transfer-Encoding: chunked\r\n\r\nx", true, Errc::kBadChunk,
       ok + "Transfer-Encoding: chunked\r\n" + kKeep},
  };
  for (const BadRow& row : kRows) {
    CAPTURE(row.wire.substr(0, 60));
    for (std::size_t segment : kSegmentSizes) {
      const Answer answer = respond({}, row.wire, segment, true, row.whole);
      CHECK(answer.error == row.error);
      CHECK_FALSE(answer.ended);
      CHECK_FALSE(answer.keeps);
      CHECK(answer.sent == row.sent);
    }
  }
}

}  // namespace
}  // namespace winze::http
