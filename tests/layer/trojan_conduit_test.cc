// Datagrams in Trojan streams: with their peers, over any segments, for everyone and for one.
#include "winze/layer/trojan_conduit.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/fake_dialer.h"
#include "support/segments.h"
#include "support/simulator.h"
#include "winze/base/error.h"
#include "winze/io/memory.h"
#include "winze/layer/client.h"
#include "winze/proto/trojan/codec.h"
#include "winze/proto/trojan/datagram.h"

namespace winze::trojan {
namespace {

using Texts = std::vector<std::string>;
using Peers = std::vector<Destination>;
using test::send;

Destination udp(std::string_view host, std::uint16_t port) { return Destination(host, port, Network::kUdp); }

TEST_CASE("trojan conduit: datagrams of any size and peer through segments of any size, both ways") {
  for (const std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    test::Simulator sim(1);
    auto [near, far] = memory_pair(sim.environment(), {.segment = segment});
    const ConduitPtr a = stream_conduit(sim.environment(), std::move(near));
    const ConduitPtr b = stream_conduit(sim.environment(), std::move(far));
    test::Receiver at_a(*a), at_b(*b);
    Texts texts;
    Peers peers;
    for (const std::size_t size : {1, 2, 3, 255, 256, 1400, 2048}) {
      texts.emplace_back(size, static_cast<char>('a' + size % 26));
      peers.push_back(size % 2 == 0 ? udp("a.test", static_cast<std::uint16_t>(size)) : udp("2001:db8::1", 53));
      CHECK(send(*a, texts.back(), peers.back()));
      CHECK(send(*b, texts.back(), peers.back()));
    }
    sim.run_ready();
    CHECK(at_a.texts() == texts);
    CHECK(at_b.texts() == texts);
    CHECK(at_a.peers() == peers);
    CHECK(at_b.peers() == peers);
    CHECK(a->dropped() == 0);
    CHECK_FALSE(send(*a, "x", udp("a.test", 0)));
    CHECK_FALSE(send(*a, std::string(2049, 'x'), udp("a.test", 1)));
    CHECK(a->dropped() == 2);
  }
}

TEST_CASE("trojan conduit: with one peer nobody else is heard, and none need be named") {
  test::Simulator sim(1);
  struct Row {
    Destination destination;
    Peers heard;
  };
  const Peers all = {udp("192.0.2.1", 53), udp("192.0.2.1", 54), udp("192.0.2.2", 53),
                     udp("a.test", 53),    udp("b.test", 53),    udp("192.0.2.1", 0)};
  const Row rows[] = {{udp("192.0.2.1", 53), {all[0], all[3], all[4]}},
                      {udp("a.test", 53), {all[0], all[2], all[3]}},
                      {everyone(), {all[0], all[1], all[2], all[3], all[4]}}};
  for (const Row& row : rows) {
    CAPTURE(row.destination.to_string());
    auto [client_end, server_end] = memory_pair(sim.environment());
    const ConduitPtr client = stream_conduit(sim.environment(), std::move(client_end), row.destination);
    test::Receiver at_client(*client);
    for (const Destination& from : all) {
      Buffer frame = Buffer::copy_of("x", {.front = kMaxDatagramHeader, .back = 0});
      REQUIRE(encode_datagram(frame, from));
      server_end->write(std::move(frame), [](std::error_code) {});
      sim.run_ready();
    }
    CHECK(at_client.peers() == row.heard);
    CHECK(send(*client, "up") == !is_everyone(row.destination));
  }
}

TEST_CASE("trojan conduit: a malformed frame ends it, and so does the stream") {
  struct Row {
    std::string_view wire;
    std::error_code error;
  };
  using namespace std::string_view_literals;
  for (const Row& row :
       {Row{"\x02\x01\x02"sv, Errc::kBadAddress}, Row{"\x01\x7f\0\0\x01\0\x35\0\x01\n\nx"sv, Errc::kBadDatagram},
        Row{""sv, winze::Errc::kEof}, Row{"\x01\x7f"sv, winze::Errc::kTruncated}}) {
    test::Simulator sim(1);
    auto [near, far] = memory_pair(sim.environment());
    const ConduitPtr conduit = stream_conduit(sim.environment(), std::move(near));
    test::Receiver here(*conduit);
    if (!row.wire.empty()) far->write(Buffer::copy_of(row.wire), [](std::error_code) {});
    sim.run_ready();
    far->shutdown_write([](std::error_code) {});
    sim.run_ready();
    CHECK(here.error() == row.error);
    CHECK(here.texts().empty());
  }
}

TEST_CASE("trojan client: one stream is for everyone") {
  test::Simulator sim(1);
  auto below = std::make_shared<test::FakeDialer>(sim.environment());
  const DialerPtr dialer = client("password")(sim.environment(), below);
  ConduitPtr conduit;
  Pending opening = dialer->open_conduit(everyone(), [&](const DialError& error, ConduitPtr opened) {
    CHECK_FALSE(error);
    conduit = std::move(opened);
  });
  sim.run_ready();
  REQUIRE(below->dials.size() == 1);
  auto [near, far] = memory_pair(sim.environment());
  test::answer(below->dials[0], {}, std::move(near));
  sim.run_ready();
  REQUIRE(conduit);
  CHECK(send(*conduit, "one", udp("a.test", 53)));
  sim.run_ready();
  std::string got;
  far->read([&](std::error_code, Buffer data) { got = data.text(); });
  sim.run_ready();
  const Key key = key_of("password");
  std::string expected(key.begin(), key.end());
  expected += std::string(
      "\r\n\x03\x01\0\0\0\0\0\0\r\n\x03\x06"
      "a.test\0\x35\0\x03\r\none",
      29);
  CHECK(got == expected);
}

}  // namespace
}  // namespace winze::trojan
