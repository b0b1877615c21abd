#include "winze/node/instance.h"

#include <doctest/doctest.h>

#include <string>

#include "support/simulator.h"
#include "winze/base/status.h"

namespace winze::node {
namespace {

// What create() says of the options.
std::string error_of(const NodeOptions& options) {
  test::Simulator sim(1);
  std::unique_ptr<Log> log;
  REQUIRE(Log::create({.level = LogOptions::Level::kNone}, LogFormat::kText, log).ok());
  auto contexts = TlsContexts::create(options);
  REQUIRE(contexts.ok());
  const auto instance = Instance::create(sim.environment(), options, *contexts, *log);
  return instance.ok() ? std::string() : std::string(message_of(instance.status()));
}

NodeOptions options_of(std::vector<InboundOptions> inbounds, std::vector<std::string> outbound_tags = {"out"}) {
  NodeOptions out;
  out.inbounds = std::move(inbounds);
  for (std::size_t i = 0; i < out.inbounds.size(); ++i) out.inbounds[i].path = "inbounds[" + std::to_string(i) + "]";
  for (const std::string& tag : outbound_tags) {
    OutboundOptions& outbound = out.outbounds.emplace_back();
    outbound.path = "outbounds[" + std::to_string(out.outbounds.size() - 1) + "]";
    outbound.tag = tag;
  }
  return out;
}

TEST_CASE("an instance says before it listens what it could not do") {
  const InboundOptions socks{.tag = "in", .settings = SocksInbound()};
  InboundOptions named = socks, packets = socks, at_path = socks;
  named.listen = "localhost";
  packets.settings = DokodemoInbound{.destination = Destination("a.test", 53), .udp = true};
  packets.listen = "/run/door.sock";
  at_path.listen = "@door";
  CHECK(error_of(options_of({socks})).empty());
  CHECK(error_of(options_of({at_path})).empty());
  CHECK(error_of(options_of({}, {"", ""})).empty());
  CHECK(error_of(options_of({named})) ==
        "inbounds[0].listen: cannot listen on \"localhost\": an IP address or a socket's path is wanted");
  CHECK(error_of(options_of({packets})) == "inbounds[0].listen: UDP needs an IP address to listen on");
  CHECK(error_of(options_of({socks, socks})) == "inbounds[1].tag: inbounds[0] has the tag \"in\" already");
  CHECK(error_of(options_of({socks}, {})) == "outbounds: at least one is needed");
  CHECK(error_of(options_of({socks}, {"a", "b", "a"})) == "outbounds[2].tag: outbounds[0] has the tag \"a\" already");
  // IPsec alone needs none.
  NodeOptions tunnel = options_of({}, {});
  CHECK(error_of(tunnel) == "outbounds: at least one is needed");
  tunnel.ipsec.connections.emplace_back();
  CHECK(error_of(tunnel).empty());
}

}  // namespace
}  // namespace winze::node
