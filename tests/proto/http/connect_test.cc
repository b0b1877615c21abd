#include <doctest/doctest.h>

#include "support/opening.h"
#include "winze/proto/http/basic.h"
#include "winze/proto/http/client.h"
#include "winze/proto/http/server.h"

namespace winze::http {
namespace {

using test::kSegmentSizes;
using test::run_opening;
using test::sealed;

constexpr std::string_view kNoBody = "Connection: close\r\nProxy-Connection: close\r\nContent-Length: 0\r\n\r\n";

ServerOptions with_password() {
  auto list = std::make_shared<PasswordList>();
  list->add("alice", "secret");
  return {.credentials = list, .realm = "a \"mine\""};
}

TEST_CASE("http server: CONNECT") {
  struct Row {
    ServerOptions options;
    std::string wire, destination, user;
  };
  const Row kRows[] = {
      {{}, "CONNECT example.org:443 HTTP/1.1\r\nHost: other\r\n\r\n", "example.org:443", ""},
      {{}, "CONNECT example.org HTTP/1.0\r\n\r\n", "example.org:80", ""},
      {{}, "\r\nCONNECT [::1]:22 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "[::1]:22", ""},
      {with_password(),
       "CONNECT 192.0.2.1:22 HTTP/1.1\r\nProxy-Authorization: " + basic_credentials("alice", "secret") + "\r\n\r\n",
       "192.0.2.1:22", "alice"},
  };
  for (const Row& row : kRows) {
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(segment);
      ServerCodec codec(row.options);
      const auto opening = run_opening(codec, row.wire + "\r\npayload", segment);
      REQUIRE(opening.done);
      CHECK(opening.sent.empty());
      CHECK(opening.payload == "\r\npayload");
      CHECK_FALSE(codec.is_forward());
      CHECK(codec.request().destination.to_string() == row.destination);
      CHECK(codec.request().user == row.user);
      Buffer early = Buffer::copy_of("x");
      CHECK(codec.seal(early) == Errc::kNotAnswered);
      codec.grant({});
      CHECK(codec.holds_opening());
      CHECK(sealed(codec, "hi") == "HTTP/1.1 200 Connection established\r\n\r\nhi");
      CHECK(codec.seals_verbatim());
      CHECK(sealed(codec, "hi") == "hi");
    }
  }
}

TEST_CASE("http server: refusals of the host") {
  const std::pair<Refusal, std::string_view> kRows[] = {
      {Refusal::kGeneral, "503 Service Unavailable"},           {Refusal::kNotAllowed, "403 Forbidden"},
      {Refusal::kConnectionRefused, "503 Service Unavailable"}, {Refusal::kTimedOut, "504 Gateway Timeout"},
      {Refusal::kUnsupportedCommand, "501 Not Implemented"},
  };
  for (const auto& [reason, status] : kRows) {
    ServerCodec codec({});
    REQUIRE(run_opening(codec, "CONNECT a:1 HTTP/1.1\r\n\r\n", 5).done);
    codec.refuse(reason);
    CHECK(sealed(codec, "") == "HTTP/1.1 " + std::string(status) + "\r\n" + std::string(kNoBody));
    CHECK_FALSE(codec.seals_verbatim());
  }
}

TEST_CASE("http server: what is refused in the opening, and how") {
  struct Row {
    ServerOptions options;
    std::string wire, status;
    Errc error;
  };
  const std::string challenge =
      "407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"a \\\"mine\\\"\"";
  const Row kRows[] = {
      {{}, "\x16\x03\x01 hello\n\n", "400 Bad Request", Errc::kBadLineEnd},
      {{}, "CONNECT a:b HTTP/1.1\r\n\r\n", "400 Bad Request", Errc::kBadTarget},
      {{}, "CONNECT http://a/ HTTP/1.1\r\n\r\n", "400 Bad Request", Errc::kBadTarget},
      {{}, "CONNECT a:1 HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "400 Bad Request", Errc::kBadFraming},
      {{}, "CONNECT a:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Bad Request", Errc::kBadFraming},
      {{}, "CONNECT a:1 HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "501 Not Implemented", Errc::kUnsupportedCoding},
      {{}, "GET http://a/ HTTP/2.0\r\n\r\n", "505 HTTP Version Not Supported", Errc::kBadVersion},
      {{},
       "GET http://a/ HTTP/1.1\r\nA: " + std::string(70000, 'a'),
       "431 Request Header Fields Too Large",
       Errc::kHeadTooLarge},
      {with_password(), "CONNECT a:1 HTTP/1.1\r\n\r\n", challenge, Errc::kBadCredentials},
      {with_password(),
       "CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: " + basic_credentials("alice", "wrong") + "\r\n\r\n", challenge,
       Errc::kBadCredentials},
  };
  for (const Row& row : kRows) {
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(row.wire.substr(0, 100));
      ServerCodec codec(row.options);
      const auto opening = run_opening(codec, row.wire, segment);
      CHECK_FALSE(opening.done);
      CHECK(opening.error == row.error);
      CHECK(opening.sent == "HTTP/1.1 " + row.status + "\r\n" + std::string(kNoBody));
    }
  }
}

TEST_CASE("http server: a plain request is left whole") {
  const std::string request = "GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n";
  for (std::size_t segment : kSegmentSizes) {
    // Its credentials are the forward engine's business.
    ServerCodec codec(with_password());
    const auto opening = run_opening(codec, "\r\n" + request + "body", segment);
    REQUIRE(opening.done);
    CHECK(codec.is_forward());
    CHECK(codec.head().method == "GET");
    CHECK(opening.payload == request + "body");
    CHECK(codec.seals_verbatim());
    CHECK(sealed(codec, "anything") == "anything");
  }
}

std::shared_ptr<ClientOptions> options(std::string user = "", std::string_view password = "") {
  auto out = std::make_shared<ClientOptions>();
  out->user = std::move(user);
  out->password = Secret(password);
  return out;
}

TEST_CASE("http client: what is asked") {
  const auto asked = [](std::shared_ptr<const ClientOptions> how, const Destination& destination) {
    ClientCodec codec(std::move(how), destination);
    return run_opening(codec, "", 1).sent;
  };
  CHECK(asked(options(), Destination("example.org", 443)) ==
        "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nProxy-Connection: Keep-Alive\r\n\r\n");
  CHECK(asked(options("alice", "secret"), Destination("::1", 443)) ==
        "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nProxy-Connection: Keep-Alive\r\nProxy-Authorization: Basic "
        "YWxpY2U6c2VjcmV0\r\n\r\n");
  auto more = options();
  more->fields.add("host", "front.example");
  more->fields.add("X-Two", "2");
  CHECK(asked(more, Destination("example.org", 443)) ==
        "CONNECT example.org:443 HTTP/1.1\r\nProxy-Connection: Keep-Alive\r\nhost: front.example\r\nX-Two: 2\r\n\r\n");
}

TEST_CASE("http client: what cannot be said is not sent") {
  auto bad_name = options();
  bad_name->fields.add("a b", "c");
  auto bad_value = options();
  bad_value->fields.add("a", "b\r\nc: d");
  struct Row {
    std::shared_ptr<const ClientOptions> options;
    Destination destination;
    std::error_code error;
  };
  for (const Row& row :
       {Row{options(), Destination("a\r\nb", 1), Errc::kBadHead}, Row{options(), Destination("", 1), Errc::kBadHead},
        Row{options("a:b", "c"), Destination("a", 1), Errc::kBadHead},
        Row{bad_name, Destination("a", 1), Errc::kBadHead}, Row{bad_value, Destination("a", 1), Errc::kBadHead},
        Row{options(), Destination("a", 1, Network::kUdp), winze::Errc::kUnsupported}}) {
    ClientCodec codec(row.options, row.destination);
    const auto opening = run_opening(codec, "", 1);
    CHECK(opening.error == row.error);
    CHECK(opening.sent.empty());
  }
}

TEST_CASE("http client: answers that grant") {
  for (std::string_view wire :
       {"HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.0 200\r\n\r\n", "HTTP/1.1 299 ok\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\nA: b\r\n\r\nHTTP/1.1 204 No\r\n\r\n"}) {
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(wire);
      ClientCodec codec(options(), Destination("a", 1));
      const auto opening = run_opening(codec, std::string(wire) + "\r\nfirst bytes", segment);
      REQUIRE(opening.done);
      CHECK_FALSE(opening.error);
      CHECK(opening.payload == "\r\nfirst bytes");
      CHECK(codec.response().status / 100 == 2);
      CHECK(sealed(codec, "x") == "x");
    }
  }
}

TEST_CASE("http client: answers that refuse") {
  struct Row {
    std::string wire, status_line;
    Errc error;
  };
  std::string interim;
  for (int i = 0; i < 17; ++i) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  const Row kRows[] = {
      {"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\n\r\n", "HTTP/1.1 407 Who are you",
       Errc::kProxyAuthenticationRequired},
      {"HTTP/1.0 403\r\n\r\n", "HTTP/1.0 403", Errc::kForbidden},
      {"HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 503 Service Unavailable", Errc::kUnavailable},
      {"HTTP/1.1 302 Found\r\n\r\n", "HTTP/1.1 302 Found", Errc::kRedirected},
      {"HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 101 Switching", Errc::kSwitched},
      {"SSH-2.0-OpenSSH_9\r\n\r\n", "", Errc::kBadStartLine},
      {interim, "", Errc::kUnexpectedData},
      {"HTTP/1.1 200 OK\r\nA: " + std::string(70000, 'a'), "", Errc::kHeadTooLarge},
  };
  for (const Row& row : kRows) {
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(row.wire.substr(0, 100));
      ClientCodec codec(options(), Destination("a", 1));
      const auto opening = run_opening(codec, row.wire, segment);
      CHECK_FALSE(opening.done);
      CHECK(opening.error == row.error);
      CHECK(codec.status_line() == row.status_line);
    }
  }
}

}  // namespace
}  // namespace winze::http
