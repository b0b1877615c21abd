// IKEv2 joined to ESP and to packet I/O: a VPN client, a gateway, or both at once.
//
//   inner packets <--> DataPlane <--> UDP 4500, streams <--> peers
//                         | children come, are rekeyed, move, go
//   IKE messages  <--> ike::Engine <--> UDP 500, 4500, streams
//
// A gateway on a TUN interface, with its network behind it:
//
//   winze::TunResult tun = winze::open_tun(environment, {.name = "vpn0"});
//   winze::tunnel::TunNetwork network(tun.name);
//   auto gateway = winze::tunnel::IpsecHost::create(environment, std::move(tun.conduit), {.connections = {road}},
//       {.on_event = [&](const winze::ike::Event& event) { network.on_event(event); }});
//
// A client calls connect(), or lets an IpsecClient (winze/tunnel/ipsec_client.h) keep its tunnel up. Packets of a host
// that has no TUN interface go through winze/io/callback_conduit.h.
//
// Everything belongs to one executor.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "winze/io/dialer.h"
#include "winze/io/environment.h"
#include "winze/io/listener.h"
#include "winze/io/udp.h"
#include "winze/proto/ike/engine.h"
#include "winze/tunnel/address_pool.h"
#include "winze/tunnel/data_plane.h"
#include "winze/tunnel/stream_carrier.h"

namespace winze::tunnel {

struct IpsecHostOptions {
  // What is taken from peers; none: a client only.
  std::vector<ike::ConnectionPtr> connections;
  // Where UDP is bound; none: all addresses of the host. IKE goes through `port`, IKE and ESP through `nat_port`; 0:
  // one that the system chooses, as a client may. With `port` equal to `nat_port` all goes through that one.
  std::optional<IpAddress> address;
  std::uint16_t port = 500, nat_port = 4500;
  // Also ESP as protocol 50: for connections without `force_encapsulation`, where there is no NAT. Needs CAP_NET_RAW.
  bool protocol_50 = false;
  std::uint32_t mark = 0;       // SO_MARK of what goes out; for routing rules that keep it out of the tunnel
  std::size_t path_mtu = 1500;  // outside, before a path says otherwise
  // Addresses for the clients of a connection with `pool`, by the connection's name: the first pool of a version that
  // has one left. Connections that are not here ask Hooks::addresses.
  std::map<std::string, std::vector<std::shared_ptr<AddressPool>>> pools;
  // Its `connections` are those above, its `wake`, `last_heard` and `last_traffic` are the host's, and its `wall_clock`
  // the environment's if null.
  ike::EngineOptions engine = {};
  // Keepalives are the engine's: only from behind a NAT.
  DataPlaneOptions plane{.keepalive = Duration(0)};
};

// Inner packets of a child since it came up, whatever SAs carried them.
struct ChildCounters {
  std::uint64_t packets_out = 0, bytes_out = 0;
  std::uint64_t packets_in = 0, bytes_in = 0;
};

class IpsecHost {
 public:
  // Told after the host has done its own part: when ChildUp arrives, packets pass. Never a question. ChildDown and
  // Closed come with what the tunnel was; the handlers may call the host, and destroy it.
  using EventHandler = absl::AnyInvocable<void(const ike::Event&)>;
  // To be called once, now or later, on the executor; ike::Refuse is always an answer. A completion that outlives the
  // question, or the host, does nothing.
  using Completion = absl::AnyInvocable<void(ike::Answer)>;
  // Without a hook its question is refused.
  struct Hooks {
    EventHandler on_event;
    absl::AnyInvocable<void(const ike::AskConnection&, Completion)> connection;
    absl::AnyInvocable<void(const ike::AskPsk&, Completion)> psk;
    absl::AnyInvocable<void(const ike::AskAuthorize&, Completion)> authorize;
    absl::AnyInvocable<void(const ike::AskAddresses&, Completion)> addresses;
    absl::AnyInvocable<void(const ike::AskNarrow&, Completion)> narrow;
    // The inner conduit or the UDP sockets failed; nothing works any more.
    absl::AnyInvocable<void(std::error_code)> on_fail;
  };

  // Opens the sockets. Fails with "bind to [::]:500: Address already in use".
  static absl::StatusOr<std::unique_ptr<IpsecHost>> create(Environment& environment, ConduitPtr inner,
                                                           IpsecHostOptions options, Hooks hooks);
  ~IpsecHost();
  IpsecHost(const IpsecHost&) = delete;
  IpsecHost& operator=(const IpsecHost&) = delete;

  // A client's IKE SA to a gateway's port 500, from where it goes on to its 4500; or to any other port, where IKE and
  // ESP share it. `from`: this host's address to use; none: the one that the route has. An error where no route leads
  // there.
  absl::StatusOr<ike::SaId> connect(ike::ConnectionPtr connection, const Endpoint& gateway,
                                    const std::optional<IpAddress>& from = std::nullopt, ike::Opening opening = {});
  // The same over a stream (RFC 9329), a carrier of StreamOriginator.
  ike::SaId connect(ike::ConnectionPtr connection, std::uint32_t carrier);
  // Sends clients who follow to another gateway: strangers from now on, or one that is here (ike/engine.h).
  void redirect_newcomers(std::optional<ike::Gateway> gateway);
  bool redirect(ike::SaId sa, ike::Gateway gateway);
  // Another stream in place of the one that the SA had.
  bool move(ike::SaId sa, std::uint32_t carrier);
  // Another address of the gateway, or another one of ours.
  bool move(ike::SaId sa, const Endpoint& gateway, const std::optional<IpAddress>& from = std::nullopt);
  // This host's address for what it says to a gateway itself, outside of all tunnels; none: there is no way there.
  std::optional<IpAddress> source_for(const IpAddress& gateway) const;
  // This host's addresses or routes are others now: clients' SAs go on by the ones that there are (RFC 4555). A
  // gateway's peers move by themselves, and are told of its addresses.
  void on_network_changed();

  // Takes IKE and ESP from streams, beside UDP.
  void accept_streams(ListenerPtr listener, const StreamResponderOptions& options = {});

  // Of ike::Engine; what they do shows in events.
  bool rekey(ike::SaId sa);
  bool rekey_child(ike::ChildId child);
  bool reauthenticate(ike::SaId sa);
  bool add_child(ike::SaId sa, ike::ChildConfigPtr child);
  bool delete_child(ike::ChildId child);
  bool close(ike::SaId sa);
  void set_connections(std::vector<ike::ConnectionPtr> connections);
  // Tells every peer that its tunnel ends; `done` when all have answered, at the latest `grace` after now.
  void stop(Duration grace, absl::AnyInvocable<void()> done);

  std::optional<ike::SaInfo> info(ike::SaId sa) const;
  std::vector<ike::SaId> sas() const;  // those that are up
  std::optional<ChildCounters> counters(ike::ChildId child) const;
  const ike::Counters& ike_counters() const;
  DataPlane& plane();
  // Where UDP is bound: for IKE alone, and for IKE and ESP.
  Endpoint local() const;
  Endpoint nat_local() const;

 private:
  struct State;
  explicit IpsecHost(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace winze::tunnel
