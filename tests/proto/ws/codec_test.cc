#include "winze/proto/ws/codec.h"

#include <doctest/doctest.h>

#include "proto/ws/accept.h"
#include "support/codec_pair.h"
#include "winze/base/error.h"
#include "winze/proto/http/error.h"

namespace winze::ws {
namespace {

using test::CodecEnd;
using test::CodecPair;
using test::from_hex;
using test::kSegmentSizes;

std::shared_ptr<const ClientOptions> client_options(ClientOptions options = {}) {
  if (options.host.empty()) options.host = "example.org";
  return std::make_shared<const ClientOptions>(std::move(options));
}

std::shared_ptr<const ServerOptions> server_options(ServerOptions options = {}) {
  return std::make_shared<const ServerOptions>(std::move(options));
}

std::string pattern(std::size_t size) {
  std::string out(size, 0);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 31 + (i >> 8));
  return out;
}

// RFC 6455 §1.3.
TEST_CASE("ws accept: the example of the RFC") {
  CHECK(accept_for("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("ws client: the request") {
  // The key of the RFC's example is "the sample nonce".
  class Nonce final : public Random {
    void fill(std::span<std::uint8_t> out) override {
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>("the sample nonce"[i % 16]);
    }
  } random;
  ClientCodec codec(client_options({.host = "a.example:8080",
                                    .path = "ray it?x=1",
                                    .fields = {{"X-One", "1"}, {"User-Agent", "winze"}},
                                    .early_data = {},
                                    .ending = {}}),
                    random);
  CodecEnd end(codec);
  end.step({});
  CHECK(end.wire ==
        "GET /ray%20it?x=1 HTTP/1.1\r\n"
        "Host: a.example:8080\r\n"
        "X-One: 1\r\n"
        "User-Agent: winze\r\n"
        "Connection: Upgrade\r\n"
        "Upgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  CHECK_FALSE(codec.holds_opening());
}

TEST_CASE("ws server: the response") {
  ServerCodec codec(server_options({.path = "/chat", .host = {}, .early_data_field = {}, .ending = {}}));
  CodecEnd end(codec);
  end.step(
      Buffer::copy_of("GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n"
                      "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                      "Sec-WebSocket-Version: 13\r\n\r\n"));
  CHECK(end.opened);
  CHECK(end.wire ==
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

TEST_CASE("ws: client and server understand each other") {
  const std::string bulk = pattern(200000);
  for (std::size_t segment : kSegmentSizes) {
    CAPTURE(segment);
    SeededRandom random(5);
    ClientCodec client(client_options({.host = "Example.org:8443", .path = "/ray?token=1"}), random);
    ServerCodec server(server_options({.path = "/ray", .host = "example.ORG"}));
    CodecPair pair(client, server, segment);
    REQUIRE(pair.client.opened);
    REQUIRE(pair.server.opened);
    CHECK_FALSE(pair.client.write(bulk));
    CHECK_FALSE(pair.client.write("x"));
    CHECK_FALSE(pair.server.write("y"));
    CHECK_FALSE(pair.server.write(bulk));
    pair.pump();
    CHECK(pair.server.received == bulk + "x");
    CHECK(pair.client.received == "y" + bulk);
    CHECK_FALSE(pair.client.error);
    CHECK_FALSE(pair.server.error);
    CHECK(pair.client.end() == StreamCodec::End::kKeepBelow);
    CHECK_FALSE(pair.server.write("after the client's end"));
    pair.pump();
    CHECK(pair.client.received.ends_with("after the client's end"));
  }
}

TEST_CASE("ws: half-close between peers that know it") {
  for (std::size_t segment : kSegmentSizes) {
    CAPTURE(segment);
    SeededRandom random(5);
    ClientCodec client(client_options({.host = "a", .ending = Ending::kHalf}), random);
    ServerCodec server(server_options({.ending = Ending::kHalf}));
    CodecPair pair(client, server, segment);
    CHECK_FALSE(pair.client.write("request"));
    CHECK(pair.client.end() == StreamCodec::End::kKeepBelow);
    pair.pump();
    CHECK(pair.server.received == "request");
    CHECK(pair.server.error == winze::Errc::kEof);
    CHECK_FALSE(pair.server.write("response"));
    CHECK(pair.server.end() == StreamCodec::End::kShutdownBelow);
    pair.pump();
    CHECK(pair.client.received == "response");
    CHECK(pair.client.error == winze::Errc::kEof);
  }
}

// What came with the first write, and what the server has of it before and after the client saw the response.
TEST_CASE("ws early data: header and path, within and beyond the limit") {
  struct Row {
    std::size_t size;
    EarlyData early;
    std::size_t in_request;
  };
  const std::string field(kProtocolField);
  for (const Row& row : {
           Row{0, {.max = 100, .field = field}, 0},
           Row{1, {.max = 100, .field = field}, 1},
           Row{100, {.max = 100, .field = field}, 100},
           Row{101, {.max = 100, .field = field}, 100},
           Row{101, {.max = 100, .field = field, .all_or_nothing = true}, 0},
           Row{100, {.max = 100, .field = field, .all_or_nothing = true}, 100},
           Row{100000, {.max = 2048, .field = "X-Early"}, 2048},
           Row{99, {.max = 100, .field = ""}, 99},
           Row{5000, {.max = 2048, .field = ""}, 2048},
       }) {
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(row.size);
      CAPTURE(row.early.field);
      CAPTURE(segment);
      SeededRandom random(9);
      ClientCodec client(client_options({.host = "a", .path = "/ray", .early_data = row.early}), random);
      ServerCodec server(server_options({.path = "/ray", .early_data_field = row.early.field}));
      CodecPair pair(client, server, segment);
      CHECK(pair.client.opened);
      CHECK(client.holds_opening());
      CHECK_FALSE(pair.server.opened);
      const std::string payload = pattern(row.size);
      CHECK_FALSE(pair.client.write(payload));
      CHECK(client.seal_waits());
      CHECK_FALSE(client.holds_opening());
      CHECK(pair.client.wire.find("\r\n\r\n") + 4 == pair.client.wire.size());
      CHECK(pair.client.write("too soon") == winze::Errc::kBusy);

      ServerCodec probe(server_options({.path = "/ray", .early_data_field = row.early.field}));
      CodecEnd probed(probe);
      probed.step(Buffer::copy_of(pair.client.wire));
      CHECK(probed.received == payload.substr(0, row.in_request));
      const bool echoed = probed.wire.find("Sec-WebSocket-Protocol: ") != std::string::npos;
      CHECK(echoed == (row.in_request != 0 && row.early.field == kProtocolField));

      pair.pump();
      REQUIRE(pair.server.opened);
      CHECK_FALSE(pair.client.error);
      CHECK_FALSE(client.seal_waits());
      CHECK(pair.server.received == payload);
      CHECK_FALSE(pair.client.write("more"));
      CHECK_FALSE(pair.server.write("answer"));
      pair.pump();
      CHECK(pair.server.received == payload + "more");
      CHECK(pair.client.received == "answer");
    }
  }
}

TEST_CASE("ws early data: an end before the response") {
  SeededRandom random(9);
  ClientCodec client(client_options({.host = "a", .early_data = {.max = 100}, .ending = Ending::kHalf}), random);
  ServerCodec server(server_options({.ending = Ending::kHalf}));
  CodecPair pair(client, server, 7);
  CHECK(pair.client.end() == StreamCodec::End::kKeepBelow);
  pair.pump();
  CHECK(pair.server.opened);
  CHECK(pair.server.error == winze::Errc::kEof);
}

TEST_CASE("ws early data: what the server takes") {
  struct Row {
    std::string_view target, field, early, echo;
    bool by_path = false;
  };
  for (const Row& row : {
           Row{"/ray", "aGVsbG8", "hello", "aGVsbG8"},
           Row{"/ray", "aGVsbG8=", "hello", "aGVsbG8="},
           Row{"/ray", "-_-_", "\xfb\xff\xbf", "-_-_"},
           Row{"/ray", "+/+/", "\xfb\xff\xbf", "+/+/"},
           Row{"/ray", "not base64", "", ""},
           Row{"/ray", "", "", ""},
           Row{"/rayaGVsbG8", "", "hello", "", true},
           Row{"/ray", "", "", "", true},
           Row{"http://a.example/rayaGVsbG8", "", "hello", "", true},
           Row{"/ray?x=1", "", "", "", true},
       }) {
    CAPTURE(row.target);
    CAPTURE(row.field);
    ServerOptions options{.path = "/ray"};
    if (row.by_path) options.early_data_field = "";
    ServerCodec codec(server_options(options));
    CodecEnd end(codec);
    std::string request = "GET " + std::string(row.target) +
                          " HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    if (!row.field.empty()) request += "Sec-WebSocket-Protocol: " + std::string(row.field) + "\r\n";
    end.step(Buffer::copy_of(request + "\r\n" + from_hex("82810000000021")));
    CHECK(end.opened);
    CHECK(end.received == std::string(row.early) + "!");
    const std::string echo = "Sec-WebSocket-Protocol: " + std::string(row.echo) + "\r\n";
    CHECK((end.wire.find("Sec-WebSocket-Protocol") != std::string::npos) == !row.echo.empty());
    if (!row.echo.empty()) CHECK(end.wire.find(echo) != std::string::npos);
  }
}

TEST_CASE("ws server: requests that are refused, and with what") {
  struct Row {
    std::string request;
    std::error_code error;
    std::string_view status;
  };
  const std::string rest =
      "Host: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
  const auto without = [&](std::string_view part, std::string_view replacement = "") {
    std::string text = rest;
    return text.replace(text.find(part), part.size(), replacement);
  };
  const std::string get = "GET /ray HTTP/1.1\r\n";
  for (const Row& row : {
           Row{"GET / HTTP/1.1\r\n" + rest, Errc::kWrongPath, "404 Not Found"},
           Row{"GET /RAY HTTP/1.1\r\n" + rest, Errc::kWrongPath, "404 Not Found"},
           Row{"GET /ray/ HTTP/1.1\r\n" + rest, Errc::kWrongPath, "404 Not Found"},
           Row{"GET /raya HTTP/1.1\r\nHost: a\r\n\r\n", Errc::kWrongPath, "404 Not Found"},
           Row{get + without("a.example", "b.example"), Errc::kWrongHost, "404 Not Found"},
           Row{get + without("Upgrade: websocket\r\n"), Errc::kNotUpgrade, "400 Bad Request"},
           Row{get + without("websocket", "h2c"), Errc::kNotUpgrade, "400 Bad Request"},
           Row{get + without("Connection: Upgrade\r\n"), Errc::kNotUpgrade, "400 Bad Request"},
           Row{get + without("Connection: Upgrade", "Connection: close"), Errc::kNotUpgrade, "400 Bad Request"},
           Row{get + without("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\n"), Errc::kNotUpgrade, "400 Bad Request"},
           Row{"POST /ray HTTP/1.1\r\n" + rest, Errc::kNotUpgrade, "400 Bad Request"},
           Row{"GET /ray HTTP/1.0\r\n" + rest, Errc::kNotUpgrade, "400 Bad Request"},
           Row{get + without("Version: 13", "Version: 8"), Errc::kBadVersion, "426 Upgrade Required"},
           Row{get + without("Sec-WebSocket-Version: 13\r\n"), Errc::kBadVersion, "426 Upgrade Required"},
           Row{get + without("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), Errc::kBadKey, "400 Bad Request"},
           Row{get + without("dGhlIHNhbXBsZSBub25jZQ==", "x"), Errc::kBadKey, "400 Bad Request"},
           Row{"\x16\x03\x01 binary\r\n\r\n", http::Errc::kBadStartLine, "400 Bad Request"},
           Row{get + "Host : a\r\n\r\n", http::Errc::kBadField, "400 Bad Request"},
       }) {
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(row.request);
      CAPTURE(segment);
      ServerCodec codec(server_options({.path = "/ray", .host = "A.example:80"}));
      CodecEnd end(codec);
      test::feed(row.request, segment, [&](Buffer in) {
        end.step(std::move(in));
        return true;
      });
      CHECK(end.error == row.error);
      CHECK_FALSE(end.opened);
      CHECK(end.wire.starts_with("HTTP/1.1 " + std::string(row.status) + "\r\n"));
      CHECK(end.wire.ends_with("Content-Length: 0\r\nConnection: close\r\n\r\n"));
      CHECK((end.wire.find("Sec-WebSocket-Version: 13") != std::string::npos) == (row.error == Errc::kBadVersion));
    }
  }
}

TEST_CASE("ws client: responses that are refused") {
  struct Row {
    std::string_view status;
    std::string_view fields;
    std::error_code error;
  };
  constexpr std::string_view kSwitch = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
  constexpr std::string_view kAccept = "Sec-WebSocket-Accept: @\r\n";  // @: the right one
  const std::string good = std::string(kSwitch) + std::string(kAccept);
  const std::string extended = good + "Sec-WebSocket-Extensions: permessage-deflate\r\n";
  const std::string protocol = good + "Sec-WebSocket-Protocol: chat\r\n";
  const std::string wrong = std::string(kSwitch) + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
  for (const Row& row : {
           Row{"101 OK", good, {}},
           Row{"404 Not Found", "Content-Length: 0\r\n", http::Errc::kNotFound},
           Row{"400 Bad Request", "", http::Errc::kClientError},
           Row{"200 OK", good, http::Errc::kSwitched},
           Row{"101 OK", kAccept, Errc::kNotUpgrade},
           Row{"101 OK", kSwitch, Errc::kBadAccept},
           Row{"101 OK", wrong, Errc::kBadAccept},
           Row{"101 OK", extended, Errc::kNotOffered},
           Row{"101 OK", protocol, Errc::kNotOffered},
           Row{"abc", "", http::Errc::kBadStartLine},
       }) {
    for (bool early : {false, true}) {
      for (std::size_t segment : kSegmentSizes) {
        CAPTURE(row.status);
        CAPTURE(row.fields);
        CAPTURE(early);
        CAPTURE(segment);
        SeededRandom random(2);
        ClientCodec codec(
            client_options({.host = "a", .early_data = {.max = early ? std::size_t{10} : 0, .field = "X-Early"}}),
            random);
        CodecEnd end(codec);
        end.step({});
        if (early) CHECK_FALSE(end.write("early"));
        const std::size_t key = end.wire.find("Sec-WebSocket-Key: ") + 19;
        std::string response = "HTTP/1.1 " + std::string(row.status) + "\r\n" + std::string(row.fields) + "\r\n";
        if (const std::size_t at = response.find('@'); at != std::string::npos) {
          response.replace(at, 1, accept_for(end.wire.substr(key, 24)));
        }
        response += from_hex("820161");
        test::feed(response, segment, [&](Buffer in) {
          end.step(std::move(in));
          return true;
        });
        CHECK(end.error == row.error);
        CHECK(end.received == (row.error ? "" : "a"));
      }
    }
  }
}

TEST_CASE("ws client: options that cannot be sent") {
  struct Row {
    ClientOptions options;
    std::string_view message;
  };
  for (const Row& row : {
           Row{{.host = "a"}, ""},
           Row{{.host = ""}, "host: must be a host name or address"},
           Row{{.host = "a\r\nX: y"}, "host: must be a host name or address"},
           Row{{.host = "a", .path = "/#x"}, "path: must not contain '#'"},
           Row{{.host = "a", .fields = {{"A", "b"}, {"A b", "c"}}}, "fields[1].name: is not a field name"},
           Row{{.host = "a", .fields = {{"A", "b\nc"}}}, "fields[0].value: has control characters"},
           Row{{.host = "a", .fields = {{"upgrade", "x"}}}, "fields[0].name: upgrade is set by the upgrade itself"},
           Row{{.host = "a", .early_data = {.max = 1, .field = "a b"}}, "early_data.field: is not a field name"},
       }) {
    CHECK(std::string_view(validate(row.options).message().data(), validate(row.options).message().size()) ==
          row.message);
  }
}

TEST_CASE("ws early data: the limit in Xray's paths") {
  struct Row {
    std::string_view path, rest;
    std::size_t limit;
  };
  for (const Row& row :
       {Row{"/ray", "/ray", 0}, Row{"/ray?ed=2560", "/ray", 2560}, Row{"/ray?a=1&ed=10&b=2", "/ray?a=1&b=2", 10},
        Row{"/ray?ed=10&b=2", "/ray?b=2", 10}, Row{"/ray?a=1&ed=7", "/ray?a=1", 7}, Row{"/ray?red=7", "/ray?red=7", 0},
        Row{"/ray?ed=x", "/ray", 0}, Row{"/ray?", "/ray?", 0}, Row{"?ed=5", "", 5}}) {
    CAPTURE(row.path);
    std::string path(row.path);
    CHECK(take_early_data_limit(path) == row.limit);
    CHECK(path == row.rest);
  }
}

}  // namespace
}  // namespace winze::ws
