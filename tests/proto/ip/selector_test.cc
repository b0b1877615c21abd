#include "winze/proto/ip/selector.h"

#include <doctest/doctest.h>

#include "support/vectors.h"

namespace winze::ip {
namespace {

Selector of(std::string_view text) {
  const auto selector = Selector::parse(text);
  REQUIRE_MESSAGE(selector, std::string(text));
  return *selector;
}

TEST_CASE("selectors: text and back") {
  for (const char* text : {"10.0.0.0/8", "192.0.2.1", "192.0.2.1-192.0.2.9", "0.0.0.0/0", "::/0", "2001:db8::/32",
                           "10.0.0.0/8[tcp]", "10.0.0.0/8[tcp/80]", "2001:db8::1[udp/1000-2000]", "::/0[icmp6/32768]",
                           "10.1.0.0/16[89]", "10.1.0.0/16[0/53]"}) {
    CHECK(of(text).to_string() == text);
  }
  CHECK(of("10.1.2.3/8").to_string() == "10.0.0.0/8");
  CHECK(of("10.0.0.0-10.255.255.255").to_string() == "10.0.0.0/8");
  CHECK(of("10.0.0.1[6]").to_string() == "10.0.0.1[tcp]");
  for (const char* text : {"", "10.0.0.0/33", "::/129", "10.0.0.2-10.0.0.1", "10.0.0.1-::1", "10.0.0.1[", "10.0.0.1[]",
                           "10.0.0.1[tcp/]", "10.0.0.1[tcp/9-8]", "10.0.0.1[tcp/65536]", "10.0.0.1[256]", "name",
                           "10.0.0.1[tcp]x", "10.0.0.0/", "10.0.0.0/8-9"}) {
    CHECK_MESSAGE(!Selector::parse(text), text);
  }
}

TEST_CASE("selectors: what they cover") {
  const SelectorPair pair{.local = {of("10.0.0.0/24[tcp/80]"), of("2001:db8::/64")},
                          .remote = {of("10.1.0.0/16"), of("2001:db8:1::/64")}};
  Flow flow{.source = *IpAddress::parse("10.0.0.7"),
            .destination = *IpAddress::parse("10.1.2.3"),
            .protocol = kTcp,
            .ports_known = true,
            .source_port = 80,
            .destination_port = 4000};
  CHECK(pair.covers_outbound(flow));
  CHECK_FALSE(pair.covers_inbound(flow));
  std::swap(flow.source, flow.destination);
  std::swap(flow.source_port, flow.destination_port);
  CHECK(pair.covers_inbound(flow));
  CHECK_FALSE(pair.covers_outbound(flow));
  flow.destination_port = 81;
  CHECK_FALSE(pair.covers_inbound(flow));
  flow.destination_port = 80;
  flow.ports_known = false;  // a later fragment
  CHECK_FALSE(pair.covers_inbound(flow));
  flow.ports_known = true;
  flow.protocol = kUdp;
  CHECK_FALSE(pair.covers_inbound(flow));
  flow = {
      .source = *IpAddress::parse("2001:db8:1::5"), .destination = *IpAddress::parse("2001:db8::5"), .protocol = 89};
  CHECK(pair.covers_inbound(flow));
  flow.source = *IpAddress::parse("2001:db8:2::5");
  CHECK_FALSE(pair.covers_inbound(flow));
  CHECK_FALSE(SelectorPair{}.covers_inbound(flow));
  CHECK(SelectorPair::any().covers_inbound(flow));
}

TEST_CASE("selectors: the flow of packets of others") {
  for (const test::Vector& v : test::load_vectors("ip/packets.txt")) {
    CAPTURE(v.text("id"));
    const test::Bytes packet = v.bytes("packet");
    const Flow flow = flow_of(packet, *parse(packet));
    CHECK(flow.source.to_string() == v.text("source"));
    CHECK(flow.destination.to_string() == v.text("destination"));
    CHECK(flow.ports_known == v.has("ports"));
    if (v.has("ports")) {
      CHECK(std::to_string(flow.source_port) + " " + std::to_string(flow.destination_port) == v.text("ports"));
    }
  }
}

}  // namespace
}  // namespace winze::ip
