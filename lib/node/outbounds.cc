#include "outbounds.h"

#include <utility>

#include "mux.h"
#include "plain_dialers.h"
#include "shadowsocks.h"
#include "transports.h"
#include "winze/base/bytes.h"
#include "winze/layer/client.h"
#include "winze/proto/user_id.h"

namespace winze::node {
namespace {

// Dials `server` through another dialer, whatever it is asked for. Datagrams go where they are sent.
class FixedDialer final : public Dialer {
 public:
  FixedDialer(DialerPtr below, Destination server) : below_(std::move(below)), server_(std::move(server)) {}
  Pending dial(const Destination&, Handler handler) override { return below_->dial(server_, std::move(handler)); }
  Pending open_conduit(const Destination& destination, ConduitHandler handler) override {
    return below_->open_conduit(destination, std::move(handler));
  }
  const Executor& executor() const override { return below_->executor(); }

 private:
  DialerPtr below_;
  Destination server_;
};

class Assembly {
 public:
  Assembly(Environment& environment, const NodeOptions& options, const TlsContexts& contexts, const Plugins& plugins,
           const SharedLimits& carriers)
      : environment_(environment),
        options_(options),
        contexts_(contexts),
        plugins_(plugins),
        carriers_(carriers),
        built_(options.outbounds.size()) {}

  absl::StatusOr<DialerPtr> build(std::size_t index) {
    if (built_[index].dialer) return built_[index].dialer;
    if (std::exchange(built_[index].building, true)) {
      return absl::InvalidArgumentError(options_.outbounds[index].path +
                                        ".proxySettings.tag: the outbounds connect through each other in a circle");
    }
    auto dialer =
        std::visit([&](const auto& settings) { return make(index, settings); }, options_.outbounds[index].settings);
    if (!dialer.ok()) return dialer;
    built_[index].dialer = over_mux(environment_, options_.outbounds[index].mux, carriers_[index], *std::move(dialer));
    return built_[index].dialer;
  }

 private:
  struct Built {
    DialerPtr dialer;
    bool building = false;
  };

  TcpDialOptions dial_options(const OutboundOptions& outbound) const {
    return {.socket = to_socket_options(outbound.stream.socket), .bind_address = outbound.send_through};
  }

  // --- the bottom and the transports ---

  absl::StatusOr<DialerPtr> through(const OutboundOptions& outbound) {
    if (outbound.proxy_tag.empty()) return nullptr;
    for (std::size_t i = 0; i < options_.outbounds.size(); ++i) {
      if (options_.outbounds[i].tag == outbound.proxy_tag) return build(i);
    }
    return absl::InvalidArgumentError(outbound.path + ".proxySettings.tag: there is no outbound \"" +
                                      outbound.proxy_tag + "\"");
  }

  absl::StatusOr<DialerPtr> to_server(std::size_t index, const Destination& server) {
    const OutboundOptions& outbound = options_.outbounds[index];
    auto via = through(outbound);
    if (!via.ok()) return via.status();
    DialerPtr dialer =
        *via ? std::make_shared<FixedDialer>(*via, server) : tcp_to(environment_, server, dial_options(outbound));
    return over_transports(environment_, outbound, contexts_.outbound(index), server, std::move(dialer));
  }

  // The proxy protocol `layer`, over the way to its server.
  absl::StatusOr<DialerPtr> over_server(std::size_t index, const Destination& server, const Layer& layer) {
    auto below = to_server(index, server);
    if (!below.ok()) return below;
    return layer(environment_, std::move(*below));
  }

  // --- the protocols ---

  absl::StatusOr<DialerPtr> make(std::size_t index, const FreedomOutbound& settings) {
    const OutboundOptions& outbound = options_.outbounds[index];
    auto via = through(outbound);
    if (!via.ok()) return via.status();
    TcpDialOptions tcp = dial_options(outbound);
    if (settings.strategy == FreedomOutbound::Strategy::kUseIpv4) tcp.family = TcpDialOptions::Family::kV4;
    if (settings.strategy == FreedomOutbound::Strategy::kUseIpv6) tcp.family = TcpDialOptions::Family::kV6;
    auto dialer =
        over_transports(environment_, outbound, contexts_.outbound(index), *via ? *via : tcp_dialer(environment_, tcp));
    if (!dialer.ok() || !settings.redirect) return dialer;
    return redirect_dialer(std::move(*dialer), settings.redirect->first, settings.redirect->second);
  }

  absl::StatusOr<DialerPtr> make(std::size_t, const BlackholeOutbound& settings) {
    return blackhole_dialer(environment_, settings.http_response);
  }

  absl::StatusOr<DialerPtr> make(std::size_t index, const SocksOutbound& settings) {
    socks::ClientOptions client;
    if (settings.account) {
      client.user = settings.account->user;
      client.password = settings.account->password;
    }
    // Through another proxy the control stream does not tell where the server is.
    const bool direct = options_.outbounds[index].proxy_tag.empty();
    return over_server(index, settings.server, socks::client(std::move(client), direct ? everyone() : settings.server));
  }

  absl::StatusOr<DialerPtr> make(std::size_t index, const HttpOutbound& settings) {
    http::ClientOptions client;
    if (settings.account) {
      client.user = settings.account->user;
      client.password = settings.account->password;
    }
    for (const auto& [name, value] : settings.headers) client.fields.add(name, value);
    return over_server(index, settings.server, http::client(std::move(client)));
  }

  absl::StatusOr<DialerPtr> make(std::size_t index, const VlessOutbound& settings) {
    const std::optional<Uuid> id = parse_user_id(settings.user.id);
    if (!id) {
      return absl::InvalidArgumentError(options_.outbounds[index].path + ".settings: \"" + settings.user.id +
                                        "\" is not a user id: a UUID, or 1 to 30 characters that stand for one");
    }
    const vless::Flow flow = settings.user.vision ? vless::Flow::kVision : vless::Flow::kNone;
    if (settings.user.vision && !fits_vision(options_.outbounds[index].stream)) {
      return absl::InvalidArgumentError(options_.outbounds[index].path + ".settings: " + std::string(kVisionNeeds));
    }
    return over_server(index, settings.server, vless::client(*id, flow, settings.user.quic));
  }

  absl::StatusOr<DialerPtr> make(std::size_t index, const TrojanOutbound& settings) {
    return over_server(index, settings.server, trojan::client(as_text(settings.user.password.span())));
  }

  absl::StatusOr<DialerPtr> make(std::size_t index, const VmessOutbound& settings) {
    const std::string where = options_.outbounds[index].path + ".settings: ";
    const std::optional<Uuid> id = parse_user_id(settings.user.id);
    if (!id) {
      return absl::InvalidArgumentError(where + "\"" + settings.user.id +
                                        "\" is not a user id: a UUID, or 1 to 30 characters that stand for one");
    }
    const std::optional<vmess::Security> security = vmess::parse_security(settings.security);
    if (!security) return absl::InvalidArgumentError(where + "unknown security \"" + settings.security + "\"");
    vmess::ClientOptions client{.security = *security};
    // Peers do not agree on what sealed lengths are without a cipher.
    if (settings.authenticated_length && vmess::resolve(*security) != vmess::Security::kNone) {
      client.options = vmess::usual_options(*security) | vmess::kAuthenticatedLength;
    }
    return over_server(index, settings.server, vmess::client(*id, client, settings.packet_addresses));
  }

  absl::StatusOr<DialerPtr> make(std::size_t index, const ShadowsocksOutbound& settings) {
    const OutboundOptions& outbound = options_.outbounds[index];
    auto keys = shadowsocks_keys(outbound.path + ".settings", settings.method, settings.password);
    if (!keys.ok()) return keys.status();
    auto via = through(outbound);
    if (!via.ok()) return via.status();
    // Datagrams go to the server by themselves, whatever carries the streams.
    DialerPtr packets = *via ? *via : tcp_to(environment_, settings.server, dial_options(outbound));
    const auto& plugin = plugins_.outbound(index);
    return over_server(index, plugin ? Destination(*plugin) : settings.server,
                       shadowsocks::client(std::make_shared<const shadowsocks::Keys>(std::move(*keys)), settings.server,
                                           std::move(packets)));
  }

  Environment& environment_;
  const NodeOptions& options_;
  const TlsContexts& contexts_;
  const Plugins& plugins_;
  const SharedLimits& carriers_;
  std::vector<Built> built_;
};

}  // namespace

absl::StatusOr<std::vector<Outbound>> make_outbounds(Environment& environment, const NodeOptions& options,
                                                     const TlsContexts& contexts, const Plugins& plugins,
                                                     const SharedLimits& carriers) {
  Assembly assembly(environment, options, contexts, plugins, carriers);
  std::vector<Outbound> out;
  for (std::size_t i = 0; i < options.outbounds.size(); ++i) {
    auto dialer = assembly.build(i);
    if (!dialer.ok()) return dialer.status();
    out.push_back({options.outbounds[i].tag, std::move(*dialer)});
  }
  return out;
}

SocketOptions to_socket_options(const SocketSettings& settings) {
  return {.keep_alive_idle = settings.keep_alive_idle,
          .keep_alive_interval = settings.keep_alive_interval,
          .mark = settings.mark,
          .interface = settings.interface,
          .congestion_control = settings.congestion_control,
          .fast_open = settings.tcp_fast_open,
          .user_timeout = settings.user_timeout,
          .max_segment = settings.max_segment,
          .window_clamp = settings.window_clamp};
}

}  // namespace winze::node
