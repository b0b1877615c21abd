#include "winze/proto/httpupgrade/codec.h"

#include <doctest/doctest.h>

#include "support/codec_pair.h"
#include "winze/proto/http/error.h"
#include "winze/proto/ws/error.h"

namespace winze::httpupgrade {
namespace {

using test::CodecEnd;
using test::CodecPair;
using test::kSegmentSizes;
using ws::Errc;

std::shared_ptr<const ServerOptions> server_options(ServerOptions options = {}) {
  return std::make_shared<const ServerOptions>(std::move(options));
}

std::shared_ptr<const ClientOptions> client_options(ClientOptions options) {
  return std::make_shared<const ClientOptions>(std::move(options));
}

TEST_CASE("httpupgrade: client and server understand each other, then stay out of the way") {
  for (std::size_t segment : kSegmentSizes) {
    CAPTURE(segment);
    ClientCodec client(client_options({.host = "example.org", .path = "up?x", .fields = {}}));
    ServerCodec server(server_options({.path = "/up", .host = "example.org", .early_data_field = {}}));
    CodecPair pair(client, server, segment);
    REQUIRE(pair.client.opened);
    REQUIRE(pair.server.opened);
    CHECK(client.seals_verbatim());
    CHECK(client.opens_verbatim());
    CHECK(server.seals_verbatim());
    CHECK(server.opens_verbatim());
    CHECK_FALSE(pair.client.write("up"));
    CHECK_FALSE(pair.server.write("down"));
    CHECK(pair.client.wire == "up");
    pair.pump();
    CHECK(pair.server.received == "up");
    CHECK(pair.client.received == "down");
  }
}

TEST_CASE("httpupgrade: the heads") {
  ClientCodec client(client_options({.host = "a:81", .path = "/up", .fields = {{"User-Agent", "winze"}, {"X", "y"}}}));
  CodecEnd asking(client);
  asking.step({});
  CHECK(asking.wire ==
        "GET /up HTTP/1.1\r\nHost: a:81\r\nUser-Agent: winze\r\nX: y\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\n\r\n");
  ServerCodec server(server_options({.path = "/up", .host = {}, .early_data_field = {}}));
  CodecEnd answering(server);
  answering.step(Buffer::copy_of(asking.wire));
  CHECK(answering.wire == "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
}

TEST_CASE("httpupgrade: payload that comes with the heads is kept") {
  for (std::size_t segment : kSegmentSizes) {
    CAPTURE(segment);
    ServerCodec server(server_options({.path = "/", .host = {}, .early_data_field = "X-Early"}));
    CodecEnd end(server);
    test::feed(
        "GET / HTTP/1.1\r\nHost: a\r\nconnection: upgrade\r\nupgrade: WebSocket\r\nX-Early: aGVsbG8=\r\n"
        "\r\n world",
        segment, [&](Buffer in) {
          end.step(std::move(in));
          return true;
        });
    CHECK(end.received == "hello world");
    CHECK(server.opens_verbatim());

    ClientCodec client(client_options({.host = "a", .path = "/", .fields = {}}));
    CodecEnd other(client);
    other.step({});
    test::feed("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\npayload", segment,
               [&](Buffer in) {
                 other.step(std::move(in));
                 return true;
               });
    CHECK(other.received == "payload");
  }
}

TEST_CASE("httpupgrade: what is refused") {
  struct Row {
    std::string_view request;
    std::error_code error;
    std::string_view status;
  };
  for (const Row& row : {
           Row{"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", Errc::kWrongPath,
               "404 "},
           Row{"GET / HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", Errc::kWrongHost,
               "404 "},
           Row{"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
               Errc::kWrongPath, "404 "},
           Row{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Errc::kNotUpgrade, "400 "},
           Row{"nonsense\r\n\r\n", http::Errc::kBadStartLine, "400 "},
       }) {
    CAPTURE(row.request);
    ServerCodec server(server_options({.path = "/", .host = "a", .early_data_field = {}}));
    CodecEnd end(server);
    end.step(Buffer::copy_of(row.request));
    CHECK(end.error == row.error);
    CHECK(end.wire.starts_with("HTTP/1.1 " + std::string(row.status)));
  }
  for (std::string_view response : {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
                                    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n"}) {
    CAPTURE(response);
    ClientCodec client(client_options({.host = "a", .path = "/", .fields = {}}));
    CodecEnd end(client);
    end.step({});
    end.step(Buffer::copy_of(response));
    CHECK(end.error == Errc::kNotUpgrade);
  }
  ClientCodec client(client_options({.host = "a", .path = "/", .fields = {}}));
  CodecEnd end(client);
  end.step({});
  end.step(Buffer::copy_of("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
  CHECK(end.error == http::Errc::kNotFound);
}

}  // namespace
}  // namespace winze::httpupgrade
