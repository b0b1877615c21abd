#include <initializer_list>

#include "sections.h"

namespace winze::config {
namespace {

constexpr std::int64_t kMostStreams = 1024;

constexpr std::string_view kBrutal = "TCP Brutal is not supported";

// sing-box's, which V2Ray has not: present with "protocol" only.
void read_sing(ObjectReader& object, node::SingMuxOptions& out) {
  static constexpr std::string_view kProtocols[] = {"smux", "yamux", "h2mux"};
  using Protocol = node::SingMuxOptions::Protocol;
  out.protocol = static_cast<Protocol>(object.word("protocol", kProtocols, 0));
  out.padding = object.boolean("padding");
  const auto number = [&](std::string_view key) {
    return static_cast<std::uint32_t>(object.integer(key, 0, kMostStreams, 0));
  };
  out.max_connections = number("maxConnections");
  out.min_streams = number("minStreams");
  out.max_streams = number("maxStreams");
  if (out.max_streams != 0 && (out.max_connections != 0 || out.min_streams != 0)) {
    object.fail("maxStreams",
                "says when a further connection is opened, as \"maxConnections\" and \"minStreams\" do; "
                "use one or the others");
  }
  for (const std::string_view key : {"concurrency", "xudpConcurrency", "xudpProxyUDP443"}) {
    object.refuse(key, "of mux.cool, which a \"protocol\" stands in place of");
  }
}

void read_cool(ObjectReader& object, node::MuxOptions& out) {
  // 0 is the default, below 0 none.
  const std::int64_t concurrency = object.integer("concurrency", -kMostStreams, kMostStreams, 0);
  if (concurrency != 0) out.concurrency = static_cast<std::uint32_t>(std::max<std::int64_t>(concurrency, 0));
  if (object.find("xudpConcurrency") != nullptr) {
    out.xudp_concurrency = static_cast<int>(object.integer("xudpConcurrency", -kMostStreams, kMostStreams, 0));
  }
  static constexpr std::string_view kUdp443[] = {"reject", "allow", "skip"};
  const bool xray = out.xudp_concurrency || object.find("xudpProxyUDP443") != nullptr;
  using Udp443 = node::MuxOptions::Udp443;
  out.udp443 = static_cast<Udp443>(
      object.word("xudpProxyUDP443", kUdp443, static_cast<std::size_t>(xray ? Udp443::kReject : Udp443::kAllow)));
  object.refuse("packetEncoding", "not supported; UDP is multiplexed as \"xudpConcurrency\" says");
  for (const std::string_view key : {"padding", "maxConnections", "minStreams", "maxStreams"}) {
    object.refuse(key, "not of mux.cool; it needs a \"protocol\": \"smux\", \"yamux\" or \"h2mux\"");
  }
}

}  // namespace

node::MuxOptions read_mux(ObjectReader object) {
  node::MuxOptions out;
  out.enabled = object.boolean("enabled");
  if (object.find("protocol") != nullptr) {
    read_sing(object, out.sing.emplace());
  } else {
    read_cool(object, out);
  }
  object.refuse("brutal", kBrutal);
  object.finish();
  return out;
}

node::InboundMuxOptions read_inbound_mux(ObjectReader object) {
  node::InboundMuxOptions out;
  out.enabled = object.boolean("enabled", true);
  out.padding = object.boolean("padding");
  if (out.padding && !out.enabled) object.fail("padding", "wanted of connections that \"enabled\": false refuses");
  object.refuse("brutal", kBrutal);
  object.finish();
  return out;
}

}  // namespace winze::config
