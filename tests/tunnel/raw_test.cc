// ESP and AH as IP protocols 50 and 51 of their own, through raw sockets on loopback.
#include <doctest/doctest.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <cstdlib>
#include <string>
#include <vector>

#include "winze/io/system.h"
#include "winze/io/udp.h"
#include "winze/proto/ah/sa.h"
#include "winze/proto/ip/header.h"

namespace winze {
namespace {

bool may_open_raw_sockets() {
  if (::geteuid() == 0) return true;
  MESSAGE("not root: no raw sockets");
  CHECK_MESSAGE(std::getenv("CI") == nullptr, "cannot run here");
  return false;
}

struct Fixture {
  asio::io_context context{1};
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system.environment();

  ConduitPtr open(const RawOptions& options) {
    SocketResult result = open_raw(environment, options);
    REQUIRE_MESSAGE(!result.error, result.what);
    return std::move(result.conduit);
  }
  // What comes next.
  Datagram receive(PacketConduit& conduit) {
    Datagram out;
    conduit.receive([&](std::error_code error, std::span<Datagram> received) {
      REQUIRE_FALSE(error);
      out = std::move(received[0]);
      context.stop();
    });
    context.restart();
    context.run_for(std::chrono::seconds(30));
    return out;
  }
};

const char* const kHere[] = {"127.0.0.1", "::1"};

TEST_CASE("raw sockets: AH passes with the headers that it covers") {
  if (!may_open_raw_sockets()) return;
  for (const char* text : kHere) {
    CAPTURE(text);
    const IpAddress address = *IpAddress::parse(text);
    Fixture f;
    const ConduitPtr conduit = f.open({.bind = address, .protocol = ah::kProtocol, .headers = true});
    esp::SaConfig config{.spi = 0x1234};
    config.algorithms.encryption = esp::Encryption::kNull;
    config.algorithms.integrity = esp::Integrity::kHmacSha2_256_128;
    config.algorithms.integrity_key = Secret(32);
    auto outbound = ah::OutboundSa::create(config);
    auto inbound = ah::InboundSa::create(config);
    REQUIRE(outbound.ok());
    REQUIRE(inbound.ok());
    for (const bool dont_fragment : {true, false}) {
      Buffer packet =
          Buffer::copy_of(std::string("\x03\xe8\x07\xd0\x00\x0d\x00\x00hello", 13), {.front = 128, .back = 0});
      REQUIRE(ip::prepend_header(packet, {.source = address,
                                          .destination = address,
                                          .protocol = ip::kUdp,
                                          .dont_fragment = dont_fragment,
                                          .identification = 7}));
      const std::string before(packet.text());
      REQUIRE(outbound->seal({.mode = esp::Mode::kTransport}, packet, *ip::parse(packet.span())) == esp::Drop::kNone);
      Datagram datagram{.payload = std::move(packet), .peer = Destination(address, 0, Network::kUdp)};
      REQUIRE(conduit->send(std::span(&datagram, 1)) == 1);
      Datagram got = f.receive(*conduit);
      esp::Opened opened;
      ip::Header inner;
      CHECK(inbound->open({.mode = esp::Mode::kTransport}, got.payload, opened, inner) == esp::Drop::kNone);
      CHECK(got.payload.text().substr(got.payload.size() - 13) == before.substr(before.size() - 13));
      CHECK(inner.protocol == ip::kUdp);
    }
  }
}

TEST_CASE("raw sockets: payloads come without headers, and tell where from and to") {
  if (!may_open_raw_sockets()) return;
  for (const char* text : kHere) {
    CAPTURE(text);
    const IpAddress address = *IpAddress::parse(text);
    Fixture f;
    const ConduitPtr conduit = f.open({.bind = address});
    Datagram datagram{.payload = Buffer::copy_of("an ESP packet"),
                      .peer = Destination(address, 0, Network::kUdp),
                      .traffic_class = 0x2a};
    REQUIRE(conduit->send(std::span(&datagram, 1)) == 1);
    const Datagram got = f.receive(*conduit);
    CHECK(got.payload.text() == "an ESP packet");
    CHECK(got.peer == Destination(address, 0, Network::kUdp));
    CHECK(got.local == address);
    CHECK(got.traffic_class == 0x2a);
  }
}

}  // namespace
}  // namespace winze
