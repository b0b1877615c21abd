#include "winze/tunnel/ipsec_host.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <asio/post.hpp>
#include <list>
#include <utility>

#include "child_table.h"
#include "leases.h"
#include "winze/io/interface.h"

namespace winze::tunnel {
namespace {

// Number of the socket of IKE alone, which is no carrier of the data plane.
constexpr std::uint32_t kIkeSocket = UINT32_MAX;

bool is_link_local(const IpAddress& address) {
  const auto bytes = address.bytes();
  return address.is_v6() ? bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80 : bytes[0] == 169 && bytes[1] == 254;
}

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

struct IpsecHost::State : std::enable_shared_from_this<State> {
  State(Environment& env, IpsecHostOptions host_options, Hooks host_hooks)
      : environment(env),
        options(std::move(host_options)),
        hooks(std::move(host_hooks)),
        leases(options.pools),
        timer(env.clock.make_timer()),
        stop_timer(env.clock.make_timer()) {}

  // --- sockets ---

  absl::Status open(ConduitPtr inner) {
    ike::EngineOptions engine_options = std::move(options.engine);
    engine_options.connections = options.connections;
    if (engine_options.wall_clock == nullptr) engine_options.wall_clock = &environment.clock;
    engine_options.wake = [this] {
      asio::post(environment.executor, [weak = weak_from_this()] {
        if (const auto self = weak.lock(); self && !self->closed) self->arm();
      });
    };
    engine_options.last_heard = [this](ike::SaId sa) { return children->last_heard(sa); };
    engine_options.last_traffic = [this](ike::ChildId child) { return children->last_traffic(child); };
    engine.emplace(std::move(engine_options), environment.random);
    plane.emplace(environment, std::move(inner), options.plane, [this](std::error_code error) { fail(error); });
    RawCarriers raw;
    if (absl::Status status = open_protocol_50(raw); !status.ok()) return status;
    children.emplace(*plane, environment.random, options.path_mtu, raw);
    SocketResult shared = bind(options.nat_port, PathMtu::kDiscover);
    if (shared.error) return absl::UnavailableError(shared.what);
    nat_local = shared.local;
    nat_carrier = plane->add_carrier(DataPlane::Carrier::kUdp, std::move(shared.conduit));
    plane->on_other([this](std::uint32_t carrier, Datagram& datagram) { receive(carrier, datagram); });
    plane->on_age([this](std::uint32_t spi, bool inbound, esp::SaAge age) { grow_old(spi, inbound, age); });
    if (options.port == options.nat_port && options.port != 0) {
      local = nat_local;
      tell_addresses();
      return absl::OkStatus();
    }
    SocketResult alone = bind(options.port, PathMtu::kSystem);
    if (alone.error) return absl::UnavailableError(alone.what);
    local = alone.local;
    ike_socket = std::move(alone.conduit);
    receive_ike();
    tell_addresses();
    return absl::OkStatus();
  }

  // A socket for each IP version.
  absl::Status open_protocol_50(RawCarriers& out) {
    if (!options.protocol_50) return absl::OkStatus();
    const IpAddress any = options.address.value_or(IpAddress());
    for (const IpAddress& at : {IpAddress(), *IpAddress::parse("::")}) {
      if (!any.is_unspecified() && any.is_v6() != at.is_v6()) continue;
      SocketResult raw = open_raw(environment, {.bind = any.is_unspecified() ? at : any,
                                                .socket = {.path_mtu = PathMtu::kDiscover, .mark = options.mark}});
      // A host without IPv6.
      if (raw.error && at.is_v6() && out.v4) continue;
      if (raw.error) return absl::UnavailableError(raw.what);
      (at.is_v6() ? out.v6 : out.v4) = plane->add_carrier(DataPlane::Carrier::kRaw, std::move(raw.conduit), any);
    }
    return absl::OkStatus();
  }

  SocketResult bind(std::uint16_t port, PathMtu path_mtu) {
    UdpOptions udp{.bind = {options.address.value_or(*IpAddress::parse("::")), port},
                   .keeps_area = path_mtu == PathMtu::kDiscover,
                   .socket = {.path_mtu = path_mtu, .mark = options.mark}};
    SocketResult out = open_udp(environment, udp);
    if (!out.error || options.address) return out;
    // A host without IPv6.
    udp.bind.address = IpAddress();
    SocketResult v4 = open_udp(environment, udp);
    return v4.error ? std::move(out) : std::move(v4);
  }

  void receive_ike() {
    ike_socket->receive([weak = weak_from_this()](std::error_code error, std::span<Datagram> datagrams) {
      const auto self = weak.lock();
      if (!self || self->closed) return;
      if (error) return self->fail(error);
      for (Datagram& datagram : datagrams) {
        self->receive(kIkeSocket, datagram);
        if (self->closed) return;
      }
      self->receive_ike();
    });
  }

  void receive(std::uint32_t carrier, Datagram& datagram) {
    if (closed) return;
    const IpAddress* const from = datagram.peer.address();
    const bool stream = carrier != kIkeSocket && carrier != nat_carrier;
    const Endpoint at{datagram.local, stream ? std::uint16_t{0} : port_of(carrier)};
    const ike::Path path{.local = at,
                         .remote = {from == nullptr ? IpAddress() : *from, datagram.peer.port},
                         .carrier = carrier,
                         .marker = carrier != kIkeSocket,
                         .stream = stream};
    engine->receive(environment.clock.now(), path, std::move(datagram.payload));
    pump();
  }

  std::uint16_t port_of(std::uint32_t carrier) const { return carrier == kIkeSocket ? local.port : nat_local.port; }

  void send(ike::Transmit& out) {
    Datagram datagram{.payload = std::move(out.datagram),
                      .peer = Destination(out.path.remote, Network::kUdp),
                      .local = out.path.local.address,
                      .may_be_cut = true};
    if (out.path.carrier == kIkeSocket) {
      if (ike_socket) ike_socket->send(std::span(&datagram, 1));
    } else {
      plane->send(out.path.carrier, std::move(datagram));
    }
  }

  // --- the engine ---

  // After anything that was given to the engine. What handlers give it in turn is seen to by the same loop.
  void pump() {
    if (std::exchange(pumping, true)) return;
    const auto self = shared_from_this();  // a handler may destroy the host
    while (!closed) {
      if (auto out = engine->next_transmit()) {
        send(*out);
      } else if (auto event = engine->next_event()) {
        std::visit([this](auto& e) { handle(e); }, *event);
      } else {
        break;
      }
    }
    pumping = false;
    if (!closed) arm();
  }

  void arm() {
    const TimePoint deadline = engine->deadline();
    if (deadline == kNever) return timer->disarm();
    timer->arm(deadline, [weak = weak_from_this()] {
      const auto state = weak.lock();
      if (!state || state->closed) return;
      state->engine->on_deadline(state->environment.clock.now());
      state->pump();
    });
  }

  // By packets and bytes; the engine keeps the time.
  void grow_old(std::uint32_t spi, bool inbound, esp::SaAge age) {
    const auto child = children->find_current(spi, inbound);
    if (!child) return;
    const TimePoint now = environment.clock.now();
    (void)(age == esp::SaAge::kSoft ? engine->rekey_child(now, *child) : engine->delete_child(now, *child));
    pump();
  }

  // --- events ---

  void tell(const ike::Event& event) {
    if (hooks.on_event) hooks.on_event(event);
  }

  void handle(ike::Up& event) {
    up.insert(event.sa);
    if (event.path.stream) plane->prove(event.path.carrier);
    if (event.replaces != ike::SaId{}) {
      // What takes its place goes where it went, when the network changes.
      if (const auto before = clients.find(event.replaces); before != clients.end()) {
        const Client client = before->second;
        clients.try_emplace(event.sa, client);
      }
      end(event.replaces);
    }
    tell(std::move(event));
  }

  void handle(ike::ChildUp& event) {
    if (absl::Status status = children->add(event); !status.ok()) {
      (void)engine->delete_child(environment.clock.now(), event.child);
      return tell(ike::ChildRefused{
          .sa = event.sa,
          .config = event.config,
          .reason = {
              .stage = ike::Stage::kUp, .cause = ike::Cause::kUnsupported, .text = std::string(status.message())}});
    }
    tell(std::move(event));
  }
  void handle(ike::ChildInbound& event) { must(children->add_inbound(event), event.child, event); }
  void handle(ike::ChildOutbound& event) { must(children->set_outbound(event), event.child, event); }
  // A child with half of its SAs is none.
  template <typename E>
  void must(const absl::Status& status, ike::ChildId child, E& event) {
    if (!status.ok()) {
      (void)engine->delete_child(environment.clock.now(), child);
      return;
    }
    tell(std::move(event));
  }
  void handle(ike::ChildInboundGone& event) {
    children->remove_inbound(event);
    tell(event);
  }
  void handle(ike::ChildDown& event) {
    tell(event);
    if (!closed) children->remove(event.child);
  }
  void handle(ike::ChildRefused& event) { tell(std::move(event)); }
  void handle(ike::Rekeyed& event) { tell(event); }
  void handle(ike::TicketGiven& event) { tell(std::move(event)); }
  void handle(ike::Redirected& event) { tell(std::move(event)); }
  void handle(ike::Migrated& event) {
    children->migrate(event);
    if (event.path.stream) plane->prove(event.path.carrier);
    tell(std::move(event));
  }
  void handle(ike::MoveRefused& event) { tell(std::move(event)); }
  void handle(ike::PathFailing& event) {
    tell(event);
    const auto client = clients.find(event.sa);
    if (closed || client == clients.end()) return;
    Client other = client->second;
    for (const IpAddress& address : event.others) {
      other.gateway.address = address;
      if (move(event.sa, other)) return;
    }
  }
  void handle(ike::Closed& event) {
    end(event.sa);
    tell(std::move(event));
    if (!closed && stopping && up.empty()) finish_stop();
  }

  void end(ike::SaId sa) {
    up.erase(sa);
    clients.erase(sa);
    leases.end(sa);
  }

  // --- questions ---

  Completion completion(ike::QuestionId id) {
    return [weak = weak_from_this(), id](ike::Answer answer) {
      const auto self = weak.lock();
      if (!self || self->closed) return;
      (void)self->engine->answer(self->environment.clock.now(), id, std::move(answer));
      self->pump();
    };
  }

  template <typename Hook, typename Question>
  void ask(Hook& hook, const Question& question) {
    Completion done = completion(question.id);
    if (!hook) return done(ike::Refuse{"nobody answers this question here"});
    hook(question, std::move(done));
  }
  void handle(ike::AskConnection& question) { ask(hooks.connection, question); }
  void handle(ike::AskPsk& question) { ask(hooks.psk, question); }
  void handle(ike::AskAuthorize& question) { ask(hooks.authorize, question); }
  void handle(ike::AskNarrow& question) { ask(hooks.narrow, question); }
  void handle(ike::AskAddresses& question) {
    if (!leases.has_pools(question.connection->name)) return ask(hooks.addresses, question);
    ike::Configuration given = leases.assign(question);
    Completion done = completion(question.id);
    if (given.addresses.empty()) return done(ike::Refuse{"all addresses are taken"});
    done(std::move(given));
  }

  // --- clients ---

  struct Client {
    Endpoint gateway;
    std::optional<IpAddress> from;
  };

  // How the gateway is reached now; none: not at all.
  std::optional<ike::Route> route_to(const Client& client) const {
    std::optional<IpAddress> source = client.from ? client.from : options.address;
    if (source && source->is_v6() != client.gateway.address.is_v6()) source.reset();
    if (!source || source->is_unspecified()) source = source_of(client.gateway.address, options.mark);
    if (!source) return std::nullopt;
    const ike::Path shared{
        .local = {*source, nat_local.port}, .remote = client.gateway, .carrier = nat_carrier, .marker = true};
    if (client.gateway.port != 500 || !ike_socket) return ike::Route{.first = shared, .floated = std::nullopt};
    ike::Route out{.first = shared, .floated = shared};
    out.first.carrier = kIkeSocket;
    out.first.local.port = local.port;
    out.first.marker = false;
    out.floated->remote.port = 4500;
    return out;
  }

  static ike::Route route_by(std::uint32_t carrier) {
    return {.first = {.carrier = carrier, .marker = true, .stream = true}, .floated = std::nullopt};
  }

  bool move(ike::SaId sa, const Client& client) {
    auto route = route_to(client);
    if (!route) return false;
    // It is past port 500.
    if (route->floated) route = ike::Route{.first = *route->floated, .floated = std::nullopt};
    const bool done = engine->move(environment.clock.now(), sa, *route);
    if (done) clients[sa] = client;
    pump();
    return done;
  }

  void network_changed() {
    tell_addresses();
    std::vector<std::pair<ike::SaId, Client>> moved;
    for (const auto& [sa, client] : clients) {
      const auto route = route_to(client);
      const auto info = engine->info(sa);
      if (route && info && info->established && info->path.local.address != route->first.local.address) {
        moved.emplace_back(sa, client);
      }
    }
    for (const auto& [sa, client] : moved) {
      if (!closed) (void)move(sa, client);
    }
  }

  // --- gateways ---

  // Where one address alone is bound, there is no other to come by.
  void tell_addresses() {
    if (options.connections.empty() || options.address) return;
    std::vector<IpAddress> outside = local_addresses();
    std::erase_if(outside, [](const IpAddress& a) { return a.is_loopback() || is_link_local(a); });
    engine->set_addresses(environment.clock.now(), std::move(outside));
    pump();
  }

  // --- the end ---

  void stop(Duration grace, absl::AnyInvocable<void()> done) {
    stopping = true;
    stopped = std::move(done);
    stop_timer->arm(environment.clock.now() + grace, [weak = weak_from_this()] {
      if (const auto self = weak.lock(); self && !self->closed) self->finish_stop();
    });
    engine->set_connections({});
    const std::vector<ike::SaId> all(up.begin(), up.end());
    for (const ike::SaId sa : all) (void)engine->close(environment.clock.now(), sa);
    pump();
    if (!closed && up.empty()) finish_stop();
  }

  void finish_stop() {
    stop_timer->disarm();
    if (stopped) asio::post(environment.executor, std::exchange(stopped, nullptr));
  }

  void fail(std::error_code error) {
    if (closed) return;
    close();
    if (auto handler = std::exchange(hooks.on_fail, nullptr)) handler(error);
  }

  void close() {
    if (std::exchange(closed, true)) return;
    timer->disarm();
    stop_timer->disarm();
    if (ike_socket) ike_socket->close();
    streams.clear();
  }

  Environment& environment;
  IpsecHostOptions options;
  Hooks hooks;
  Leases leases;
  TimerPtr timer, stop_timer;
  std::optional<ike::Engine> engine;
  std::optional<DataPlane> plane;
  std::optional<ChildTable> children;
  std::list<StreamResponder> streams;
  ConduitPtr ike_socket;  // null when all goes through the one that ESP shares
  std::uint32_t nat_carrier = 0;
  Endpoint local, nat_local;
  absl::flat_hash_set<ike::SaId> up;
  absl::flat_hash_map<ike::SaId, Client> clients;
  absl::AnyInvocable<void()> stopped;
  bool pumping = false, stopping = false, closed = false;
};

IpsecHost::IpsecHost(std::shared_ptr<State> state) : state_(std::move(state)) {}

IpsecHost::~IpsecHost() {
  state_->close();
  // Now, although a handler of its may be running: what it refers to may go with the host.
  state_->plane.reset();
}

absl::StatusOr<std::unique_ptr<IpsecHost>> IpsecHost::create(Environment& environment, ConduitPtr inner,
                                                             IpsecHostOptions options, Hooks hooks) {
  auto state = std::make_shared<State>(environment, std::move(options), std::move(hooks));
  if (absl::Status status = state->open(std::move(inner)); !status.ok()) {
    state->close();
    return status;
  }
  return std::unique_ptr<IpsecHost>(new IpsecHost(std::move(state)));
}

absl::StatusOr<ike::SaId> IpsecHost::connect(ike::ConnectionPtr connection, const Endpoint& gateway,
                                             const std::optional<IpAddress>& from, ike::Opening opening) {
  const State::Client client{.gateway = gateway, .from = from};
  const auto route = state_->route_to(client);
  if (!route) return absl::UnavailableError("there is no route to " + gateway.address.to_string());
  const ike::SaId sa =
      state_->engine->initiate(state_->environment.clock.now(), std::move(connection), *route, std::move(opening));
  state_->clients[sa] = client;
  state_->pump();
  return sa;
}

ike::SaId IpsecHost::connect(ike::ConnectionPtr connection, std::uint32_t carrier) {
  const ike::SaId sa =
      state_->engine->initiate(state_->environment.clock.now(), std::move(connection), State::route_by(carrier));
  state_->pump();
  return sa;
}

void IpsecHost::redirect_newcomers(std::optional<ike::Gateway> gateway) {
  state_->engine->redirect_newcomers(std::move(gateway));
}

bool IpsecHost::redirect(ike::SaId sa, ike::Gateway gateway) {
  const bool done = state_->engine->redirect(state_->environment.clock.now(), sa, std::move(gateway));
  state_->pump();
  return done;
}

bool IpsecHost::move(ike::SaId sa, std::uint32_t carrier) {
  const bool done = state_->engine->move(state_->environment.clock.now(), sa, State::route_by(carrier));
  state_->pump();
  return done;
}

bool IpsecHost::move(ike::SaId sa, const Endpoint& gateway, const std::optional<IpAddress>& from) {
  return state_->move(sa, {.gateway = gateway, .from = from});
}

std::optional<IpAddress> IpsecHost::source_for(const IpAddress& gateway) const {
  return source_of(gateway, state_->options.mark);
}
void IpsecHost::on_network_changed() { state_->network_changed(); }

void IpsecHost::accept_streams(ListenerPtr listener, const StreamResponderOptions& options) {
  state_->streams.emplace_back(state_->environment, *state_->plane, std::move(listener), options);
}

bool IpsecHost::rekey(ike::SaId sa) {
  const bool done = state_->engine->rekey(state_->environment.clock.now(), sa);
  state_->pump();
  return done;
}

bool IpsecHost::rekey_child(ike::ChildId child) {
  const bool done = state_->engine->rekey_child(state_->environment.clock.now(), child);
  state_->pump();
  return done;
}

bool IpsecHost::reauthenticate(ike::SaId sa) {
  const bool done = state_->engine->reauthenticate(state_->environment.clock.now(), sa);
  state_->pump();
  return done;
}

bool IpsecHost::add_child(ike::SaId sa, ike::ChildConfigPtr child) {
  const bool done = state_->engine->add_child(state_->environment.clock.now(), sa, std::move(child));
  state_->pump();
  return done;
}

bool IpsecHost::delete_child(ike::ChildId child) {
  const bool done = state_->engine->delete_child(state_->environment.clock.now(), child);
  state_->pump();
  return done;
}

bool IpsecHost::close(ike::SaId sa) {
  const bool done = state_->engine->close(state_->environment.clock.now(), sa);
  state_->pump();
  return done;
}

void IpsecHost::set_connections(std::vector<ike::ConnectionPtr> connections) {
  state_->engine->set_connections(std::move(connections));
}

void IpsecHost::stop(Duration grace, absl::AnyInvocable<void()> done) { state_->stop(grace, std::move(done)); }

std::optional<ike::SaInfo> IpsecHost::info(ike::SaId sa) const { return state_->engine->info(sa); }
std::vector<ike::SaId> IpsecHost::sas() const { return {state_->up.begin(), state_->up.end()}; }
std::optional<ChildCounters> IpsecHost::counters(ike::ChildId child) const { return state_->children->counters(child); }
const ike::Counters& IpsecHost::ike_counters() const { return state_->engine->counters(); }
DataPlane& IpsecHost::plane() { return *state_->plane; }
Endpoint IpsecHost::local() const { return state_->local; }
Endpoint IpsecHost::nat_local() const { return state_->nat_local; }

}  // namespace winze::tunnel
