// A UDP session that a listener has brought: all of it goes to the inbound's destination, or each datagram where it
// says. Or one of a carrier's, which has said where it goes.
#include <asio/post.hpp>
#include <utility>

#include "account.h"
#include "carried.h"
#include "record.h"
#include "winze/base/error.h"
#include "winze/chain/associations.h"
#include "winze/chain/session.h"

namespace winze::chain {
namespace {

struct PacketSession : std::enable_shared_from_this<PacketSession> {
  PacketSession(Environment& env, std::shared_ptr<const Inbound> in, ConduitPtr accepted, const SessionSource& source,
                absl::AnyInvocable<void()> on_done)
      : environment(env), inbound(std::move(in)), client(std::move(accepted)), done(std::move(on_done)) {
    connection.inbound = inbound->tag;
    connection.source = source.endpoint;
    connection.user = source.user;
    level = source.level;
    connection.destination = inbound->destination;
    connection.destination.network = Network::kUdp;
    account.inbound = Open(inbound->traffic);
    begun = environment.clock.now();
  }
  PacketSession(Environment& env, std::shared_ptr<const Inbound> in, Connection known, const mux::Opening& opening,
                ConduitPtr accepted, absl::AnyInvocable<void()> on_done)
      : environment(env),
        inbound(std::move(in)),
        client(std::move(accepted)),
        done(std::move(on_done)),
        connection(std::move(known)),
        any_peer(opening.any_peer),
        id(opening.global_id) {
    account.inbound = Open(inbound->traffic);
    begun = environment.clock.now();
  }

  void open() {
    const Route route = inbound->router(connection);
    connection.outbound = route.outbound;
    if (!admit()) return;
    if (!route.dialer) return end_later("dial", Errc::kRefusedPolicy);
    account.outbound = Open(route.traffic);
    dialer = route.dialer;
    step = open_conduit([self = shared_from_this()](DialError error, ConduitPtr server) {
      if (self->over) return;
      self->connection.detail = std::move(error.detail);
      if (error) return self->end("dial", error);
      self->start_relay(std::move(server));
    });
  }

  Pending open_conduit(Dialer::ConduitHandler handler) {
    if (!is_flow()) return dialer->open_conduit(any_peer ? everyone() : connection.destination, std::move(handler));
    return inbound->associations->open(flow(), dialer, std::move(handler));
  }

  // Whether it may have come by another session before.
  bool is_flow() const { return inbound->associations && id != mux::GlobalId(); }
  Associations::Flow flow() const {
    return {.users = inbound->users,
            .inbound = connection.inbound,
            .outbound = connection.outbound,
            .user = connection.user,
            .id = id};
  }

  // Whether the user is served; if not the session is about to end.
  bool admit() {
    if (!inbound->users || connection.user.empty()) return true;
    const bool succeeds = is_flow() && inbound->associations->is_held(flow());
    Users::Decision decision = inbound->users->admit(
        environment, connection.user, connection.source.address,
        [weak = weak_from_this()](std::error_code error) {
          if (const auto self = weak.lock()) self->cancel("user", error);
        },
        succeeds ? Asking::kSuccessor : Asking::kConnection);
    account.user = std::move(decision.admission);
    if (!decision.error) return true;
    connection.detail = std::move(decision.detail);
    end_later("user", decision.error);
    return false;
  }

  void start_relay(ConduitPtr server) {
    step.detach();
    step = relay(environment, std::move(client), std::move(server), relay_options(policy(), account.meter()),
                 [self = shared_from_this()](const RelayResult& result) {
                   note(result, self->connection);
                   self->end(result.error ? "relay" : "", result.error);
                 });
  }

  Policy policy() const { return connection.user.empty() ? inbound->policy : policy_for(*inbound, level); }

  void end(std::string_view stage, std::error_code error) {
    if (std::exchange(over, true)) return;
    step.detach();
    client.reset();
    account = {};
    connection.stage = stage;
    connection.error = error;
    connection.duration = environment.clock.now() - begun;
    if (inbound->on_end) inbound->on_end(connection);
    if (auto report = std::exchange(done, nullptr)) report();
  }

  void end_later(const char* stage, std::error_code error) {
    asio::post(environment.executor, [self = shared_from_this(), stage, error] { self->end(stage, error); });
  }

  void cancel(const char* stage, std::error_code error) {
    if (over) return;
    // Whatever is under way ends with kAborted; the first to say why is heard.
    end_later(stage, error);
    step.cancel();
  }

  Environment& environment;
  std::shared_ptr<const Inbound> inbound;
  ConduitPtr client;
  DialerPtr dialer;
  absl::AnyInvocable<void()> done;
  Connection connection;
  Account account;
  std::uint32_t level = 0;  // of the user
  bool any_peer = false;    // each datagram names its own
  mux::GlobalId id = {};    // of one whose association may be kept
  TimePoint begun;
  Pending step;
  bool over = false;
};

}  // namespace

Pending serve(Environment& environment, std::shared_ptr<const Inbound> inbound, ConduitPtr conduit,
              const SessionSource& source, absl::AnyInvocable<void()> done) {
  auto session =
      std::make_shared<PacketSession>(environment, std::move(inbound), std::move(conduit), source, std::move(done));
  session->open();
  return Pending([weak = std::weak_ptr(session)] {
    if (auto strong = weak.lock()) strong->cancel("session", Errc::kAborted);
  });
}

Pending serve_carried(Environment& environment, std::shared_ptr<const Inbound> inbound, Connection known,
                      const mux::Opening& opening, ConduitPtr conduit, absl::AnyInvocable<void()> done) {
  auto session = std::make_shared<PacketSession>(environment, std::move(inbound), std::move(known), opening,
                                                 std::move(conduit), std::move(done));
  session->open();
  return Pending([weak = std::weak_ptr(session)] {
    if (auto strong = weak.lock()) strong->cancel("session", Errc::kAborted);
  });
}

}  // namespace winze::chain
