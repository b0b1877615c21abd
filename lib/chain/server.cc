#include "winze/chain/server.h"

#include <asio/post.hpp>
#include <list>
#include <utility>

#include "winze/base/error.h"

namespace winze::chain {
namespace {

// How long accepting rests when the system has no descriptors left.
constexpr Duration kRest = std::chrono::milliseconds(100);

}  // namespace

struct Server::State : std::enable_shared_from_this<State> {
  State(Environment& env, ListenerPtr from, std::shared_ptr<const Inbound> to)
      : environment(env), listener(std::move(from)), inbound(std::move(to)), timer(env.clock.make_timer()) {}

  void accept() {
    listener->accept([self = shared_from_this()](std::error_code error, StreamPtr stream) {
      if (self->stopped) return;
      if (!error) {
        self->begin(std::move(stream));
        return self->accept();
      }
      self->environment.emit({.severity = Severity::kWarning,
                              .layer = "tcp",
                              .stage = "accept",
                              .peer = self->inbound->tag,
                              .cause = error});
      self->timer->arm(self->environment.clock.now() + kRest, [weak = self->weak_from_this()] {
        const auto state = weak.lock();
        if (state && !state->stopped) state->accept();
      });
    });
  }

  void begin(StreamPtr stream) {
    const auto place = connections.emplace(connections.end());
    *place = serve(environment, inbound, std::move(stream), [weak = weak_from_this(), place] {
      if (auto self = weak.lock()) self->ended(place);
    });
  }

  void ended(std::list<Pending>::iterator place) {
    place->detach();
    connections.erase(place);
    if (stopped && connections.empty()) finish_drain();
  }

  void stop(Duration grace, absl::AnyInvocable<void()> on_drained) {
    stopped = true;
    drained = std::move(on_drained);
    listener->close();
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
  ListenerPtr listener;
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

Server::~Server() {
  state_->stopped = true;
  state_->drained = nullptr;
  state_->timer->disarm();
  state_->listener->close();
  state_->end_all();
}

Endpoint Server::local() const { return state_->listener->local(); }
std::size_t Server::connections() const { return state_->connections.size(); }
void Server::stop(Duration grace, absl::AnyInvocable<void()> drained) { state_->stop(grace, std::move(drained)); }

}  // namespace winze::chain
