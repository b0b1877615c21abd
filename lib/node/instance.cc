#include "winze/node/instance.h"

#include <asio/post.hpp>
#include <charconv>
#include <utility>

#include "inbounds.h"
#include "outbounds.h"
#include "winze/base/status.h"
#include "winze/io/packet_listener.h"
#include "winze/io/tcp.h"

namespace winze::node {

struct Instance::Parts {
  Environment& environment;
  const NodeOptions& options;
  std::shared_ptr<TlsContexts> contexts;
  Log& log;
  std::shared_ptr<Ledger> ledger;
  Commons commons;
  std::shared_ptr<chain::Associations> associations;
  // Of the first of several instances:
  TimerPtr saving;
  std::unique_ptr<Plugins::Running> plugins;

  void save_later();
  void save();
  std::vector<Outbound> outbounds;
  std::vector<std::shared_ptr<chain::Inbound>> inbounds;
  std::vector<std::unique_ptr<chain::Server>> servers;
  std::size_t draining = 0;
  absl::AnyInvocable<void()> drained;
};

namespace {

// What a crash may lose of the salts that were seen.
constexpr Duration kSaveEvery = std::chrono::minutes(1);

bool is_unix(std::string_view listen) { return listen.starts_with('/') || listen.starts_with('@'); }

absl::Status failed(const InboundOptions& inbound, const std::string& what) {
  return absl::UnavailableError(inbound.path + ": " + what);
}

absl::Status invalid(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(path + ": " + what);
}

ListenResult open_unix(Environment& environment, std::string_view listen) {
  unsigned mode = 0;
  const std::size_t comma = listen.rfind(',');
  if (comma != listen.npos) {
    std::from_chars(listen.data() + comma + 1, listen.data() + listen.size(), mode, 8);
    listen = listen.substr(0, comma);
  }
  return unix_listen(environment, listen, mode);
}

// TCP, UDP.
std::pair<bool, bool> networks_of(const InboundOptions& inbound) {
  if (const auto* ss = std::get_if<ShadowsocksInbound>(&inbound.settings)) return {ss->tcp, ss->udp};
  const auto* door = std::get_if<DokodemoInbound>(&inbound.settings);
  return door != nullptr ? std::pair(door->tcp, door->udp) : std::pair(true, false);
}

TcpListenOptions to_tcp_options(const InboundOptions& inbound, bool share_ports) {
  return {.socket = to_socket_options(inbound.stream.socket),
          .reuse_port = share_ports,
          .v6_only = inbound.stream.socket.v6_only};
}

UdpOptions to_udp_options(const InboundOptions& inbound, const Endpoint& at, bool share_ports) {
  const SocketSettings& socket = inbound.stream.socket;
  return {.bind = at,
          .reuse_port = share_ports,
          .v6_only = socket.v6_only,
          .socket = {.mark = socket.mark, .interface = socket.interface}};
}

absl::Status check_place(const InboundOptions& inbound) {
  const std::string where = inbound.path + ".listen";
  if (!is_unix(inbound.listen)) {
    if (IpAddress::parse(inbound.listen)) return absl::OkStatus();
    return invalid(where, "cannot listen on \"" + inbound.listen + "\": an IP address or a socket's path is wanted");
  }
  const bool udp = networks_of(inbound).second;
  return udp ? invalid(where, "UDP needs an IP address to listen on") : absl::OkStatus();
}

// Of the inbounds, or the outbounds; those without a tag are no matter.
template <typename Options>
absl::Status check_tags(const std::vector<Options>& all) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!all[i].tag.empty() && all[i].tag == all[j].tag) {
        return invalid(all[i].path + ".tag", all[j].path + " has the tag \"" + all[i].tag + "\" already");
      }
    }
  }
  return absl::OkStatus();
}

// What shows in the options alone, before anything is made from them.
absl::Status check(const NodeOptions& options) {
  for (const InboundOptions& inbound : options.inbounds) {
    if (absl::Status status = check_place(inbound); !status.ok()) return status;
  }
  if (absl::Status status = check_tags(options.inbounds); !status.ok()) return status;
  const bool for_ipsec_alone = options.inbounds.empty() && !options.ipsec.empty();
  if (options.outbounds.empty() && !for_ipsec_alone)
    return absl::InvalidArgumentError("outbounds: at least one is needed");
  return check_tags(options.outbounds);
}

}  // namespace

void Instance::Parts::save_later() {
  if (!saving) saving = environment.clock.make_timer();
  saving->arm(environment.clock.now() + kSaveEvery, [this] {
    save();
    save_later();
  });
}

void Instance::Parts::save() {
  if (const absl::Status status = commons.salts->save(); !status.ok())
    log.message(Severity::kError, message_of(status));
}

Instance::Instance(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Instance::~Instance() { parts_->associations->close(); }

absl::StatusOr<Commons> Commons::create(const NodeOptions& options, UnixTime now) {
  auto salts = SaltFiles::create(options, now);
  if (!salts.ok()) return salts.status();
  auto plugins = Plugins::create(options);
  if (!plugins.ok()) return plugins.status();
  SharedLimits carriers;
  for (std::size_t i = 0; i < options.outbounds.size(); ++i) {
    carriers.push_back(std::make_shared<mux::sing::SharedLimit>());
  }
  return Commons{std::move(*salts), std::move(*plugins), chain::make_association_table(),
                 std::make_shared<const SharedLimits>(std::move(carriers))};
}

absl::StatusOr<std::unique_ptr<Instance>> Instance::create(Environment& environment, const NodeOptions& options,
                                                           std::shared_ptr<TlsContexts> contexts, Log& log,
                                                           std::shared_ptr<Ledger> ledger, Commons commons) {
  if (absl::Status status = check(options); !status.ok()) return status;
  if (!ledger) {
    auto own = Ledger::create(options);
    if (!own.ok()) return own.status();
    ledger = std::move(*own);
  }
  if (!commons.salts || !commons.plugins || !commons.associations || !commons.carriers) {
    auto own = Commons::create(options, environment.clock.unix_now());
    if (!own.ok()) return own.status();
    if (!commons.salts) commons.salts = std::move(own->salts);
    if (!commons.plugins) commons.plugins = std::move(own->plugins);
    if (!commons.associations) commons.associations = std::move(own->associations);
    if (!commons.carriers) commons.carriers = std::move(own->carriers);
  }
  std::unique_ptr<Parts> parts(new Parts{.environment = environment,
                                         .options = options,
                                         .contexts = std::move(contexts),
                                         .log = log,
                                         .ledger = std::move(ledger),
                                         .commons = std::move(commons)});
  parts->associations = std::make_shared<chain::Associations>(environment, parts->commons.associations);
  auto outbounds =
      make_outbounds(environment, options, *parts->contexts, *parts->commons.plugins, *parts->commons.carriers);
  if (!outbounds.ok()) return outbounds.status();
  parts->outbounds = std::move(*outbounds);
  const auto first_traffic = parts->outbounds.empty() ? nullptr : parts->ledger->count_outbound(0);
  for (std::size_t i = 0; i < options.inbounds.size(); ++i) {
    auto inbound = make_inbound(environment, options, i, *parts->contexts, *parts->ledger, *parts->commons.salts);
    if (!inbound.ok()) return inbound.status();
    const Outbound& first = parts->outbounds.front();
    (*inbound)->router = [&first, first_traffic](const chain::Connection&) {
      return chain::Route{.outbound = first.tag, .dialer = first.dialer, .traffic = first_traffic};
    };
    (*inbound)->associations = parts->associations;
    (*inbound)->on_end = [&log](const chain::Connection& connection) { log.on_connection(connection); };
    parts->inbounds.push_back(std::move(*inbound));
  }
  return std::unique_ptr<Instance>(new Instance(std::move(parts)));
}

absl::Status Instance::listen(const Share& share) {
  Parts& p = *parts_;
  if (share.index == 0) {
    if (absl::Status status = p.commons.salts->begin(); !status.ok()) return status;
  }
  const bool share_ports = share.count > 1;
  auto serve = [&](auto result, std::size_t i) {
    if (result.error) return failed(p.options.inbounds[i], result.what);
    p.servers.push_back(std::make_unique<chain::Server>(p.environment, std::move(result.listener), p.inbounds[i]));
    return absl::OkStatus();
  };
  for (std::size_t i = 0; i < p.options.inbounds.size(); ++i) {
    const InboundOptions& inbound = p.options.inbounds[i];
    const auto [tcp, udp] = networks_of(inbound);
    const auto sessions = [&make = p.inbounds[i]->make_sessions] { return make ? make() : nullptr; };
    absl::Status status;
    if (is_unix(inbound.listen)) {
      if (share.index == 0) status = serve(open_unix(p.environment, inbound.listen), i);
    } else {
      const IpAddress address = *IpAddress::parse(inbound.listen);
      for (unsigned port = inbound.port_from; port <= inbound.port_to && status.ok(); ++port) {
        Endpoint at{address, static_cast<std::uint16_t>(port)};
        // UDP first: who finds the TCP port open finds both.
        if (udp) {
          status = serve(udp_listen(p.environment, to_udp_options(inbound, at, share_ports), {}, sessions()), i);
          // A port that the system chose is that of both.
          if (status.ok()) at.port = p.servers.back()->local().port;
        }
        // Where there is a plugin it listens in our place, and hands its connections on.
        if (const auto& behind = p.commons.plugins->inbound(i)) at = *behind;
        if (tcp && status.ok()) {
          status = serve(tcp_listen(p.environment, at, to_tcp_options(inbound, share_ports)), i);
        }
      }
    }
    if (!status.ok()) {
      p.servers.clear();
      return status;
    }
  }
  if (share.index != 0) return absl::OkStatus();
  p.save_later();
  auto plugins = p.commons.plugins->run(p.environment, p.log);
  if (plugins.ok()) p.plugins = std::move(*plugins);
  return plugins.status();
}

std::vector<Endpoint> Instance::listening() const {
  std::vector<Endpoint> out;
  for (const auto& server : parts_->servers) out.push_back(server->local());
  return out;
}

std::size_t Instance::connections() const {
  std::size_t n = 0;
  for (const auto& server : parts_->servers) n += server->connections();
  return n;
}

void Instance::stop(Duration grace, absl::AnyInvocable<void()> drained) {
  Parts& p = *parts_;
  p.associations->stop();
  if (p.saving) p.saving->disarm();
  p.drained = [&p, drained = std::move(drained)]() mutable {
    p.plugins.reset();
    p.save();
    drained();
  };
  if (p.servers.empty()) return asio::post(p.environment.executor, std::exchange(p.drained, nullptr));
  p.draining = p.servers.size();
  for (auto& server : p.servers) {
    server->stop(grace, [&p] {
      if (--p.draining == 0 && p.drained) std::exchange(p.drained, nullptr)();
    });
  }
}

const std::shared_ptr<Ledger>& Instance::ledger() const { return parts_->ledger; }

DialerPtr Instance::outbound(std::string_view tag) const {
  for (const Outbound& outbound : parts_->outbounds) {
    if (tag.empty() || outbound.tag == tag) return outbound.dialer;
  }
  return nullptr;
}

}  // namespace winze::node
