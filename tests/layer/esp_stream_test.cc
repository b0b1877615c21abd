// ESP packets over streams: the conduit's promises, over the memory pair.
#include "winze/layer/esp_stream.h"

#include <doctest/doctest.h>

#include <asio/io_context.hpp>
#include <string>
#include <vector>

#include "support/segments.h"
#include "winze/base/error.h"
#include "winze/io/memory.h"
#include "winze/io/system.h"
#include "winze/proto/esp/tcp_encap.h"

namespace winze {
namespace {

struct End {
  ConduitPtr conduit;
  std::vector<std::string> received;
  std::error_code error;

  void receive() {
    conduit->receive([this](std::error_code end, std::span<Datagram> datagrams) {
      error = end;
      if (end) return;
      for (const Datagram& datagram : datagrams) received.emplace_back(datagram.payload.text());
      receive();
    });
  }
  std::size_t send(const std::vector<std::string>& payloads) {
    std::vector<Datagram> batch;
    for (const std::string& payload : payloads) batch.push_back({.payload = Buffer::copy_of(payload), .peer = {}});
    return conduit->send(batch);
  }
};

struct Fixture {
  explicit Fixture(const MemoryPairOptions& options = {}, const esp::EspStreamOptions& stream = {}) {
    std::tie(near, far) = memory_pair(environment, options);
    stream_options = stream;
  }
  void open() {
    client.conduit = esp::conduit_over(environment, std::move(near), esp::StreamRole::kOriginator, stream_options);
    server.conduit = esp::conduit_over(environment, std::move(far), esp::StreamRole::kResponder, stream_options);
    client.receive();
    server.receive();
    run();
  }
  void run() {
    context.restart();
    context.poll();
  }

  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();
  StreamPtr near, far;
  esp::EspStreamOptions stream_options;
  End client, server;
};

const std::vector<std::string> kPackets = {"one packet", std::string(1400, 'x'), "\xff", std::string(9000, 'y')};

TEST_CASE("esp over streams: packets arrive whole, in order, both ways") {
  for (const std::size_t segment : test::kSegmentSizes) {
    CAPTURE(segment);
    Fixture f({.segment = segment});
    f.open();
    CHECK(f.server.send({"the responder may be first"}) == 1);
    CHECK(f.client.send(kPackets) == kPackets.size());
    CHECK(f.client.send({"and more"}) == 1);
    f.run();
    CHECK(f.client.received == std::vector<std::string>{"the responder may be first"});
    REQUIRE(f.server.received.size() == kPackets.size() + 1);
    CHECK(std::equal(kPackets.begin(), kPackets.end(), f.server.received.begin()));
    CHECK(f.client.conduit->dropped() == 0);
  }
}

TEST_CASE("esp over streams: room is left around what is received") {
  Fixture f;
  f.server.conduit = esp::conduit_over(f.environment, std::move(f.far), esp::StreamRole::kResponder);
  f.client.conduit = esp::conduit_over(f.environment, std::move(f.near), esp::StreamRole::kOriginator);
  f.server.conduit->reserve({.front = 64, .back = 32});
  bool seen = false;
  f.server.conduit->receive([&](std::error_code error, std::span<Datagram> datagrams) {
    REQUIRE_FALSE(error);
    seen = datagrams[0].payload.headroom() >= 64 && datagrams[0].payload.tailroom() >= 32;
  });
  f.client.send({"hello"});
  f.run();
  CHECK(seen);
}

TEST_CASE("esp over streams: the end is orderly between packets, and told otherwise") {
  for (const bool cut : {false, true}) {
    Fixture f;
    f.server.conduit = esp::conduit_over(f.environment, std::move(f.far), esp::StreamRole::kResponder);
    f.server.receive();
    f.near->write(Buffer::copy_of(std::string(cut ? "IKETCP\0\7he" : "IKETCP\0\7hello", cut ? 10 : 13)),
                  [&](std::error_code) { f.near->shutdown_write([](std::error_code) {}); });
    f.run();
    CHECK(f.server.received.size() == (cut ? 0 : 1));
    CHECK(f.server.error == (cut ? Errc::kTruncated : Errc::kEof));
    CHECK(f.server.send({"late"}) == 0);
    CHECK(f.server.conduit->dropped() == 1);
  }
}

TEST_CASE("esp over streams: a stranger is refused") {
  Fixture f;
  f.server.conduit = esp::conduit_over(f.environment, std::move(f.far), esp::StreamRole::kResponder);
  f.server.receive();
  f.near->write(Buffer::copy_of("GET / HTTP/1.1\r\n\r\n"), [](std::error_code) {});
  f.run();
  CHECK(f.server.error == esp::StreamErrc::kBadPrefix);
}

TEST_CASE("esp over streams: what a slow stream cannot take is dropped, within a bound") {
  Fixture f({.window = 1000}, {.backlog = 10'000});
  f.client.conduit =
      esp::conduit_over(f.environment, std::move(f.near), esp::StreamRole::kOriginator, f.stream_options);
  const std::vector<std::string> packets(100, std::string(1000, 'x'));
  // One write is under way and holds what it was given; as much again may wait.
  const std::size_t taken = f.client.send(packets) + f.client.send(packets);
  CHECK(taken >= 9);
  CHECK(taken <= 20);
  CHECK(f.client.conduit->dropped() == 200 - taken);
  CHECK(f.client.send({std::string(esp::kLargestFramed + 1, 'x')}) == 0);
  // What was taken arrives once somebody reads.
  f.server.conduit = esp::conduit_over(f.environment, std::move(f.far), esp::StreamRole::kResponder);
  f.server.receive();
  f.run();
  CHECK(f.server.received.size() == taken);
}

TEST_CASE("esp over streams: IKE is taken also where a slow stream has no room for ESP") {
  Fixture f({.window = 1000}, {.backlog = 10'000});
  f.client.conduit =
      esp::conduit_over(f.environment, std::move(f.near), esp::StreamRole::kOriginator, f.stream_options);
  const std::string ike = std::string(4, '\0') + std::string(1000, 'i');
  const std::vector<std::string> packets(100, std::string(1000, 'x'));
  const std::size_t taken = f.client.send(packets) + f.client.send(packets);
  CHECK(f.client.send({ike, ike}) == 2);
  CHECK(f.client.send({std::string(1000, 'x')}) == 0);
  // It has a bound too.
  CHECK(f.client.send(std::vector<std::string>(100, ike + std::string(1000, 'x'))) < 15);
  f.server.conduit = esp::conduit_over(f.environment, std::move(f.far), esp::StreamRole::kResponder);
  f.server.receive();
  f.run();
  REQUIRE(f.server.received.size() > taken + 2);
  CHECK(f.server.received[taken] == ike);
  CHECK(f.server.received[taken + 1] == ike);
}

TEST_CASE("esp over streams: close and destruction cancel; one receive at a time") {
  Fixture f;
  f.open();
  std::error_code second, late;
  f.client.conduit->receive([&](std::error_code error, std::span<Datagram>) { second = error; });
  f.run();
  CHECK(second == Errc::kBusy);
  f.client.conduit->close();
  f.run();
  CHECK(f.client.error == Errc::kAborted);
  f.client.conduit->receive([&](std::error_code error, std::span<Datagram>) { late = error; });
  f.run();
  CHECK(late);
  CHECK(f.server.error == Errc::kEof);

  Fixture destroyed;
  destroyed.open();
  destroyed.server.send(kPackets);
  destroyed.server.conduit.reset();
  destroyed.run();
  CHECK(destroyed.server.error == Errc::kAborted);
}

// The operations that a whole exchange takes.
std::uint64_t exchange_with_fault(std::size_t segment, bool at_client, std::uint64_t at) {
  const std::error_code fault = std::make_error_code(std::errc::connection_reset);
  std::uint64_t operations = 0;
  Fixture f({.segment = segment});
  StreamPtr& hit = at_client ? f.near : f.far;
  hit = faulty_stream(std::move(hit), at, fault, &operations);
  f.open();
  f.client.send(kPackets);
  f.run();
  f.server.send(kPackets);
  f.run();
  for (const End* end : {&f.client, &f.server}) {
    REQUIRE(end->received.size() <= kPackets.size());
    CHECK(std::equal(end->received.begin(), end->received.end(), kPackets.begin()));
  }
  if (at < operations) CHECK((at_client ? f.client : f.server).error == fault);
  return operations;
}

TEST_CASE("esp over streams: a fault at each operation ends it, and nothing is invented") {
  for (const std::size_t segment : {7u, 1400u, 65536u}) {
    for (const bool at_client : {true, false}) {
      const std::uint64_t all = exchange_with_fault(segment, at_client, UINT64_MAX);
      for (std::uint64_t at = 0; at < std::min<std::uint64_t>(all, 60); ++at) {
        CAPTURE(at);
        exchange_with_fault(segment, at_client, at);
      }
    }
  }
}

}  // namespace
}  // namespace winze
