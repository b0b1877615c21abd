#include "winze/proto/proxy_protocol/header.h"

#include <doctest/doctest.h>

#include "support/codec_pair.h"
#include "winze/base/bytes.h"

namespace winze::proxy_protocol {
namespace {

using test::from_hex;
using test::to_hex;

const Addresses kV4{*Endpoint::parse("192.0.2.1:56324"), *Endpoint::parse("198.51.100.7:443")};
const Addresses kV6{*Endpoint::parse("[2001:db8::1]:1"), *Endpoint::parse("[2001:db8::2]:65535")};
constexpr std::string_view kSignature = "0d0a0d0a000d0a515549540a";

std::string encoded(int version, const std::optional<Addresses>& addresses) {
  Buffer out;
  encode(version, addresses, out);
  return std::string(out.text());
}

// The examples of the specification, section 2.1, and its layout of section 2.2.
TEST_CASE("proxy protocol: headers as the specification has them") {
  CHECK(encoded(1, kV4) == "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n");
  CHECK(encoded(1, kV6) == "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n");
  CHECK(encoded(1, std::nullopt) == "PROXY UNKNOWN\r\n");
  CHECK(encoded(1, Addresses{kV4.source, kV6.source}) == "PROXY UNKNOWN\r\n");
  CHECK(to_hex(encoded(2, kV4)) == std::string(kSignature) + "2111000cc0000201c6336407dc0401bb");
  CHECK(to_hex(encoded(2, kV6)) == std::string(kSignature) +
                                       "21210024"
                                       "20010db8000000000000000000000001"
                                       "20010db8000000000000000000000002"
                                       "0001ffff");
  CHECK(to_hex(encoded(2, std::nullopt)) == std::string(kSignature) + "20000000");
}

TEST_CASE("proxy protocol: whatever is encoded is decoded, and the payload behind it kept") {
  for (int version : {1, 2}) {
    for (const std::optional<Addresses>& addresses :
         {std::optional(kV4), std::optional(kV6), std::optional<Addresses>()}) {
      for (std::size_t segment : test::kSegmentSizes) {
        CAPTURE(version);
        CAPTURE(segment);
        ServerCodec codec;
        test::CodecEnd end(codec);
        end.step({});
        const std::string bytes = encoded(version, addresses) + "payload";
        for (std::size_t at = 0; at < bytes.size(); at += segment) end.step(Buffer::copy_of(bytes.substr(at, segment)));
        REQUIRE(end.opened);
        CHECK(codec.addresses() == addresses);
        CHECK(end.received == "payload");
      }
    }
  }
}

TEST_CASE("proxy protocol: other headers that are accepted") {
  struct Row {
    std::string bytes;
    std::optional<Addresses> addresses;
  };
  for (const Row& row : {
           Row{"PROXY UNKNOWN ffff:f:f ::1 what ever\r\n", std::nullopt},
           Row{from_hex(std::string(kSignature) + "2100 0000"), std::nullopt},         // unspecified family
           Row{from_hex(std::string(kSignature) + "2131 0003 616263"), std::nullopt},  // a Unix socket's
           Row{from_hex(std::string(kSignature) + "2011 0001 ff"), std::nullopt},      // local: the rest is passed over
           Row{from_hex(std::string(kSignature) + "2112 000c c0000201c6336407dc0401bb"), kV4},
           Row{from_hex(std::string(kSignature) + "2111 000f c0000201c6336407dc0401bb 040000"), kV4},  // with a TLV
       }) {
    CAPTURE(to_hex(row.bytes));
    Decoded decoded;
    CHECK_FALSE(decode(as_bytes(row.bytes + "x"), decoded));
    CHECK(decoded.size == row.bytes.size());
    CHECK(decoded.addresses == row.addresses);
    for (std::size_t cut = 0; cut < row.bytes.size(); ++cut) {
      CHECK_FALSE(decode(as_bytes(std::string_view(row.bytes).substr(0, cut)), decoded));
      CHECK(decoded.size == 0);
    }
  }
}

TEST_CASE("proxy protocol: headers that are refused, and their bytes left") {
  struct Row {
    std::string bytes;
    Errc error;
  };
  const std::string signature(kSignature);
  for (const Row& row : {
           Row{"G", Errc::kNoHeader},
           Row{"PROXX", Errc::kNoHeader},
           Row{from_hex("0d0a0d0a010d"), Errc::kNoHeader},
           Row{"PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n", Errc::kMalformed},
           Row{"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 \r\n", Errc::kMalformed},
           Row{"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 x\r\n", Errc::kMalformed},
           Row{"PROXY TCP4  192.0.2.1 198.51.100.7 56324 443\r\n", Errc::kMalformed},
           Row{"PROXY TCP4 192.0.2.1 198.51.100.7 56324 65536\r\n", Errc::kMalformed},
           Row{"PROXY TCP4 192.0.2.1 198.51.100.7 -1 443\r\n", Errc::kMalformed},
           Row{"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\n\r\n", Errc::kMalformed},
           Row{"PROXY TCP4 ::1 ::1 1 2\r\n", Errc::kMalformed},
           Row{"PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n", Errc::kMalformed},
           Row{"PROXY TCP6 [::1] ::1 1 2\r\n", Errc::kMalformed},
           Row{"PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n", Errc::kMalformed},
           Row{"PROXY \r\n", Errc::kMalformed},
           Row{"PROXY UNKNOWN " + std::string(100, 'x'), Errc::kTooLong},
           Row{from_hex(signature + "11"), Errc::kMalformed},
           Row{from_hex(signature + "22"), Errc::kMalformed},
           Row{from_hex(signature + "2111 000b 0000000000000000000000"), Errc::kMalformed},
           Row{from_hex(signature + "2121 000c 000000000000000000000000"), Errc::kMalformed},
           Row{from_hex(signature + "2111 0ff1"), Errc::kTooLong},
       }) {
    for (std::size_t segment : test::kSegmentSizes) {
      CAPTURE(row.bytes);
      CAPTURE(segment);
      ServerCodec codec;
      test::CodecEnd end(codec);
      std::size_t at = 0;
      for (; at < row.bytes.size() && !end.error; at += segment) {
        end.step(Buffer::copy_of(row.bytes.substr(at, segment)));
      }
      CHECK(end.error == row.error);
      CHECK(end.unread == row.bytes.substr(0, at));
    }
  }
}

}  // namespace
}  // namespace winze::proxy_protocol
