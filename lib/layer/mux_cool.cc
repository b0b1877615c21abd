#include <asio/post.hpp>
#include <utility>

#include "flows.h"
#include "mux_pool.h"
#include "quic.h"
#include "winze/base/error.h"
#include "winze/io/conduit_layer.h"
#include "winze/layer/mux_client.h"
#include "winze/proto/mux/cool.h"
#include "winze/proto/mux/error.h"
#include "winze/proto/port_address.h"

namespace winze::mux {
namespace {

// Of a conduit for one destination, over one for everyone().
class OnePeer final : public DatagramLayer {
 public:
  explicit OnePeer(const Destination& peer) : peer_(peer) {}

  Verdict outgoing(Datagram& datagram) override {
    datagram.peer = peer_;
    return Verdict::kPass;
  }
  bool incoming(Datagram& datagram) override {
    // Which address a name stands for the server knows.
    if (datagram.peer.port != peer_.port || (!peer_.is_name() && datagram.peer.host != peer_.host)) return false;
    datagram.peer = peer_;
    return true;
  }

 private:
  Destination peer_;
};

bool is_sendable(const Destination& destination) {
  Buffer scratch;
  return encode_port_address(destination, scratch);
}

class CoolDialer final : public Dialer, public std::enable_shared_from_this<CoolDialer> {
 public:
  CoolDialer(Environment& environment, DialerPtr below, const CoolOptions& options)
      : environment_(environment), below_(std::move(below)), options_(options) {
    if (options.concurrency != 0) streams_ = pool(options.concurrency, false);
    switch (options.packets) {
      case CoolOptions::Packets::kBelow:
        break;
      case CoolOptions::Packets::kPlain:
      case CoolOptions::Packets::kXudp:
        packets_ = streams_ ? streams_ : pool(8, false);
        break;
      case CoolOptions::Packets::kXudpOwn:
        packets_ = pool(options.xudp_concurrency, false);
        break;
      case CoolOptions::Packets::kXudpLone:
        packets_ = pool(1, true);
        break;
    }
  }

  Pending dial(const Destination& destination, Handler handler) override {
    if (!streams_) return below_->dial(destination, std::move(handler));
    if (!is_sendable(destination)) return refuse(std::move(handler), Errc::kBadName);
    return streams_->open_stream({.destination = destination}, std::move(handler));
  }

  Pending open_conduit(const Destination& destination, ConduitHandler handler) override {
    const bool quic = destination.port == kQuicPort;
    if (!packets_ || (quic && options_.udp443 == CoolOptions::Udp443::kSkip)) {
      return below_->open_conduit(destination, std::move(handler));
    }
    if (quic && options_.udp443 == CoolOptions::Udp443::kReject) {
      return refuse(std::move(handler), winze::Errc::kRefusedPolicy);
    }
    if (!is_everyone(destination) && !is_sendable(destination)) return refuse(std::move(handler), Errc::kBadName);
    Destination to = destination;
    to.network = Network::kUdp;
    if (options_.packets != CoolOptions::Packets::kPlain) return give(xudp_flow(to), std::move(handler));
    if (is_everyone(to)) return give(plain_flows(), std::move(handler));
    return packets_->open_conduit({.destination = to, .datagrams = true}, std::move(handler));
  }

  const Executor& executor() const override { return environment_.executor; }

 private:
  std::shared_ptr<Pool> pool(std::size_t streams, bool lone) {
    auto make = [lone, lifetime = options_.lifetime] {
      return std::make_unique<CoolSession>(Role::kClient, lone, lifetime);
    };
    return make_pool(environment_, below_,
                     {.carrier = cool_destination(),
                      .make_session = std::move(make),
                      .max_streams = streams,
                      .idle = lone ? Duration(1) : PoolOptions().idle});
  }

  template <typename OnDone>
  Pending refuse(OnDone handler, std::error_code error) {
    asio::post(environment_.executor, [handler = std::move(handler), error]() mutable { handler(error, nullptr); });
    return {};
  }

  // One that would go another way for some ports goes none for these.
  ConduitPtr without_quic(ConduitPtr conduit) const {
    if (options_.udp443 == CoolOptions::Udp443::kAllow) return conduit;
    return winze::without_quic(std::move(conduit));
  }

  Pending give(ConduitPtr conduit, ConduitHandler handler) {
    asio::post(environment_.executor, [conduit = std::move(conduit), handler = std::move(handler)]() mutable {
      handler({}, std::move(conduit));
    });
    return {};
  }

  ConduitPtr plain_flows() {
    auto open = [self = shared_from_this()](const Destination& to, ConduitHandler on_open) {
      return self->open_conduit(to, std::move(on_open));
    };
    return without_quic(
        flows_conduit(environment_, std::move(open), {.mtu = CoolSession::kLargestDatagram, .layer = "mux"}));
  }

  ConduitPtr xudp_flow(const Destination& to) {
    Opening opening{.destination = to, .datagrams = true, .any_peer = true};
    if (options_.global_ids) environment_.random.fill(opening.global_id);
    auto open = [self = shared_from_this(), opening](const Destination&, ConduitHandler on_open) {
      return self->packets_->open_conduit(opening, std::move(on_open));
    };
    ConduitPtr conduit =
        flows_conduit(environment_, std::move(open), {.mtu = CoolSession::kLargestDatagram, .layer = "mux", .all = to});
    if (is_everyone(to)) return without_quic(std::move(conduit));
    return layered_conduit(std::move(conduit), std::make_shared<OnePeer>(to));
  }

  Environment& environment_;
  DialerPtr below_;
  CoolOptions options_;
  std::shared_ptr<Pool> streams_;  // null: streams are dialed below
  std::shared_ptr<Pool> packets_;  // null: conduits are opened below
};

}  // namespace

Layer cool(const CoolOptions& options) {
  return [options](Environment& environment, DialerPtr below) {
    return std::make_shared<CoolDialer>(environment, std::move(below), options);
  };
}

}  // namespace winze::mux
