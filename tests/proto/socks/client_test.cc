#include "winze/proto/socks/client.h"

#include <doctest/doctest.h>

#include "support/opening.h"
#include "winze/proto/socks/server.h"

namespace winze::socks {
namespace {

using test::bytes;
using test::kSegmentSizes;
using test::run_opening;

using Version = ClientOptions::Version;

std::shared_ptr<const ClientOptions> options(Version version = Version::k5, std::string user = "",
                                             std::string_view password = "") {
  return std::make_shared<ClientOptions>(ClientOptions{version, std::move(user), Secret(password)});
}

struct Row {
  std::shared_ptr<const ClientOptions> options;
  Destination destination;
  std::string wire;
  std::string sent;
  std::string bound;
};

TEST_CASE("socks client: openings that are granted") {
  const Row kRows[] = {
      {options(), Destination("example.org", 443),
       std::string(bytes("\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x01")),
       std::string(bytes("\x05\x01\x00\x05\x01\x00\x03\x0b"
                         "example.org\x01\xbb")),
       "127.0.0.1:1025"},
      {options(Version::k5, "me", "pw"), Destination("192.0.2.1", 80),
       std::string(bytes("\x05\x02\x01\x00\x05\x00\x00\x03\x04host\x00\x01")),
       std::string(bytes("\x05\x01\x02\x01\x02me\x02pw\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50")), "host:1"},
      {options(), Destination("::1", 80),
       std::string(bytes("\x05\x00\x05\x00\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")),
       std::string(bytes("\x05\x01\x00\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50")), "[::]:0"},
      {options(), Destination("example.org", 53, Network::kUdp),
       std::string(bytes("\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x01")),
       std::string(bytes("\x05\x01\x00\x05\x03\x00\x01\0\0\0\0\0\0")), "127.0.0.1:1025"},
      {options(Version::k4a, "me"), Destination("example.org", 443),
       std::string(bytes("\x00\x5a\0\x07\x01\x02\x03\x04")),
       std::string(bytes("\x04\x01\x01\xbb\0\0\0\x01me\0example.org\0")), "1.2.3.4:7"},
      {options(Version::k4a), Destination("192.0.2.1", 443), std::string(bytes("\x00\x5a\0\0\0\0\0\0")),
       std::string(bytes("\x04\x01\x01\xbb\xc0\x00\x02\x01\0")), "0.0.0.0:0"},
      {options(Version::k4a), Destination("::1", 443), std::string(bytes("\x00\x5a\0\0\0\0\0\0")),
       std::string(bytes("\x04\x01\x01\xbb\0\0\0\x01\0::1\0")), "0.0.0.0:0"},
  };
  for (const Row& row : kRows) {
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(segment);
      CAPTURE(row.destination.to_string());
      ClientCodec codec(row.options, row.destination);
      const auto opening = run_opening(codec, row.wire + "first bytes", segment);
      REQUIRE(opening.done);
      CHECK(opening.sent == row.sent);
      CHECK(opening.payload == "first bytes");
      CHECK(codec.bound().to_string() == row.bound);
      CHECK(codec.bound().network == row.destination.network);
      CHECK(test::sealed(codec, "x") == "x");
    }
    for (std::size_t size = 0; size < row.wire.size(); ++size) {
      ClientCodec codec(row.options, row.destination);
      const auto opening = run_opening(codec, row.wire.substr(0, size), 1400);
      CHECK_FALSE(opening.done);
      CHECK_FALSE(opening.error);
    }
  }
}

TEST_CASE("socks client: refusals and nonsense") {
  struct BadRow {
    std::shared_ptr<const ClientOptions> options;
    std::string_view wire;
    Errc error;
  };
  const BadRow kRows[] = {
      {options(), bytes("\x05\x00\x05\x01"), Errc::kGeneralFailure},
      {options(), bytes("\x05\x00\x05\x02\x00\x01"), Errc::kNotAllowed},
      {options(), bytes("\x05\x00\x05\x03"), Errc::kNetworkUnreachable},
      {options(), bytes("\x05\x00\x05\x04"), Errc::kHostUnreachable},
      {options(), bytes("\x05\x00\x05\x05"), Errc::kConnectionRefused},
      {options(), bytes("\x05\x00\x05\x06"), Errc::kTtlExpired},
      {options(), bytes("\x05\x00\x05\x07"), Errc::kCommandNotSupported},
      {options(), bytes("\x05\x00\x05\x08"), Errc::kAddressNotSupported},
      {options(), bytes("\x05\x00\x05\x09"), Errc::kOtherFailure},
      {options(), bytes("\x05\xff"), Errc::kMethodsRefused},
      {options(), bytes("\x05\x02"), Errc::kBadMethod},
      {options(Version::k5, "u"), bytes("\x05\x00"), Errc::kBadMethod},
      {options(), bytes("HTTP/1.1 400 Bad Request"), Errc::kBadVersion},
      {options(), bytes("\x05\x00\x04\x00"), Errc::kBadVersion},
      {options(), bytes("\x05\x00\x05\x00\x00\x02"), Errc::kBadReply},
      {options(Version::k5, "u", "p"), bytes("\x05\x02\x01\x01"), Errc::kAuthenticationFailed},
      {options(Version::k5, "u", "p"), bytes("\x05\x02\x01\xff"), Errc::kAuthenticationFailed},
      {options(Version::k4a), bytes("\x00\x5b\0\0\0\0\0\0"), Errc::kRejected},
      {options(Version::k4a), bytes("\x00\x5c\0\0\0\0\0\0"), Errc::kIdentRequired},
      {options(Version::k4a), bytes("\x00\x5d\0\0\0\0\0\0"), Errc::kIdentRequired},
      {options(Version::k4a), bytes("\x00\x00\0\0\0\0\0\0"), Errc::kBadReply},
      {options(Version::k4a), bytes("\x05\x5a\0\0\0\0\0\0"), Errc::kBadVersion},
  };
  for (const BadRow& row : kRows) {
    CAPTURE(row.wire);
    for (std::size_t segment : kSegmentSizes) {
      ClientCodec codec(row.options, Destination("example.org", 80));
      const auto opening = run_opening(codec, row.wire, segment);
      CHECK_FALSE(opening.done);
      CHECK(opening.error == row.error);
    }
  }
  CHECK(blame_of(Errc::kConnectionRefused) == Blame::kPeerRefused);
  CHECK(std::error_code(Errc::kNotAllowed).message() == "SOCKS server's rules forbid the destination (02)");
}

TEST_CASE("socks client: what cannot be said is not sent") {
  const std::string long_text(256, 'x');
  const std::string with_zero(bytes("a\0b"));
  const std::pair<std::shared_ptr<const ClientOptions>, Destination> kRows[] = {
      {options(), Destination(long_text, 80)},
      {options(), Destination("", 80)},
      {options(Version::k5, long_text), Destination("z", 80)},
      {options(Version::k5, "u", long_text), Destination("z", 80)},
      {options(Version::k4a, with_zero), Destination("z", 80)},
      {options(Version::k4a), Destination(with_zero, 80)},
      {options(Version::k4a), Destination("z", 80, Network::kUdp)},
  };
  for (const auto& [how, destination] : kRows) {
    ClientCodec codec(how, destination);
    const auto opening = run_opening(codec, "", 1);
    CHECK(opening.error == Errc::kNotEncodable);
    CHECK(opening.sent.empty());
  }
}

// Runs the two codecs against each other until nothing moves.
void converse(ClientCodec& client, ServerCodec& server, std::error_code& client_error) {
  Buffer to_client;
  bool client_done = false;
  bool server_done = false;
  for (int turn = 0; turn < 6 && !client_done && !client_error; ++turn) {
    Buffer to_server;
    client_done = client.handshake(to_client, to_server, client_error) == StreamCodec::Handshake::kDone;
    if (server_done) continue;
    std::error_code error;
    to_client.release();
    server_done = server.handshake(to_server, to_client, error) == StreamCodec::Handshake::kDone;
    REQUIRE_FALSE(error);
    if (!server_done) continue;
    server.refuse(Refusal::kConnectionRefused);
    Buffer answer;
    REQUIRE_FALSE(server.seal(answer));
    to_client.append(answer.span());
  }
}

TEST_CASE("socks: client and server understand each other") {
  auto list = std::make_shared<PasswordList>();
  list->add("me", "pw");
  for (bool password : {false, true}) {
    ClientCodec client(password ? options(Version::k5, "me", "pw") : options(), Destination("example.org", 80));
    ServerCodec server({.credentials = password ? list : nullptr});
    std::error_code error;
    converse(client, server, error);
    CHECK(error == Errc::kConnectionRefused);
    CHECK(server.request().destination == Destination("example.org", 80));
    CHECK(server.request().user == (password ? "me" : ""));
  }
  ClientCodec client(options(Version::k4a, "me"), Destination("example.org", 80));
  ServerCodec server({});
  std::error_code error;
  converse(client, server, error);
  CHECK(error == Errc::kRejected);
  CHECK(server.request().destination == Destination("example.org", 80));
}

}  // namespace
}  // namespace winze::socks
