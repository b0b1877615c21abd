#include "winze/chain/server.h"

#include <asio/post.hpp>
#include <list>
#include <utility>
#include <variant>

#include "winze/base/error.h"

namespace winze::chain {
namespace {

// How long accepting rests when the system has no descriptors left.
constexpr Duration kRest = std::chrono::milliseconds(100);

}  // namespace

struct Server::State : std::enable_shared_from_this<State> {
  State(Environment& env, std::variant<ListenerPtr, PacketListenerPtr> from, std::shared_ptr<const Inbound> to)
      : environment(env), listener(std::move(from)), inbound(std::move(to)), timer(env.clock.make_timer()) {}

  void accept() {
    std::visit([this](auto& from) { accept(*from); }, listener);
  }

  void accept(Listener& from) {
    from.accept([self = shared_from_this()](std::error_code error, StreamPtr stream) {
      self->accepted(error, [&](auto done) {
        return serve(self->environment, self->inbound, std::move(stream), std::move(done));
      });
    });
  }

  void accept(PacketListener& from) {
    from.accept([self = shared_from_this()](std::error_code error, ConduitPtr conduit, const SessionSource& source) {
      self->accepted(error, [&](auto done) {
        return serve(self->environment, self->inbound, std::move(conduit), source, std::move(done));
      });
    });
  }

  // `begin` starts what has been accepted; it is given what to call at the end.
  template <typename Begin>
  void accepted(std::error_code error, Begin begin) {
    if (stopped) return;
    if (error) return rest(error);
    const auto place = connections.emplace(connections.end());
    *place = begin([weak = weak_from_this(), place] {
      if (auto self = weak.lock()) self->ended(place);
    });
    accept();
  }

  void rest(std::error_code error) {
    environment.emit(
        {.severity = Severity::kWarning, .layer = "tcp", .stage = "accept", .peer = inbound->tag, .cause = error});
    timer->arm(environment.clock.now() + kRest, [weak = weak_from_this()] {
      const auto state = weak.lock();
      if (state && !state->stopped) state->accept();
    });
  }

  void close() {
    std::visit([](auto& from) { from->close(); }, listener);
  }

  void ended(std::list<Pending>::iterator place) {
    place->detach();
    connections.erase(place);
    if (stopped && connections.empty()) finish_drain();
  }

  void stop(Duration grace, absl::AnyInvocable<void()> on_drained) {
    stopped = true;
    drained = std::move(on_drained);
    close();
    if (connections.empty()) {
      return asio::post(environment.executor, [self = shared_from_this()] { self->finish_drain(); });
    }
    timer->arm(environment.clock.now() + grace, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      self->end_all();
      self->finish_drain();
    });
  }

  void finish_drain() {
    timer->disarm();
    if (auto report = std::exchange(drained, nullptr)) report();
  }

  void end_all() {
    for (Pending& connection : connections) connection.cancel();
  }

  Environment& environment;
  std::variant<ListenerPtr, PacketListenerPtr> listener;
  std::shared_ptr<const Inbound> inbound;
  TimerPtr timer;
  std::list<Pending> connections;
  bool stopped = false;
  absl::AnyInvocable<void()> drained;
};

Server::Server(Environment& environment, ListenerPtr listener, std::shared_ptr<const Inbound> inbound)
    : state_(std::make_shared<State>(environment, std::move(listener), std::move(inbound))) {
  state_->accept();
}

Server::Server(Environment& environment, PacketListenerPtr listener, std::shared_ptr<const Inbound> inbound)
    : state_(std::make_shared<State>(environment, std::move(listener), std::move(inbound))) {
  state_->accept();
}

Server::~Server() {
  state_->stopped = true;
  state_->drained = nullptr;
  state_->timer->disarm();
  state_->close();
  state_->end_all();
}

Endpoint Server::local() const {
  return std::visit([](const auto& from) { return from->local(); }, state_->listener);
}
std::size_t Server::connections() const { return state_->connections.size(); }
void Server::stop(Duration grace, absl::AnyInvocable<void()> drained) { state_->stop(grace, std::move(drained)); }

}  // namespace winze::chain
