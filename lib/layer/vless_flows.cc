#include "vless_flows.h"

#include <asio/post.hpp>
#include <utility>

#include "flows.h"
#include "winze/layer/vless_conduit.h"
#include "winze/proto/vless/datagram.h"

namespace winze::vless {

ConduitPtr flows_conduit(Environment& environment, DialerPtr streams) {
  auto open = [&environment, streams = std::move(streams)](const Destination& to, Dialer::ConduitHandler handler) {
    return open_conduit(environment, streams, to, std::move(handler));
  };
  return winze::flows_conduit(environment, std::move(open), {.mtu = kSafeDatagramSize, .layer = "vless"});
}

Pending open_conduit(Environment& environment, const DialerPtr& streams, const Destination& destination,
                     Dialer::ConduitHandler handler) {
  if (is_everyone(destination)) {
    asio::post(environment.executor,
               [handler = std::move(handler), conduit = flows_conduit(environment, streams)]() mutable {
                 handler({}, std::move(conduit));
               });
    return {};
  }
  Destination to = destination;
  to.network = Network::kUdp;
  return streams->dial(to, [&environment, keep = streams, handler = std::move(handler)](const DialError& error,
                                                                                        StreamPtr stream) mutable {
    handler(error, error ? nullptr : stream_conduit(environment, std::move(stream)));
  });
}

}  // namespace winze::vless
