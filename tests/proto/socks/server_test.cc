#include "winze/proto/socks/server.h"

#include <doctest/doctest.h>

#include "support/opening.h"

namespace winze::socks {
namespace {

using test::bytes;
using test::kSegmentSizes;
using test::run_opening;
using test::sealed;

const std::string kName300(300, 'n');

ServerOptions with_password() {
  auto list = std::make_shared<PasswordList>();
  list->add("bob", "other");
  list->add("alice", "secret");
  list->add("", "");
  return {.credentials = list};
}

struct Row {
  std::string wire;
  std::string sent;
  std::string destination;
  std::string user = "";
};

void check_accepted(const ServerOptions& options, const Row& row) {
  CAPTURE(row.destination);
  for (std::size_t segment : kSegmentSizes) {
    CAPTURE(segment);
    ServerCodec codec(options);
    const auto opening = run_opening(codec, row.wire + "payload", segment);
    REQUIRE(opening.done);
    CHECK_FALSE(opening.error);
    CHECK(opening.sent == row.sent);
    CHECK(opening.payload == "payload");
    CHECK(codec.request().destination.to_string() == row.destination);
    CHECK(codec.request().user == row.user);
    CHECK_FALSE(codec.is_associate());
    CHECK(codec.answers_at_once());
    CHECK_FALSE(codec.seals_verbatim());
  }
}

TEST_CASE("socks server: requests of every version and address type") {
  const std::string hello(bytes("\x05\x01\x00"));
  const std::string chosen(bytes("\x05\x00"));
  const Row kRows[] = {
      {hello + std::string(bytes("\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50")), chosen, "192.0.2.1:80"},
      {hello + std::string(bytes("\x05\x01\x00\x03\x0b"
                                 "example.org\x01\xbb")),
       chosen, "example.org:443"},
      {hello + std::string(bytes("\x05\x01\x00\x03\x09"
                                 "192.0.2.1\x01\xbb")),
       chosen, "192.0.2.1:443"},
      {hello + std::string(bytes("\x05\x01\x00\x03\x05[::1]\x01\xbb")), chosen, "[::1]:443"},
      {hello + std::string(bytes("\x05\x01\x00\x03\x03::1\x01\xbb")), chosen, "[::1]:443"},
      {hello + std::string(bytes("\x05\x01\xff\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50")), chosen,
       "[2001:db8::1]:80"},
      {std::string(bytes("\x05\x03\x01\x00\x02")) + std::string(bytes("\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x01")),
       chosen, "127.0.0.1:1"},
      {std::string(bytes("\x04\x01\x00\x50\xc0\x00\x02\x01\x00")), "", "192.0.2.1:80"},
      {std::string(bytes("\x04\x01\x00\x50\xc0\x00\x02\x01"
                         "root\x00")),
       "", "192.0.2.1:80"},
      {std::string(bytes("\x04\x01\x00\x50\x00\x00\x00\x01"
                         "root\x00"
                         "example.org\x00")),
       "", "example.org:80"},
      {std::string(bytes("\x04\x01\x00\x50\x00\x00\x00\x09\x00"
                         "10.0.0.1\x00")),
       "", "10.0.0.1:80"},
      {std::string(bytes("\x04\x01\x00\x50\x00\x00\x00\x00\x00")), "", "0.0.0.0:80"},
  };
  for (const Row& row : kRows) check_accepted({}, row);
}

TEST_CASE("socks server: user name and password") {
  const std::string request(bytes("\x05\x01\x00\x03\x01z\x00\x50"));
  check_accepted(with_password(), {std::string(bytes("\x05\x02\x00\x02\x01\x05"
                                                     "alice\x06secret")) +
                                       request,
                                   std::string(bytes("\x05\x02\x01\x00")), "z:80", "alice"});
  check_accepted(with_password(), {std::string(bytes("\x05\x01\x02\x01\x00\x00")) + request,
                                   std::string(bytes("\x05\x02\x01\x00")), "z:80", ""});
}

struct BadRow {
  ServerOptions options;
  std::string wire;
  std::string sent;
  Errc error;
};

TEST_CASE("socks server: what is refused in the opening, and how") {
  const std::string hello(bytes("\x05\x01\x00"));
  const std::string general(bytes("\x05\x00\x05\x01\x00\x01\0\0\0\0\0\0"));
  const std::string refused4(bytes("\x00\x5b\0\0\0\0\0\0"));
  const BadRow kRows[] = {
      {{}, "GET / HTTP/1.1", "", Errc::kBadVersion},
      {{}, std::string(bytes("\x00")), "", Errc::kBadVersion},
      {{}, std::string(bytes("\x05\x00")), "\x05\xff", Errc::kNoCommonMethod},
      {{}, std::string(bytes("\x05\x02\x01\x02")), "\x05\xff", Errc::kNoCommonMethod},
      {with_password(), hello, "\x05\xff", Errc::kNoCommonMethod},
      {with_password(),
       std::string(bytes("\x05\x01\x02\x01\x05"
                         "alice\x05other")),
       "\x05\x02\x01\xff", Errc::kBadCredentials},
      {with_password(),
       std::string(bytes("\x05\x01\x02\x01\x05"
                         "alice\x00")),
       "\x05\x02\x01\xff", Errc::kBadCredentials},
      {with_password(), std::string(bytes("\x05\x01\x02\x05")), "\x05\x02", Errc::kBadVersion},
      {with_password(),
       std::string(bytes("\x04\x01\x00\x50\xc0\x00\x02\x01"
                         "alice\x00")),
       refused4, Errc::kBadCredentials},
      {{}, hello + std::string(bytes("\x04")), general, Errc::kBadVersion},
      {{},
       hello + std::string(bytes("\x05\x02\x00\x01\0\0\0\0\0\0")),
       std::string(bytes("\x05\x00\x05\x07\x00\x01\0\0\0\0\0\0")),
       Errc::kUnsupportedCommand},
      {{},
       hello + std::string(bytes("\x05\x03\x00\x01\0\0\0\0\0\0")),
       std::string(bytes("\x05\x00\x05\x07\x00\x01\0\0\0\0\0\0")),
       Errc::kUnsupportedCommand},
      {{},
       hello + std::string(bytes("\x05\x01\x00\x02")),
       std::string(bytes("\x05\x00\x05\x08\x00\x01\0\0\0\0\0\0")),
       Errc::kBadAddress},
      {{}, hello + std::string(bytes("\x05\x01\x00\x03\x00\x00\x50")), general, Errc::kBadAddress},
      {{},
       hello + std::string(bytes("\x05\x01\x00\x03\x03"
                                 "a\0b\x00\x50")),
       general,
       Errc::kBadAddress},
      {{},
       hello + std::string(bytes("\x05\x01\x00\x03\x03"
                                 "a\nb\x00\x50")),
       general,
       Errc::kBadAddress},
      {{}, std::string(bytes("\x04\x02\x00\x50\xc0\x00\x02\x01\x00")), refused4, Errc::kUnsupportedCommand},
      {{}, std::string(bytes("\x04\x01\x00\x50\xc0\x00\x02\x01")) + kName300 + kName300, refused4, Errc::kTooLong},
      {{}, std::string(bytes("\x04\x01\x00\x50\0\0\0\x01\x00")) + kName300, refused4, Errc::kTooLong},
      {{}, std::string(bytes("\x04\x01\x00\x50\0\0\0\x01\x00")) + kName300 + '\0', refused4, Errc::kTooLong},
      {{}, std::string(bytes("\x04\x01\x00\x50\0\0\0\x01\x00\x00")), refused4, Errc::kBadAddress},
  };
  for (const BadRow& row : kRows) {
    CAPTURE(row.wire);
    for (std::size_t segment : kSegmentSizes) {
      CAPTURE(segment);
      ServerCodec codec(row.options);
      const auto opening = run_opening(codec, row.wire, segment);
      CHECK_FALSE(opening.done);
      CHECK(opening.error == row.error);
      CHECK(opening.sent == row.sent);
    }
  }
}

TEST_CASE("socks server: any prefix of a request waits for more") {
  const std::string wire(
      bytes("\x05\x01\x02\x01\x05"
            "alice\x06secret\x05\x01\x00\x03\x01z\x00\x50"));
  for (std::size_t size = 0; size < wire.size(); ++size) {
    ServerCodec codec(with_password());
    const auto opening = run_opening(codec, wire.substr(0, size), 3);
    CHECK_FALSE(opening.done);
    CHECK_FALSE(opening.error);
  }
}

TEST_CASE("socks server: the answer goes in front of the first payload") {
  const std::string connect5(bytes("\x05\x01\x00\x05\x01\x00\x03\x01z\x00\x50"));
  const std::string connect4(bytes("\x04\x01\x00\x50\xc0\x00\x02\x01\x00"));
  const Endpoint bound = *Endpoint::parse("[2001:db8::2]:513");
  {
    ServerCodec codec({});
    run_opening(codec, connect5, 100);
    CHECK_FALSE(codec.holds_opening());
    Buffer early = Buffer::copy_of("x");
    CHECK(codec.seal(early) == Errc::kNotAnswered);
  }
  {
    ServerCodec codec({});
    run_opening(codec, connect5, 100);
    codec.grant(bound);
    CHECK(codec.holds_opening());
    CHECK(codec.overhead().front >= 22);
    CHECK(sealed(codec, "") == bytes("\x05\x00\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x02\x01"));
    CHECK(codec.seals_verbatim());
    CHECK(codec.overhead() == Overhead{});
    CHECK(sealed(codec, "hi") == "hi");
  }
  {
    ServerCodec codec({});
    run_opening(codec, connect4, 100);
    codec.grant(bound);
    CHECK(sealed(codec, "hi") == bytes("\x00\x5a\0\0\0\0\0\0hi"));
  }
  for (const auto& [reason, code] :
       {std::pair{Refusal::kGeneral, 1}, std::pair{Refusal::kNotAllowed, 2}, std::pair{Refusal::kNetworkUnreachable, 3},
        std::pair{Refusal::kHostUnreachable, 4}, std::pair{Refusal::kConnectionRefused, 5},
        std::pair{Refusal::kTimedOut, 6}, std::pair{Refusal::kUnsupportedCommand, 7},
        std::pair{Refusal::kUnsupportedAddress, 8}}) {
    ServerCodec five({});
    run_opening(five, connect5, 100);
    five.refuse(reason);
    std::string expected(bytes("\x05?\x00\x01\0\0\0\0\0\0"));
    expected[1] = static_cast<char>(code);
    CHECK(sealed(five, "") == expected);
    ServerCodec four({});
    run_opening(four, connect4, 100);
    four.refuse(reason);
    CHECK(sealed(four, "") == bytes("\x00\x5b\0\0\0\0\0\0"));
    CHECK_FALSE(four.seals_verbatim());
  }
}

TEST_CASE("socks server: UDP ASSOCIATE where it is allowed") {
  for (std::string_view address : {bytes("\x01\0\0\0\0\0\0"), bytes("\x03\x01z\0\0"), bytes("\x03\x00\0\0")}) {
    ServerCodec codec({.udp = true});
    const auto opening = run_opening(codec, std::string(bytes("\x05\x01\x00\x05\x03\x00")) + std::string(address), 2);
    REQUIRE(opening.done);
    CHECK(codec.is_associate());
    CHECK(codec.request().destination == Destination(IpAddress(), 0, Network::kUdp));
    codec.grant(*Endpoint::parse("127.0.0.1:53"));
    CHECK(sealed(codec, "") == bytes("\x05\x00\x00\x01\x7f\0\0\x01\0\x35"));
  }
}

}  // namespace
}  // namespace winze::socks
