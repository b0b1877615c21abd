// A UDP session that a listener has brought: without a proxy protocol, so all of it goes to the inbound's destination.
#include <asio/post.hpp>
#include <utility>

#include "account.h"
#include "record.h"
#include "winze/base/error.h"
#include "winze/chain/session.h"

namespace winze::chain {
namespace {

struct PacketSession : std::enable_shared_from_this<PacketSession> {
  PacketSession(Environment& env, std::shared_ptr<const Inbound> in, ConduitPtr accepted, const Endpoint& source,
                absl::AnyInvocable<void()> on_done)
      : environment(env), inbound(std::move(in)), client(std::move(accepted)), done(std::move(on_done)) {
    connection.inbound = inbound->tag;
    connection.source = source;
    connection.destination = inbound->destination;
    connection.destination.network = Network::kUdp;
    account.inbound = Open(inbound->traffic);
    begun = environment.clock.now();
  }

  void open() {
    const Route route = inbound->router(connection);
    connection.outbound = route.outbound;
    if (!route.dialer) {
      return asio::post(environment.executor, [self = shared_from_this()] { self->end("dial", Errc::kRefusedPolicy); });
    }
    account.outbound = Open(route.traffic);
    dialer = route.dialer;
    step =
        dialer->open_conduit(connection.destination, [self = shared_from_this()](DialError error, ConduitPtr server) {
          if (self->over) return;
          self->connection.detail = std::move(error.detail);
          if (error) return self->end("dial", error);
          self->start_relay(std::move(server));
        });
  }

  void start_relay(ConduitPtr server) {
    step.detach();
    step = relay(environment, std::move(client), std::move(server), relay_options(inbound->policy, account.meter()),
                 [self = shared_from_this()](const RelayResult& result) {
                   note(result, self->connection);
                   self->end(result.error ? "relay" : "", result.error);
                 });
  }

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

  void cancel() {
    if (over) return;
    step.cancel();
    asio::post(environment.executor, [self = shared_from_this()] { self->end("session", Errc::kAborted); });
  }

  Environment& environment;
  std::shared_ptr<const Inbound> inbound;
  ConduitPtr client;
  DialerPtr dialer;
  absl::AnyInvocable<void()> done;
  Connection connection;
  Account account;
  TimePoint begun;
  Pending step;
  bool over = false;
};

}  // namespace

Pending serve(Environment& environment, std::shared_ptr<const Inbound> inbound, ConduitPtr conduit,
              const Endpoint& source, absl::AnyInvocable<void()> done) {
  auto session =
      std::make_shared<PacketSession>(environment, std::move(inbound), std::move(conduit), source, std::move(done));
  session->open();
  return Pending([weak = std::weak_ptr(session)] {
    if (auto strong = weak.lock()) strong->cancel();
  });
}

}  // namespace winze::chain
