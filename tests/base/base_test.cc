#include <doctest/doctest.h>

#include <set>

#include "winze/base/address.h"
#include "winze/base/ascii.h"
#include "winze/base/bytes.h"
#include "winze/base/error.h"
#include "winze/base/random.h"
#include "winze/base/secret.h"

namespace winze {
namespace {

TEST_CASE("Reader: fields, and a failure that stays") {
  const std::uint8_t bytes[] = {1, 0x12, 0x34, 0xde, 0xad, 0xbe, 0xef, 'h', 'i'};
  Reader r(bytes);
  CHECK(r.u8() == 1);
  CHECK(r.u16() == 0x1234);
  CHECK(r.u32() == 0xdeadbeef);
  CHECK(r.text(2) == "hi");
  CHECK(r.ok());
  CHECK(r.consumed() == 9);
  CHECK(r.u8() == 0);
  CHECK_FALSE(r.ok());
  CHECK(r.bytes(0).empty());
}

TEST_CASE("ASCII: small letters and hexadecimal digits") {
  CHECK(lower("AZ[az\xc4 09") == "az[az\xc4 09");
  int digits = 0;
  for (int c = 0; c < 256; ++c) digits += hex_digit(static_cast<char>(c)) >= 0 ? 1 : 0;
  CHECK(digits == 22);
  CHECK(hex_digit('0') == 0);
  CHECK(hex_digit('9') == 9);
  CHECK(hex_digit('a') == 10);
  CHECK(hex_digit('F') == 15);
}

TEST_CASE("Writer: network order") {
  Buffer b;
  Writer w(b);
  w.u8(7);
  w.u16(0x0102);
  w.u32(0x03040506);
  w.u64(0x0708090a0b0c0d0e);
  w.text("z");
  w.zeros(2);
  CHECK(b.size() == 18);
  CHECK(b.data()[2] == 2);
  CHECK(b.data()[14] == 0x0e);
  CHECK(b.data()[17] == 0);
}

TEST_CASE("Prefix: text forms") {
  for (std::string_view text : {"192.0.2.1/24", "0.0.0.0/0", "2001:db8::/32", "::1/128"}) {
    REQUIRE(Prefix::parse(text));
    CHECK(Prefix::parse(text)->to_string() == text);
  }
  CHECK(Prefix::parse("192.0.2.1")->bits == 32);
  CHECK(Prefix::parse("2001:db8::1")->bits == 128);
  for (std::string_view bad :
       {"", "/24", "192.0.2.1/", "192.0.2.1/33", "::/129", "192.0.2.1/-1", "192.0.2.1/2x", "a/1"}) {
    CAPTURE(bad);
    CHECK_FALSE(Prefix::parse(bad));
  }
}

TEST_CASE("IpAddress and Destination: text forms") {
  CHECK(IpAddress::parse("192.0.2.1")->to_string() == "192.0.2.1");
  CHECK(IpAddress::parse("[2001:db8::1]")->to_string() == "2001:db8::1");
  for (std::string_view bad : {"", "1.2.3", "1.2.3.4.5", "[1.2.3.4]", "example.org", ":::", "1.2.3.4 "}) {
    CAPTURE(bad);
    CHECK_FALSE(IpAddress::parse(bad));
  }
  CHECK(IpAddress::parse("::ffff:10.0.0.1")->unmapped().to_string() == "10.0.0.1");
  CHECK(IpAddress::parse("127.9.9.9")->is_loopback());
  CHECK(IpAddress::parse("::1")->is_loopback());

  CHECK(Destination("example.org", 80).to_string() == "example.org:80");
  CHECK(Destination("[::1]", 80).to_string() == "[::1]:80");
  CHECK_FALSE(Destination("10.0.0.1", 80).is_name());
  CHECK(parse_host_port("example.org:443")->port == 443);
  CHECK(parse_host_port("[::1]:443")->host_text() == "::1");
  for (std::string_view bad : {"example.org", "a:65536", "a:", ":80", "::1:80", "[a]:1", "a:1x"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_host_port(bad));
  }
}

TEST_CASE("Secret: equality and moving") {
  Secret a(std::string_view("key"));
  Secret b = a;
  CHECK(a == b);
  b.span()[0] ^= 1;
  CHECK_FALSE(a == b);
  Secret c = std::move(a);
  CHECK(c.size() == 3);
  CHECK_FALSE(constant_time_equal(c.span(), {}));
}

TEST_CASE("Errc: messages and blame") {
  CHECK(std::error_code(Errc::kEof).message() == "end of stream");
  CHECK(blame_of(Errc::kTruncated) == Blame::kPeerMisbehaved);
  CHECK(blame_of(Errc::kBusy) == Blame::kLocalMisuse);
  CHECK(blame_of(std::make_error_code(std::errc::connection_refused)) == Blame::kNone);
}

TEST_CASE("SeededRandom: the same seed gives the same values, below() stays below") {
  SeededRandom a(1), b(1);
  CHECK(a.u64() == b.u64());
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(a.below(10));
  CHECK(seen.size() == 10);
  CHECK(*seen.rbegin() == 9);
}

}  // namespace
}  // namespace winze
