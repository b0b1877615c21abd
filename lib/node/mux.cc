#include "mux.h"

#include <utility>

#include "winze/layer/mux_client.h"

namespace winze::node {
namespace {

using Cool = mux::CoolOptions;

Cool::Packets packets_of(const MuxOptions& options) {
  if (!options.xudp_concurrency) return options.concurrency == 0 ? Cool::Packets::kBelow : Cool::Packets::kPlain;
  if (*options.xudp_concurrency < 0) return Cool::Packets::kBelow;
  if (*options.xudp_concurrency > 0) return Cool::Packets::kXudpOwn;
  return options.concurrency == 0 ? Cool::Packets::kBelow : Cool::Packets::kXudp;
}

Cool::Udp443 udp443_of(MuxOptions::Udp443 policy) {
  switch (policy) {
    case MuxOptions::Udp443::kReject:
      return Cool::Udp443::kReject;
    case MuxOptions::Udp443::kSkip:
      return Cool::Udp443::kSkip;
    case MuxOptions::Udp443::kAllow:
      break;
  }
  return Cool::Udp443::kAllow;
}

DialerPtr over_sing(Environment& environment, const SingMuxOptions& options,
                    std::shared_ptr<mux::sing::SharedLimit> shared, DialerPtr below) {
  using Named = SingMuxOptions::Protocol;
  using mux::sing::Protocol;
  const Protocol protocol = options.protocol == Named::kSmux    ? Protocol::kSmux
                            : options.protocol == Named::kYamux ? Protocol::kYamux
                                                                : Protocol::kHttp2;
  return mux::sing::client({.protocol = protocol,
                            .padding = options.padding,
                            .max_connections = options.max_connections,
                            .min_streams = options.min_streams,
                            .max_streams = options.max_streams,
                            .shared = std::move(shared)})(environment, std::move(below));
}

}  // namespace

DialerPtr over_mux(Environment& environment, const MuxOptions& options, std::shared_ptr<mux::sing::SharedLimit> shared,
                   DialerPtr below) {
  if (!options.enabled) return below;
  if (options.sing) return over_sing(environment, *options.sing, std::move(shared), std::move(below));
  Cool cool{.concurrency = options.concurrency, .packets = packets_of(options), .udp443 = udp443_of(options.udp443)};
  if (cool.packets == Cool::Packets::kXudpOwn) {
    cool.xudp_concurrency = static_cast<std::size_t>(*options.xudp_concurrency);
  }
  return mux::cool(cool)(environment, std::move(below));
}

}  // namespace winze::node
