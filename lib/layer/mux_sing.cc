#include <utility>

#include "mux_pool.h"
#include "packet_dialer.h"
#include "winze/io/codec_stream.h"
#include "winze/layer/mux_client.h"
#include "winze/layer/sing_conduit.h"

namespace winze::mux::sing {
namespace {

// Sub-streams, which do not say yet what they are for.
class SubDialer final : public Dialer {
 public:
  SubDialer(Environment& environment, std::shared_ptr<Pool> pool) : environment_(environment), pool_(std::move(pool)) {}

  Pending dial(const Destination&, Handler handler) override { return pool_->open_stream({}, std::move(handler)); }
  const Executor& executor() const override { return environment_.executor; }

 private:
  Environment& environment_;
  std::shared_ptr<Pool> pool_;
};

DialerPtr sub_dialer(Environment& environment, DialerPtr below, const ClientOptions& options) {
  const Protocol protocol = options.protocol;
  DialerPtr carriers = codec_dialer(
      environment, std::move(below),
      [protocol, padding = options.padding, &environment](const Destination&) -> std::unique_ptr<StreamCodec> {
        return std::make_unique<CarrierClientCodec>(protocol, padding, environment.random);
      },
      kOpeningTimeout);
  const bool is_default = options.max_connections == 0 && options.min_streams == 0 && options.max_streams == 0;
  return std::make_shared<SubDialer>(
      environment, make_pool(environment, std::move(carriers),
                             {.carrier = carrier_destination(),
                              .make_session = [protocol] { return make_session(protocol, Role::kClient); },
                              .max_streams = options.max_streams,
                              .max_carriers = options.max_connections,
                              .shared = options.max_connections == 0 ? nullptr : options.shared,
                              .min_streams = is_default ? ClientOptions::kMinStreams : options.min_streams}));
}

}  // namespace

Layer client(const ClientOptions& options) {
  return [options](Environment& environment, DialerPtr below) {
    DialerPtr dialer = codec_dialer(
        environment, sub_dialer(environment, std::move(below), options),
        [](const Destination& destination) -> std::unique_ptr<StreamCodec> {
          return std::make_unique<StreamClientCodec>(destination);
        },
        kOpeningTimeout);
    auto open = [&environment, dialer](const Destination& destination, Dialer::ConduitHandler handler) {
      Destination to = destination;
      to.network = Network::kUdp;
      return dialer->dial(to, [&environment, to, keep = dialer, handler = std::move(handler)](
                                  const DialError& error, StreamPtr stream) mutable {
        handler(error, error ? nullptr : stream_conduit(environment, std::move(stream), to));
      });
    };
    return std::make_shared<PacketDialer>(dialer, std::move(open));
  };
}

}  // namespace winze::mux::sing
