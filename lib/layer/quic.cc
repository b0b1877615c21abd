#include "quic.h"

#include <asio/post.hpp>
#include <utility>

#include "winze/base/error.h"
#include "winze/io/conduit_layer.h"

namespace winze {
namespace {

class NoQuic final : public DatagramLayer {
 public:
  Verdict outgoing(Datagram& datagram) override {
    return datagram.peer.port == kQuicPort ? Verdict::kDrop : Verdict::kPass;
  }
  bool incoming(Datagram&) override { return true; }
};

}  // namespace

ConduitPtr without_quic(ConduitPtr conduit) { return layered_conduit(std::move(conduit), std::make_shared<NoQuic>()); }

OpenConduit without_quic(Environment& environment, OpenConduit open) {
  return [&environment, open = std::move(open)](const Destination& destination,
                                                Dialer::ConduitHandler handler) mutable -> Pending {
    if (destination.port == kQuicPort) {
      asio::post(environment.executor,
                 [handler = std::move(handler)]() mutable { handler(Errc::kRefusedPolicy, nullptr); });
      return {};
    }
    if (!is_everyone(destination)) return open(destination, std::move(handler));
    return open(destination, [handler = std::move(handler)](DialError error, ConduitPtr conduit) mutable {
      if (conduit) conduit = without_quic(std::move(conduit));
      handler(std::move(error), std::move(conduit));
    });
  };
}

}  // namespace winze
