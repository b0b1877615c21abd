// The client's side of each stream protocol, as a layer of a chain: what turns a Dialer into a Dialer.
//
// A layer gets its lower dialer's streams and runs its codec over them. The transports (TLS, WebSocket) pass the
// destination on; the proxy protocols also tell it to their server, so at the bottom of such a chain stands a dialer
// that knows where the server is (tcp_to). Conduits, for UDP, are opened by VLESS, VMess, Trojan, SOCKS5 and
// Shadowsocks dialers; a chain that ends in another layer answers Errc::kUnsupported.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "winze/base/time.h"
#include "winze/base/uuid.h"
#include "winze/io/dialer.h"
#include "winze/layer/tls.h"
#include "winze/proto/http/client.h"
#include "winze/proto/httpupgrade/codec.h"
#include "winze/proto/shadowsocks/method.h"
#include "winze/proto/socks/client.h"
#include "winze/proto/vless/codec.h"
#include "winze/proto/vmess/codec.h"
#include "winze/proto/ws/codec.h"

namespace winze {

using Layer = std::function<DialerPtr(Environment& environment, DialerPtr below)>;

// How long a layer's opening may take.
inline constexpr Duration kOpeningTimeout = std::chrono::seconds(8);

namespace tls {
// `server_name`: SNI, and what the certificate must be for; empty: the destination's host.
Layer client(std::shared_ptr<ClientContext> context, std::string server_name);
}  // namespace tls

namespace ws {
// The options must be valid (ws::validate).
Layer client(ClientOptions options);
}  // namespace ws

namespace httpupgrade {
// The options must be valid (httpupgrade::validate).
Layer client(ClientOptions options);
}  // namespace httpupgrade

namespace vless {
// UDP takes one stream for each destination, without the flow. With Flow::kVision the layer below must be TLS, over
// TCP, and UDP to port 443 is refused, as Xray's clients do, unless `quic`: the flow is for what takes TCP instead.
Layer client(const Uuid& id, Flow flow = Flow::kNone, bool quic = false);
}  // namespace vless

namespace trojan {
// UDP takes one stream for all destinations.
Layer client(std::string_view password);
}  // namespace trojan

namespace vmess {
// UDP takes one stream for each destination; with `packet_addresses` one for all (winze/proto/packet_address.h), which
// v2fly v5 and sing-box know, and which takes no host names.
Layer client(const Uuid& id, const ClientOptions& options = {}, bool packet_addresses = false);
}  // namespace vmess

namespace socks {
// UDP takes a control stream and a conduit of the dialer below, to the relay that the server names. `server`: where
// that is when the server does not say, and the control stream does not end at it (it goes through another proxy).
Layer client(ClientOptions options, const Destination& server = {});
}  // namespace socks

namespace http {
Layer client(ClientOptions options);
}  // namespace http

namespace shadowsocks {
// UDP takes a conduit of `packets`, or of the dialer below where that is null, to `server`.
Layer client(std::shared_ptr<const Keys> keys, const Destination& server, DialerPtr packets = nullptr);
}  // namespace shadowsocks

}  // namespace winze
