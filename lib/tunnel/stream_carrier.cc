#include "winze/tunnel/stream_carrier.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "winze/base/error.h"

namespace winze::tunnel {

struct StreamOriginator::State : std::enable_shared_from_this<State> {
  State(Environment& env, DataPlane& data_plane, DialerPtr way, const Destination& to, Handlers told,
        const StreamOriginatorOptions& originator_options)
      : environment(env),
        plane(data_plane),
        dialer(std::move(way)),
        responder(to),
        handlers(std::move(told)),
        options(originator_options),
        timer(env.clock.make_timer()),
        pause(originator_options.first_pause) {}

  void dial() {
    dialing = dialer->dial(responder, [weak = weak_from_this()](std::error_code error, StreamPtr stream) {
      const auto self = weak.lock();
      if (!self || self->closed) return;
      self->dialing.detach();
      self->begun = self->environment.clock.now();
      if (error) return self->ended(error);
      ConduitPtr conduit =
          esp::conduit_over(self->environment, std::move(stream), esp::StreamRole::kOriginator, self->options.stream);
      self->carrier =
          self->plane.add_carrier(DataPlane::Carrier::kStream, std::move(conduit), {}, [weak](std::error_code end) {
            const auto state = weak.lock();
            if (state && !state->closed) state->ended(end);
          });
      self->handlers.on_up(*self->carrier);
    });
  }

  void ended(std::error_code error) {
    carrier.reset();
    const TimePoint now = environment.clock.now();
    if (now - begun >= options.longest_pause) pause = options.first_pause;
    timer->arm(now + pause, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && !self->closed) self->dial();
    });
    pause = std::min(pause * 2, options.longest_pause);
    if (handlers.on_down) handlers.on_down(error);
  }

  Environment& environment;
  DataPlane& plane;
  DialerPtr dialer;
  Destination responder;
  Handlers handlers;
  StreamOriginatorOptions options;
  TimerPtr timer;
  Duration pause;
  Pending dialing;
  std::optional<std::uint32_t> carrier;
  TimePoint begun{};
  bool closed = false;
};

StreamOriginator::StreamOriginator(Environment& environment, DataPlane& plane, DialerPtr dialer,
                                   const Destination& responder, Handlers handlers,
                                   const StreamOriginatorOptions& options)
    : state_(std::make_shared<State>(environment, plane, std::move(dialer), responder, std::move(handlers), options)) {
  state_->dial();
}

StreamOriginator::~StreamOriginator() {
  state_->closed = true;
  state_->timer->disarm();
  state_->dialing.cancel();
  if (state_->carrier) state_->plane.remove_carrier(*state_->carrier);
}

struct StreamResponder::State : std::enable_shared_from_this<State> {
  State(Environment& env, DataPlane& data_plane, ListenerPtr from, const StreamResponderOptions& responder_options)
      : environment(env),
        plane(data_plane),
        listener(std::move(from)),
        options(responder_options),
        rest(env.clock.make_timer()),
        timer(env.clock.make_timer()) {}

  void accept() {
    listener->accept([weak = weak_from_this()](std::error_code error, StreamPtr stream) {
      const auto self = weak.lock();
      if (!self || self->closed) return;
      if (!error) {
        self->take(std::move(stream));
        return self->accept();
      }
      // Such as no descriptors left: it passes.
      self->rest->arm(self->environment.clock.now() + std::chrono::milliseconds(100), [weak] {
        const auto state = weak.lock();
        if (state && !state->closed) state->accept();
      });
    });
  }

  void take(StreamPtr stream) {
    if (carriers.size() >= options.most) {
      ++refused;
      return;
    }
    ConduitPtr conduit = esp::conduit_over(environment, std::move(stream), esp::StreamRole::kResponder, options.stream);
    // The conduit's error comes later than this call, so the number is known by then.
    const auto number = std::make_shared<std::uint32_t>();
    *number = plane.add_carrier(DataPlane::Carrier::kStream, std::move(conduit), {},
                                [weak = weak_from_this(), number](std::error_code) {
                                  if (const auto self = weak.lock()) std::erase(self->carriers, *number);
                                });
    carriers.push_back(*number);
    unproved.push_back({*number, environment.clock.now() + options.unproved});
    if (unproved.size() == 1) arm();
  }

  void arm() {
    timer->arm(unproved.front().deadline, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && !self->closed) self->judge();
    });
  }

  void judge() {
    const TimePoint now = environment.clock.now();
    for (; !unproved.empty() && unproved.front().deadline <= now; unproved.pop_front()) {
      const std::uint32_t number = unproved.front().carrier;
      if (plane.proved(number) || std::erase(carriers, number) == 0) continue;
      plane.remove_carrier(number);
      ++refused;
    }
    if (!unproved.empty()) arm();
  }

  struct Unproved {
    std::uint32_t carrier;
    TimePoint deadline;
  };

  Environment& environment;
  DataPlane& plane;
  ListenerPtr listener;
  StreamResponderOptions options;
  TimerPtr rest, timer;
  std::vector<std::uint32_t> carriers;
  std::deque<Unproved> unproved;
  std::uint64_t refused = 0;
  bool closed = false;
};

StreamResponder::StreamResponder(Environment& environment, DataPlane& plane, ListenerPtr listener,
                                 const StreamResponderOptions& options)
    : state_(std::make_shared<State>(environment, plane, std::move(listener), options)) {
  state_->accept();
}

StreamResponder::~StreamResponder() {
  state_->closed = true;
  state_->rest->disarm();
  state_->timer->disarm();
  state_->listener->close();
  for (const std::uint32_t number : std::exchange(state_->carriers, {})) state_->plane.remove_carrier(number);
}

Endpoint StreamResponder::local() const { return state_->listener->local(); }
std::size_t StreamResponder::streams() const { return state_->carriers.size(); }
std::uint64_t StreamResponder::refused() const { return state_->refused; }

}  // namespace winze::tunnel
