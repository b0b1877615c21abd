#include "winze/tunnel/ipsec_client.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace winze::tunnel {

struct IpsecClient::State : std::enable_shared_from_this<State> {
  State(Environment& env, IpsecHost& ipsec_host, IpsecClientOptions client_options, Handlers client_handlers)
      : environment(env),
        host(ipsec_host),
        options(std::move(client_options)),
        handlers(std::move(client_handlers)),
        timer(env.clock.make_timer()),
        pause(options.first_pause) {}

  void start() {
    if (!options.dialer) return resolve(0);
    stream.emplace(environment, host.plane(), options.dialer, options.gateways.front(),
                   StreamOriginator::Handlers{.on_up = [this](std::uint32_t carrier) { begin_on(carrier); },
                                              .on_down = [this](std::error_code error) { lost_stream(error); }});
  }

  // --- streams ---

  void begin_on(std::uint32_t carrier) {
    if (sa && host.move(*sa, carrier)) return;
    sa.reset();
    sa = host.connect(options.connection, carrier);
  }

  // The stream is dialled again by itself, and the tunnel goes on there.
  void lost_stream(std::error_code error) {
    if (up) return;
    if (sa) (void)host.close(*std::exchange(sa, std::nullopt));
    report({.stage = ike::Stage::kInit, .cause = ike::Cause::kTimedOut, .text = "the stream: " + error.message()},
           true);
  }

  // --- addresses ---

  // Those of all gateways, one after the other.
  void resolve(std::size_t index) {
    if (index == 0) addresses.clear();
    if (index == options.gateways.size()) {
      next = 0;
      return connect();
    }
    const Destination& gateway = options.gateways[index];
    if (const IpAddress* address = gateway.address()) {
      addresses.push_back({*address, gateway.port});
      return resolve(index + 1);
    }
    resolving = environment.resolver.resolve(
        std::get<std::string>(gateway.host),
        [weak = weak_from_this(), index, port = gateway.port](std::error_code, std::vector<IpAddress> found) {
          const auto self = weak.lock();
          if (!self || self->closed) return;
          for (const IpAddress& address : found) self->addresses.push_back({address, port});
          self->resolve(index + 1);
        });
  }

  void connect() {
    while (next < addresses.size()) {
      const Endpoint gateway = addresses[next++];
      // A ticket is of one gateway, and for one use.
      ike::Opening opening{.redirection = redirection};
      if (ticket && at == gateway) opening.ticket = std::exchange(ticket, nullptr);
      auto begun = host.connect(options.connection, gateway, options.from, std::move(opening));
      if (!begun.ok()) continue;
      sa = *begun;
      at = gateway;
      return;
    }
    again({.stage = ike::Stage::kInit,
           .cause = ike::Cause::kTimedOut,
           .text = addresses.empty() ? "the gateway's name has no address" : "no route leads to the gateway"});
  }

  // To the gateway that another has named, by the port of that one.
  void follow(const ike::Redirection& to) {
    redirection = to;
    addresses.clear();
    next = 0;
    if (to.to.name.empty()) {
      addresses.push_back({to.to.address, at.port});
      return connect();
    }
    resolving = environment.resolver.resolve(to.to.name,
                                             [weak = weak_from_this()](std::error_code, std::vector<IpAddress> found) {
                                               const auto self = weak.lock();
                                               if (!self || self->closed) return;
                                               for (const IpAddress& address : found)
                                                 self->addresses.push_back({address, self->at.port});
                                               self->connect();
                                             });
  }

  // Every address has failed.
  void again(const ike::Reason& reason) {
    ++failed;
    if (options.tries != 0 && failed >= options.tries && !was_up) return report(reason, false);
    report(reason, true);
    if (closed) return;
    timer->arm(environment.clock.now() + pause, [weak = weak_from_this()] {
      if (const auto self = weak.lock(); self && !self->closed) self->resolve(0);
    });
    pause = std::min(pause * 2, options.longest_pause);
  }

  void report(const ike::Reason& reason, bool more) {
    const auto self = shared_from_this();
    if (handlers.on_down) handlers.on_down(reason, more);
  }

  // --- events ---

  void on_up(const ike::Up& event) {
    if (!sa || (event.sa != *sa && event.replaces != *sa)) return;
    sa = event.sa;
    up = was_up = true;
    sent_on.reset();
    failed = 0;
    pause = options.first_pause;
    const auto self = shared_from_this();
    if (handlers.on_up) handlers.on_up(event);
  }

  void on_ticket(const ike::TicketGiven& event) {
    if (sa && event.sa == *sa) ticket = event.ticket;
  }

  void on_redirected(const ike::Redirected& event) {
    if (!sa || event.sa != *sa || options.dialer) return;
    sent_on = event.redirection;
    if (event.stage != ike::Stage::kUp) return;  // Closed follows
    // The tunnel stays where it is until there is another; a name is not looked for meanwhile.
    const ike::Gateway& to = event.redirection.to;
    if (!to.name.empty()) return;
    const Endpoint gateway{to.address, at.port};
    ike::Opening opening{.replaces = *sa, .redirection = event.redirection};
    if (host.connect(options.connection, gateway, options.from, std::move(opening)).ok()) at = gateway;
  }

  void on_closed(const ike::Closed& event) {
    if (!sa || event.sa != *sa) return;
    sa.reset();
    const bool had = std::exchange(up, false);
    if (const auto to = std::exchange(sent_on, std::nullopt); to && !closed) return follow(*to);
    redirection.reset();
    const bool keeps = event.reason.cause == ike::Cause::kTimedOut ? options.keep_lost : options.keep_closed;
    if (had && !keeps) return report(event.reason, false);
    // What a secret or a certificate is wrong for will not be right at the next address, but may be later.
    if (options.dialer) return report(event.reason, keeps);
    if (!had && next < addresses.size()) {
      report(event.reason, true);
      return closed ? void() : connect();
    }
    again(event.reason);
  }

  void on_network_changed() {
    const auto info = up ? host.info(*sa) : std::nullopt;
    if (!info || options.dialer || host.source_for(info->path.remote.address)) return;
    std::vector<Endpoint> others = addresses;
    for (const IpAddress& told : info->peer_addresses) others.push_back({told, at.port});
    for (const Endpoint& other : others) {
      if (!host.source_for(other.address) || !host.move(*sa, other, options.from)) continue;
      at = other;
      return;
    }
  }

  void close() {
    closed = true;
    timer->disarm();
    resolving = {};
    if (sa) (void)host.close(*sa);
    stream.reset();
  }

  Environment& environment;
  IpsecHost& host;
  IpsecClientOptions options;
  Handlers handlers;
  TimerPtr timer;
  Pending resolving;
  std::optional<StreamOriginator> stream;
  std::vector<Endpoint> addresses;
  std::size_t next = 0;  // in `addresses`
  Endpoint at;
  std::shared_ptr<const ike::Ticket> ticket;    // for the next time at `at`
  std::optional<ike::Redirection> redirection;  // by which we are at `at`
  std::optional<ike::Redirection> sent_on;      // from there, while that IKE SA has not ended
  std::optional<ike::SaId> sa;
  Duration pause;
  unsigned failed = 0;
  bool up = false, was_up = false, closed = false;
};

IpsecClient::IpsecClient(Environment& environment, IpsecHost& host, IpsecClientOptions options, Handlers handlers)
    : state_(std::make_shared<State>(environment, host, std::move(options), std::move(handlers))) {
  state_->start();
}

IpsecClient::~IpsecClient() {
  state_->closed = true;
  state_->timer->disarm();
  state_->resolving = {};
  state_->stream.reset();
}

void IpsecClient::on_event(const ike::Event& event) {
  if (const auto* up = std::get_if<ike::Up>(&event)) state_->on_up(*up);
  if (const auto* given = std::get_if<ike::TicketGiven>(&event)) state_->on_ticket(*given);
  if (const auto* told = std::get_if<ike::Redirected>(&event)) state_->on_redirected(*told);
  if (const auto* closed = std::get_if<ike::Closed>(&event)) state_->on_closed(*closed);
}

void IpsecClient::on_network_changed() { state_->on_network_changed(); }
void IpsecClient::close() { state_->close(); }
void IpsecClient::set_connection(ike::ConnectionPtr connection) { state_->options.connection = std::move(connection); }
std::optional<ike::SaId> IpsecClient::sa() const { return state_->sa; }

}  // namespace winze::tunnel
