#include "sections.h"

namespace winze::config {
namespace {

constexpr std::int64_t kMostStreams = 1024;

}  // namespace

node::MuxOptions read_mux(ObjectReader object) {
  node::MuxOptions out;
  out.enabled = object.boolean("enabled");
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
  object.finish();
  return out;
}

}  // namespace winze::config
