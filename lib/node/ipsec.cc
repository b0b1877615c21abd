#include "winze/node/ipsec.h"

#include <algorithm>
#include <asio/post.hpp>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include "ipsec_connections.h"
#include "ipsec_traps.h"
#include "winze/base/ascii.h"
#include "winze/base/status.h"
#include "winze/io/network_watch.h"
#include "winze/io/tcp.h"
#include "winze/io/tun.h"
#include "winze/io/udp.h"
#include "winze/tunnel/describe.h"
#include "winze/tunnel/ipsec_client.h"
#include "winze/tunnel/tun_network.h"

namespace winze::node {
namespace {

absl::Status invalid(const std::string& path, std::string_view what) {
  return absl::InvalidArgumentError(path + ": " + std::string(what));
}

using Connections = std::map<std::string, ike::ConnectionPtr>;

ike::Gateway gateway_of(const std::string& text) {
  const auto address = IpAddress::parse(text);
  return address ? ike::Gateway{.address = *address, .name = {}} : ike::Gateway{.address = {}, .name = text};
}

bool starts(const IpsecConnection& connection) {
  return std::ranges::any_of(connection.children,
                             [](const IpsecChild& c) { return c.start_action == IpsecChild::Start::kStart; });
}

}  // namespace

struct Ipsec::Parts : std::enable_shared_from_this<Parts> {
  Parts(Environment& env, IpsecOptions ipsec_options, IpsecSettings ipsec_settings, Handlers ipsec_handlers)
      : environment(env),
        options(std::move(ipsec_options)),
        settings(std::move(ipsec_settings)),
        handlers(std::move(ipsec_handlers)) {}
  ~Parts() {
    if (key_log != nullptr) std::fclose(key_log);
  }

  absl::Status open() {
    tunnel::IpsecHostOptions host_options;
    host_options.protocol_50 = protocol_50 = may_send_protocol_50();
    if (absl::Status status = make_connections(host_options); !status.ok()) return status;
    if (absl::Status status = open_key_log(host_options.engine); !status.ok()) return status;
    if (absl::Status status = open_inner(host_options); !status.ok()) return status;
    auto made = tunnel::IpsecHost::create(environment, std::move(settings.inner), std::move(host_options), hooks());
    if (!made.ok()) return made.status();
    host = std::move(*made);
    if (!options.redirect_to.empty()) host->redirect_newcomers(gateway_of(options.redirect_to));
    if (absl::Status status = open_tcp(); !status.ok()) return status;
    for (const IpsecConnection& connection : options.connections) {
      if (absl::Status status = set_traps(connection); !status.ok()) return status;
      if (!begins(connection)) continue;
      if (absl::Status status = begin(connection); !status.ok()) return status;
    }
    host->plane().on_stranded([this](const ip::Flow& flow) { spring(flow); });
    if (settings.respond || !clients.empty() || !traps.empty()) {
      watch.emplace(environment, [this] {
        host->on_network_changed();
        for (auto& [name, client] : clients) client.on_network_changed();
      });
    }
    return absl::OkStatus();
  }

  bool begins(const IpsecConnection& connection) const {
    return settings.initiate.empty() ? starts(connection) : connection.name == settings.initiate;
  }

  // Where a connection wants it, and the system allows it.
  bool may_send_protocol_50() {
    const auto wants = [](const IpsecConnection& c) { return c.encap == false; };
    if (std::ranges::none_of(options.connections, wants)) return false;
    const SocketResult probe = open_raw(environment, {.bind = IpAddress()});
    if (probe.error) say(Severity::kWarning, "encap = no: ESP goes in UDP all the same, for " + probe.what);
    return !probe.error;
  }

  absl::Status make_connections(tunnel::IpsecHostOptions& out) {
    auto made = read_connections();
    if (!made.ok()) return made.status();
    connections = std::move(*made);
    if (!settings.initiate.empty() && !connections.contains(settings.initiate)) {
      return absl::NotFoundError("there is no connection \"" + settings.initiate + "\"");
    }
    out.connections = served();
    auto pools = make_pools(options);
    if (!pools.ok()) return pools.status();
    out.pools = std::move(*pools);
    out.engine.cookie_threshold = options.limits.cookie_threshold == 0 ? SIZE_MAX : options.limits.cookie_threshold;
    out.engine.source_cookie_threshold = options.limits.cookie_threshold_ip;
    out.engine.source_half_open_limit = options.limits.block_threshold;
    out.engine.half_open_timeout = options.limits.half_open_timeout;
    out.port = settings.port.value_or(settings.respond ? 500 : 0);
    out.nat_port = settings.nat_port.value_or(settings.respond ? 4500 : 0);
    return absl::OkStatus();
  }

  absl::StatusOr<Connections> read_connections() const {
    auto credentials = IpsecCredentials::load(options);
    if (!credentials.ok()) return credentials.status();
    const EapSurroundings around{.random = &environment.random, .clock = &environment.clock};
    Connections out;
    for (const IpsecConnection& connection : options.connections) {
      auto made = make_connection(options, *credentials, around, connection);
      if (!made.ok()) return made.status();
      if (!protocol_50) (*made)->force_encapsulation = true;
      out[connection.name] = std::move(*made);
    }
    return out;
  }

  // In the order of the configuration.
  std::vector<ike::ConnectionPtr> served() const {
    std::vector<ike::ConnectionPtr> out;
    for (const IpsecConnection& connection : options.connections) {
      if (settings.respond) out.push_back(connections.at(connection.name));
    }
    return out;
  }

  absl::Status reload() {
    auto made = read_connections();
    if (!made.ok()) return made.status();
    connections = std::move(*made);
    host->set_connections(served());
    for (auto& [name, client] : clients) client.set_connection(connections.at(name));
    return absl::OkStatus();
  }

  absl::Status open_key_log(ike::EngineOptions& engine) {
    if (options.key_log_file.empty()) return absl::OkStatus();
    key_log = std::fopen(options.key_log_file.c_str(), "ae");
    if (key_log == nullptr) return invalid("key_log_file", options.key_log_file + " cannot be written");
    engine.key_log = [file = key_log](std::string_view line) {
      std::fprintf(file, "%.*s\n", static_cast<int>(line.size()), line.data());
      std::fflush(file);
    };
    return absl::OkStatus();
  }

  absl::Status open_inner(tunnel::IpsecHostOptions& out) {
    if (settings.inner) return absl::OkStatus();
    TunResult tun = open_tun(environment, {.name = options.interface, .mtu = options.mtu});
    if (tun.error) return absl::UnavailableError(tun.what);
    network.emplace(tun.name);
    out.mark = tunnel::TunNetworkOptions().mark;
    settings.inner = std::move(tun.conduit);
    return absl::OkStatus();
  }

  absl::Status open_tcp() {
    if (options.tcp_port == 0) return absl::OkStatus();
    ListenResult listening = tcp_listen(environment, {*IpAddress::parse("::"), options.tcp_port});
    if (listening.error) return absl::UnavailableError(listening.what);
    host->accept_streams(std::move(listening.listener));
    return absl::OkStatus();
  }

  absl::Status begin(const IpsecConnection& from) {
    const ike::LocalAuth& own = connections.at(from.name)->local;
    if (own.method == ike::AuthMethod::kEap && !own.eap) {
      return invalid(from.remote.front().path + ".id", "the gateway's name is needed: it proves itself by EAP alone");
    }
    tunnel::IpsecClientOptions client{
        .connection = connections.at(from.name),
        .gateways = {},
        .from = {},
        .dialer = nullptr,
        .tries = from.keyingtries,
        .keep_lost = after_end(from, true, settings.keep) == IpsecChild::Start::kStart,
        .keep_closed = after_end(from, false, settings.keep) == IpsecChild::Start::kStart};
    if (!from.outbound.empty()) {
      client.dialer = settings.outbound ? settings.outbound(from.outbound) : nullptr;
      if (!client.dialer) return invalid(from.path + ".outbound", "there is no outbound \"" + from.outbound + "\"");
    }
    const std::uint16_t port = client.dialer && from.remote_port == 500 ? 4500 : from.remote_port;
    for (const std::string& text : from.remote_addrs) {
      if (text.starts_with('%') || text.find('/') != text.npos) continue;
      const auto address = IpAddress::parse(text);
      const Network network_of = client.dialer ? Network::kTcp : Network::kUdp;
      client.gateways.push_back(address ? Destination(*address, port, network_of)
                                        : Destination(text, port, network_of));
    }
    if (client.gateways.empty()) return invalid(from.path + ".remote_addrs", "an address or a name is needed to begin");
    for (const std::string& text : from.local_addrs) {
      if (const auto address = IpAddress::parse(text)) client.from = *address;
    }
    ++running;
    clients.erase(from.name);
    clients.try_emplace(from.name, environment, *host, std::move(client),
                        tunnel::IpsecClient::Handlers{.on_up = nullptr,
                                                      .on_down = [this, &from](const ike::Reason& reason, bool again) {
                                                        on_down(from, reason, again);
                                                      }});
    return absl::OkStatus();
  }

  void on_down(const IpsecConnection& from, const ike::Reason& reason, bool again) {
    say(Severity::kWarning, from.name + ": " + reason.to_string() + (again ? ", will be tried again" : ""));
    if (again) return;
    ended.insert(from.name);
    const bool lost = reason.cause == ike::Cause::kTimedOut;
    for (const IpsecChild& child : from.children) {
      if (after_end(child, lost, settings.keep) != IpsecChild::Start::kTrap) continue;
      if (absl::Status status = set_trap(from, child); !status.ok()) {
        say(Severity::kWarning, std::string(status.message()));
      }
    }
    if (--running == 0 && traps.empty() && handlers.on_end) handlers.on_end();
  }

  // --- children that traffic begins ---

  absl::Status set_traps(const IpsecConnection& from) {
    absl::Status out;
    for (const IpsecChild& child : from.children) {
      if (child.start_action == IpsecChild::Start::kTrap) out.Update(set_trap(from, child));
    }
    return out;
  }

  absl::Status set_trap(const IpsecConnection& from, const IpsecChild& child) {
    auto trap = traps.add(from, child);
    if (!trap.ok()) return trap.status();
    if (*trap == nullptr) return absl::OkStatus();
    const std::error_code error = network ? network->trap((*trap)->selectors) : std::error_code();
    if (error) say(Severity::kError, network->interface() + ": routes: " + error.message());
    say(Severity::kInfo, from.name + ": child " + child.name + " waits for traffic");
    return absl::OkStatus();
  }

  // From within the data plane: what is begun is begun later.
  void spring(const ip::Flow& flow) {
    const IpsecTraps::Trap* const trap = traps.spring(flow, environment.clock.now());
    if (trap == nullptr) return;
    asio::post(environment.executor, [weak = weak_from_this(), connection = trap->connection, child = trap->child] {
      if (const auto self = weak.lock(); self && self->host) self->begin_child(connection, child);
    });
  }

  void begin_child(const std::string& name, const std::string& child_name) {
    const auto from = std::ranges::find(options.connections, name, &IpsecConnection::name);
    const auto client = clients.find(name);
    const bool known = client != clients.end() && !ended.contains(name);
    const auto info = known && client->second.sa() ? host->info(*client->second.sa()) : std::nullopt;
    if (known && !(info && info->established)) return;  // it is on its way
    say(Severity::kInfo, name + ": traffic for child " + child_name);
    if (known) return (void)host->add_child(*client->second.sa(), child_config(name, child_name));
    ended.erase(name);
    if (absl::Status status = begin(*from); !status.ok()) say(Severity::kError, message_of(status));
  }

  ike::ChildConfigPtr child_config(const std::string& connection, const std::string& child) const {
    const auto& all = connections.at(connection)->children;
    return *std::ranges::find_if(all, [&](const ike::ChildConfigPtr& config) { return config->name == child; });
  }

  // The peer has ended one child of a tunnel of ours that goes on.
  void on_child_down(const ike::ChildDown& event) {
    const auto info = host->info(event.sa);
    const auto known = children.find(event.child);
    if (!info || !info->established || known == children.end()) return;
    if (event.reason.cause != ike::Cause::kClosedByPeer) return;
    for (const auto& [name, client] : clients) {
      if (client.sa() != event.sa) continue;
      const auto from = std::ranges::find(options.connections, name, &IpsecConnection::name);
      const auto child = std::ranges::find(from->children, known->second.name, &IpsecChild::name);
      if (child == from->children.end()) return;
      const IpsecChild::Start next = after_end(*child, false, false);
      if (next == IpsecChild::Start::kStart) (void)host->add_child(event.sa, child_config(name, child->name));
      if (next == IpsecChild::Start::kTrap) set_trap(*from, *child).IgnoreError();
    }
  }

  tunnel::IpsecHost::Hooks hooks() {
    return {
        .on_event = [this](const ike::Event& event) { on_event(event); },
        .psk =
            [this](const ike::AskPsk& question, tunnel::IpsecHost::Completion done) {
              const Secret* secret = find_secret(options, IpsecSecret::Kind::kIke, question.local, question.remote);
              if (secret != nullptr) return done(*secret);
              done(ike::Refuse{"no secret for " + question.local.to_string() + " and " + question.remote.to_string()});
            },
        .authorize = [this](const ike::AskAuthorize& question,
                            tunnel::IpsecHost::Completion done) { done(authorize(question)); },
        .on_fail =
            [this](std::error_code error) {
              say(Severity::kError, "ipsec: " + error.message());
              if (handlers.on_end) handlers.on_end();
            }};
  }

  ike::Answer authorize(const ike::AskAuthorize& question) const {
    const auto from = std::ranges::find(options.connections, question.connection->name, &IpsecConnection::name);
    for (const IpsecAuth& remote : from->remote) {
      if (remote.method != IpsecAuth::Method::kEap || takes_eap_identity(remote, question.eap_identity)) continue;
      return ike::Refuse{"EAP has proved \"" + printable(question.eap_identity) + "\", whom " + remote.path +
                         " does not take"};
    }
    if (!from->redirect_to.empty()) return gateway_of(from->redirect_to);
    return ike::Allow{};
  }

  void on_event(const ike::Event& event) {
    if (network) {
      if (const std::error_code error = network->on_event(event)) {
        say(Severity::kError, network->interface() + ": addresses and routes: " + error.message());
      }
    }
    const std::string line = tunnel::describe(event);
    if (!line.empty()) say(Severity::kInfo, line);
    const auto self = shared_from_this();
    for (auto& [name, client] : clients) client.on_event(event);
    if (const auto* up = std::get_if<ike::Up>(&event)) note(*up);
    if (const auto* up = std::get_if<ike::ChildUp>(&event)) {
      children[up->child] = {up->sa, up->config->name};
      for (const auto& [name, client] : clients) {
        if (client.sa() == up->sa) traps.came_up(name, up->config->name);
      }
    }
    if (const auto* down = std::get_if<ike::ChildDown>(&event)) {
      on_child_down(*down);
      children.erase(down->child);
    }
    if (handlers.on_event) handlers.on_event(event);
  }

  void note(const ike::Up& event) {
    for (auto& [id, child] : children) {
      if (child.sa == event.replaces) child.sa = event.sa;
    }
  }

  void say(Severity severity, std::string_view text) {
    if (handlers.on_message) handlers.on_message(severity, text);
  }

  Environment& environment;
  IpsecOptions options;
  IpsecSettings settings;
  Handlers handlers;
  std::FILE* key_log = nullptr;
  bool protocol_50 = false;  // ESP may go without UDP
  Connections connections;
  struct Child {
    ike::SaId sa{};
    std::string name;
  };
  std::map<ike::ChildId, Child> children;
  IpsecTraps traps;
  std::optional<tunnel::TunNetwork> network;
  std::unique_ptr<tunnel::IpsecHost> host;
  std::map<std::string, tunnel::IpsecClient> clients;  // by their connections
  std::set<std::string> ended;                         // those that have given up, or wait for traffic
  std::optional<NetworkWatch> watch;
  std::size_t running = 0;  // clients that have not given up
};

Ipsec::Ipsec(std::shared_ptr<Parts> parts) : parts_(std::move(parts)) {}
Ipsec::~Ipsec() {
  parts_->watch.reset();
  parts_->clients.clear();
  parts_->host.reset();
}

absl::StatusOr<std::unique_ptr<Ipsec>> Ipsec::create(Environment& environment, const IpsecOptions& options,
                                                     IpsecSettings settings, Handlers handlers) {
  auto parts = std::make_shared<Parts>(environment, options, std::move(settings), std::move(handlers));
  std::unique_ptr<Ipsec> out(new Ipsec(parts));
  if (absl::Status status = parts->open(); !status.ok()) return status;
  return out;
}

absl::Status Ipsec::check(const IpsecOptions& options) {
  auto credentials = IpsecCredentials::load(options);
  if (!credentials.ok()) return credentials.status();
  for (const IpsecConnection& connection : options.connections) {
    if (absl::Status status = make_connection(options, *credentials, {}, connection).status(); !status.ok())
      return status;
  }
  IpsecTraps traps;
  for (const IpsecConnection& connection : options.connections) {
    for (const IpsecChild& child : connection.children) {
      if (child.start_action != IpsecChild::Start::kTrap) continue;
      if (auto trap = traps.add(connection, child); !trap.ok()) return trap.status();
    }
  }
  return make_pools(options).status();
}

tunnel::IpsecHost& Ipsec::host() { return *parts_->host; }

const std::string& Ipsec::interface() const {
  static const std::string kNone;
  return parts_->network ? parts_->network->interface() : kNone;
}

std::size_t Ipsec::rekey_all() {
  std::vector<ike::ChildId> all;
  for (const auto& [child, known] : parts_->children) all.push_back(child);
  for (const ike::ChildId child : all) (void)parts_->host->rekey_child(child);
  const std::vector<ike::SaId> sas = parts_->host->sas();
  for (const ike::SaId sa : sas) (void)parts_->host->rekey(sa);
  return sas.size();
}

absl::Status Ipsec::reload() { return parts_->reload(); }

void Ipsec::stop(Duration grace, absl::AnyInvocable<void()> done) {
  parts_->watch.reset();
  for (auto& [name, client] : parts_->clients) client.close();
  parts_->host->stop(grace, std::move(done));
}

}  // namespace winze::node
