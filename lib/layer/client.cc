#include "winze/layer/client.h"

#include <utility>

#include "packet_dialer.h"
#include "quic.h"
#include "socks_associate.h"
#include "vless_flows.h"
#include "winze/io/codec_stream.h"
#include "winze/layer/packet_address.h"
#include "winze/layer/shadowsocks_conduit.h"
#include "winze/layer/trojan_conduit.h"
#include "winze/layer/vless_conduit.h"
#include "winze/proto/packet_address.h"
#include "winze/proto/shadowsocks/codec.h"
#include "winze/proto/trojan/codec.h"

namespace winze {
namespace {

// `make` is called with the environment and each destination.
template <typename Make>
Layer layer(Make make) {
  return [make](Environment& environment, DialerPtr below) {
    return codec_dialer(
        environment, std::move(below),
        [make, &environment](const Destination& destination) -> std::unique_ptr<StreamCodec> {
          return make(environment, destination);
        },
        kOpeningTimeout);
  };
}

}  // namespace

Layer tls::client(std::shared_ptr<ClientContext> context, std::string server_name) {
  return layer([context, server_name](Environment& environment, const Destination& destination) {
    return client_codec(context, server_name.empty() ? destination.host_text() : server_name, environment.pool);
  });
}

Layer ws::client(ClientOptions options) {
  return layer([options = std::make_shared<const ClientOptions>(std::move(options))](Environment& environment,
                                                                                     const Destination&) {
    return std::make_unique<ClientCodec>(options, environment.random);
  });
}

Layer httpupgrade::client(ClientOptions options) {
  return layer([options = std::make_shared<const ClientOptions>(std::move(options))](Environment&, const Destination&) {
    return std::make_unique<ClientCodec>(options);
  });
}

Layer vless::client(const Uuid& id, Flow flow, bool quic) {
  const Layer streams = layer([id, flow](Environment& environment, const Destination& destination) {
    const bool vision = flow == Flow::kVision && destination.network == Network::kTcp;
    return vision ? std::make_unique<ClientCodec>(id, destination, environment.random)
                  : std::make_unique<ClientCodec>(id, destination);
  });
  const bool takes_quic = flow == Flow::kNone || quic;
  return [streams, takes_quic](Environment& environment, DialerPtr below) {
    DialerPtr dialer = streams(environment, std::move(below));
    OpenConduit open = [&environment, dialer](const Destination& destination, Dialer::ConduitHandler handler) {
      return open_conduit(environment, dialer, destination, std::move(handler));
    };
    return std::make_shared<PacketDialer>(dialer,
                                          takes_quic ? std::move(open) : without_quic(environment, std::move(open)));
  };
}

Layer trojan::client(std::string_view password) {
  const Layer streams = layer([key = key_of(password)](Environment&, const Destination& destination) {
    return std::make_unique<ClientCodec>(key, destination);
  });
  return [streams](Environment& environment, DialerPtr below) {
    DialerPtr dialer = streams(environment, std::move(below));
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

Layer vmess::client(const Uuid& id, const ClientOptions& options, bool packet_addresses) {
  auto user = std::make_shared<const UserKeys>(id);
  const Layer streams = layer([user, options](Environment& environment, const Destination& destination) {
    return std::make_unique<ClientCodec>(user, destination, options,
                                         Surroundings{environment.clock, environment.random, environment.pool});
  });
  return [streams, packet_addresses](Environment& environment, DialerPtr below) {
    DialerPtr dialer = streams(environment, std::move(below));
    auto open = [&environment, dialer, packet_addresses](const Destination& destination,
                                                         Dialer::ConduitHandler handler) {
      if (!packet_addresses || !is_everyone(destination)) {
        return vless::open_conduit(environment, dialer, destination, std::move(handler));
      }
      return dialer->dial(packet_address_destination(), [&environment, keep = dialer, handler = std::move(handler)](
                                                            const DialError& error, StreamPtr stream) mutable {
        if (error) return handler(error, nullptr);
        handler({}, packet_address_conduit(vless::stream_conduit(environment, std::move(stream))));
      });
    };
    return std::make_shared<PacketDialer>(dialer, std::move(open));
  };
}

Layer socks::client(ClientOptions options, const Destination& server) {
  auto shared = std::make_shared<const ClientOptions>(std::move(options));
  const Layer streams = layer([shared](Environment&, const Destination& destination) {
    return std::make_unique<ClientCodec>(shared, destination);
  });
  return [streams, shared, server](Environment& environment, const DialerPtr& below) {
    auto open = [&environment, below, shared, server](const Destination& destination, Dialer::ConduitHandler handler) {
      return associate(environment, below, shared, server, destination, std::move(handler));
    };
    return std::make_shared<PacketDialer>(streams(environment, below), std::move(open));
  };
}

Layer http::client(ClientOptions options) {
  return layer([options = std::make_shared<const ClientOptions>(std::move(options))](Environment&,
                                                                                     const Destination& destination) {
    return std::make_unique<ClientCodec>(options, destination);
  });
}

Layer shadowsocks::client(std::shared_ptr<const Keys> keys, const Destination& server, DialerPtr packets) {
  const Layer streams = layer([keys](Environment& environment, const Destination& destination) {
    return std::make_unique<ClientCodec>(keys, destination, surroundings(environment));
  });
  Destination to = server;
  to.network = Network::kUdp;
  return [streams, keys, to, packets](Environment& environment, const DialerPtr& below) {
    auto open = [&environment, keys, to, through = packets ? packets : below](const Destination& destination,
                                                                              Dialer::ConduitHandler handler) {
      return through->open_conduit(to, [&environment, keys, to, destination, handler = std::move(handler)](
                                           DialError error, ConduitPtr datagrams) mutable {
        if (error) return handler(std::move(error), nullptr);
        handler({}, client_conduit(environment, keys, std::move(datagrams), to, destination));
      });
    };
    return std::make_shared<PacketDialer>(streams(environment, below), std::move(open));
  };
}

}  // namespace winze
