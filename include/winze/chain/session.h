// One connection or UDP session that a server has taken in, from its first byte to its record in the log.
#pragma once

#include <absl/functional/any_invocable.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "winze/base/time.h"
#include "winze/chain/users.h"
#include "winze/io/codec_stream.h"
#include "winze/io/dialer.h"
#include "winze/io/packet_listener.h"
#include "winze/io/relay.h"
#include "winze/proto/http/forward_request.h"
#include "winze/proto/proxy_codec.h"

namespace winze::chain {

class Associations;

// What is known of a connection, and reported when it ends.
struct Connection {
  std::string inbound;  // tags
  std::string outbound;
  Endpoint source;  // as the socket, or a trusted PROXY protocol header, says
  std::string user;
  Destination destination;  // of a SOCKS5 association: everyone()
  std::string server_name;  // of the TLS handshake, if there was one
  std::string alpn;
  // At the end:
  std::uint64_t up = 0;  // bytes of payload
  std::uint64_t down = 0;
  std::uint64_t spliced = 0;  // of both, those that the kernel moved from socket to socket
  Duration duration{0};
  std::error_code error;
  std::string stage;   // where it failed: "tls", "vless", "user", "dial", "relay"; empty: it did not
  std::string detail;  // what the error code does not say
};

// The timers of V2Ray's policy; but zero is no limit here, for all of them.
struct Policy {
  Duration handshake{std::chrono::seconds(4)};  // from the accept to the request
  Duration idle{std::chrono::seconds(300)};     // connIdle
  Duration uplink_only{std::chrono::seconds(2)};
  Duration downlink_only{std::chrono::seconds(5)};
};

// What has passed by an inbound or an outbound. As with Traffic one executor writes it, and who reads adds up.
struct TagTraffic : Traffic {
  std::atomic<std::uint64_t> connections{0};  // open
  std::atomic<std::uint64_t> connections_total{0};
};

// Where a request goes: a dialer, the tag to log, and where to count. A null dialer refuses.
struct Route {
  std::string outbound;
  DialerPtr dialer;
  std::shared_ptr<TagTraffic> traffic = nullptr;  // may be null
};
using Router = std::function<Route(const Connection& connection)>;

// Where a connection that does not speak the proxy protocol goes (VLESS and Trojan fallbacks).
struct FallbackTarget {
  DialerPtr dialer;
  int proxy_protocol = 0;  // version of the PROXY protocol header to send first; 0: none
};
using FallbackChooser =
    std::function<std::optional<FallbackTarget>(const Connection& connection, std::span<const std::uint8_t> first)>;

// One server side of a chain, shared by its connections. The factories are called once per connection.
struct Inbound {
  std::string tag;
  Policy policy;                                         // until the user is known
  std::function<Policy(std::uint32_t level)> policy_of;  // from then on; may be empty
  // The layers below the proxy protocol, lowest first (PROXY protocol, TLS, WebSocket), each with its name for errors.
  struct Transport {
    std::string name;
    std::function<std::unique_ptr<StreamCodec>()> make;
    // Called when the layer is open, to note what it learnt (SNI, the real source).
    std::function<void(StreamCodec&, Connection&)> learn;
  };
  std::vector<Transport> transports;
  // The proxy protocol; without one all connections go to `destination` (dokodemo-door).
  std::string protocol;
  std::function<std::unique_ptr<ProxyServerCodec>(const Connection&)> make_proxy;
  Destination destination;
  // How a client that asks for UDP is served; with neither of these it is refused.
  //
  // In the stream of its request (VLESS, VMess, Trojan): the conduit of the datagrams in it. Where their frames say
  // whom each is for the request's destination is everyone(). May be empty.
  std::function<ConduitPtr(Environment&, StreamPtr, const ProxyRequest&)> packets_in_stream;
  // By a UDP socket of its own (SOCKS5), from and to the address that the client has connected from.
  bool associates = false;
  // What UDP sessions speak, whose datagrams say themselves where they go (Shadowsocks); without it they too go to
  // `destination`. Called once per listener.
  std::function<std::unique_ptr<SessionProtocol>()> make_sessions;
  std::optional<IpAddress> associate_at;  // where that socket listens; none: where the client has connected to
  // Serves plain HTTP requests that the proxy codec leaves to us (ProxyServerCodec::is_forward); none: refused.
  std::optional<http::ForwardOptions> forward;
  // Connections to a multiplexing protocol's own host carry others (winze/proto/mux), each of which is served like one
  // that was accepted: it has its own route and record, with the source and user of the carrier.
  struct Mux {
    bool accepts = true;             // otherwise they are refused
    bool wants_padding = false;      // of sing-mux's only those with padding
    std::size_t max_streams = 1024;  // at once on a carrier; more are refused
  } mux;
  FallbackChooser fallback;  // may be empty
  Router router;
  // Who may use it now, and on what terms, of those whom the proxy protocol names; null: all of them, without limits.
  std::shared_ptr<Users> users;
  // Keeps what XUDP's global ids stand for (winze/chain/associations.h); null: they mean nothing.
  std::shared_ptr<Associations> associations;
  std::shared_ptr<TagTraffic> traffic;            // where to count; may be null
  std::function<void(const Connection&)> on_end;  // may be empty
};

// Serves `stream`. Dropping the Pending ends the connection. `done` is called after on_end, never
// inside this call.
Pending serve(Environment& environment, std::shared_ptr<const Inbound> inbound, StreamPtr stream,
              absl::AnyInvocable<void()> done);
// Serves a UDP session of `source` by relaying it to the inbound's destination, or where none is set to those that its
// datagrams name; what concerns streams means nothing.
Pending serve(Environment& environment, std::shared_ptr<const Inbound> inbound, ConduitPtr conduit,
              const SessionSource& source, absl::AnyInvocable<void()> done);

}  // namespace winze::chain
