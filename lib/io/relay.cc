#include "winze/io/relay.h"

#include <algorithm>
#include <array>
#include <asio/post.hpp>
#include <memory>
#include <utility>

#include "splice_pipe.h"
#include "winze/base/error.h"
#include "winze/io/gate.h"
#include "winze/io/idle_timer.h"

namespace winze {
namespace {

// A read of this size shows a bulk flow, for which a pipe pays.
constexpr std::size_t kSpliceFrom = 60 << 10;

struct Relay : std::enable_shared_from_this<Relay> {
  struct Direction {
    Stream* from;
    Stream* to;
    Gate gate;
    Buffer rest;  // read, and not yet passed on
    bool ended = false;
    bool bulk = false;
    SplicePipe pipe;
  };

  Relay(Environment& env, StreamPtr client_stream, StreamPtr server_stream, const RelayOptions& relay_options,
        absl::AnyInvocable<void(RelayResult)> on_done)
      : environment(env),
        client(std::move(client_stream)),
        server(std::move(server_stream)),
        options(relay_options),
        idle(env.clock),
        handler(std::move(on_done)),
        directions{Direction{client.get(), server.get(), Gate(env, options.meter, Way::kUp), {}, false, false, {}},
                   Direction{server.get(), client.get(), Gate(env, options.meter, Way::kDown), {}, false, false, {}}} {
    client->reserve(server->overhead());
    server->reserve(client->overhead());
  }

  void start() {
    if (server->holds_opening()) {
      idle.start(std::max(options.first_payload, Duration(1)), [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->send_opening();
      });
    } else {
      limit_silence(options.idle);
    }
    copy(0);
    copy(1);
  }

  // --- time ---

  // The client has not spoken yet: the server's opening goes alone.
  void send_opening() {
    if (!handler) return;
    limit_silence(options.idle);
    if (client_spoke || !server->holds_opening()) return;
    opening_alone = true;
    server->write({}, [self = shared_from_this()](std::error_code error) {
      self->opening_alone = false;
      if (error) return self->break_off(error);
      if (auto next = std::exchange(self->after_opening, nullptr)) next();
    });
  }

  void limit_silence(Duration limit) {
    idle.start(limit, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self || !self->handler) return;
      self->timed_out = true;
      self->finish({});
    });
  }

  // --- one direction, by copying ---

  void copy(int which) {
    Direction& d = directions[which];
    if (d.bulk && d.from->verbatim_source() != nullptr && d.to->verbatim_sink() != nullptr && d.pipe.open()) {
      return splice_in(which);
    }
    d.from->read([self = shared_from_this(), which](std::error_code error, Buffer data) {
      self->on_read(which, error, std::move(data));
    });
  }

  void on_read(int which, std::error_code error, Buffer data) {
    if (!handler) return;
    if (which == 0 && opening_alone) {
      after_opening = [this, which, error, data = std::move(data)]() mutable {
        on_read(which, error, std::move(data));
      };
      return;
    }
    // The opening goes with what the client has said, however long that has to wait.
    if (which == 0) client_spoke = true;
    if (error == Errc::kEof) return end(which);
    Direction& d = directions[which];
    if (error) return break_off(error);
    d.bulk = data.size() >= kSpliceFrom;
    idle.touch();
    d.rest = std::move(data);
    pass_on(which);
  }

  void pass_on(int which) {
    Direction& d = directions[which];
    const std::size_t size = std::min(d.rest.size(), d.gate.largest());
    d.gate.enter(size, [self = shared_from_this(), which](std::size_t granted) { self->write(which, granted); });
  }

  void write(int which, std::size_t size) {
    Direction& d = directions[which];
    Buffer piece = split_front(d.rest, size, d.to->overhead(), environment.pool);
    d.to->write(std::move(piece), [self = shared_from_this(), which, size](std::error_code error) {
      if (!self->handler) return;
      if (error) return self->break_off(error);
      self->account(which, size);
      self->directions[which].rest.empty() ? self->copy(which) : self->pass_on(which);
    });
  }

  void account(int which, std::size_t size) {
    directions[which].gate.count(size);
    idle.touch();
  }

  // --- one direction, by splice ---

  void splice_in(int which) {
    Direction& d = directions[which];
    RawSocket* source = d.from->verbatim_source();
    const SplicePipe::Result result = d.pipe.fill(source->native_handle(), d.gate.largest());
    if (result.error) return break_off(result.error);
    if (result.ended) {
      d.pipe.close();
      return end(which);
    }
    if (result.bytes > 0) return splice_on(which);
    // Nothing there: an idle direction keeps no pipe.
    d.pipe.close();
    source->wait(RawSocket::Wait::kRead, [self = shared_from_this(), which](std::error_code error) {
      if (!self->handler) return;
      if (error) return self->break_off(error);
      self->idle.touch();
      self->copy(which);
    });
  }

  void splice_on(int which) {
    Direction& d = directions[which];
    d.gate.enter(d.pipe.held(),
                 [self = shared_from_this(), which](std::size_t granted) { self->splice_out(which, granted); });
  }

  // `due` of what the pipe holds.
  void splice_out(int which, std::size_t due) {
    Direction& d = directions[which];
    RawSocket* sink = d.to->verbatim_sink();
    const SplicePipe::Result result = d.pipe.drain(sink->native_handle(), due);
    if (result.error) return break_off(result.error);
    if (result.bytes > 0) account(which, result.bytes);
    spliced += result.bytes;
    due -= result.bytes;
    if (due > 0) {
      return sink->wait(RawSocket::Wait::kWrite, [self = shared_from_this(), which, due](std::error_code error) {
        if (!self->handler) return;
        if (error) return self->break_off(error);
        self->splice_out(which, due);
      });
    }
    if (d.pipe.held() > 0) return splice_on(which);
    // Others get their turn.
    asio::post(environment.executor, [self = shared_from_this(), which] {
      if (self->handler) self->copy(which);
    });
  }

  // --- the end ---

  void end(int which) {
    Direction& d = directions[which];
    d.ended = true;
    idle.touch();
    // Closing the last direction of a bare socket says as much as shutting it down first.
    if (shut && directions[1 - which].ended && d.to->verbatim_sink() != nullptr) return finish({});
    d.to->shutdown_write([self = shared_from_this(), which](std::error_code error) {
      if (!self->handler) return;
      if (error) return self->break_off(error);
      if (self->directions[1 - which].ended && self->shut) return self->finish({});
      self->shut = true;
      self->limit_silence(which == 0 ? self->options.downlink_only : self->options.uplink_only);
    });
  }

  // One stream has failed: neither's peer shall take that for the end.
  void break_off(std::error_code error) {
    if (handler && error != Errc::kAborted) {
      client->abort();
      server->abort();
    }
    finish(error);
  }

  void finish(std::error_code error) {
    if (!handler) return;
    auto finishing = std::exchange(handler, nullptr);
    idle.stop();
    client->close();
    server->close();
    for (Direction& d : directions) {
      d.gate.stop();
      d.rest.release();
      d.pipe.close();
    }
    finishing({.error = error,
               .timed_out = timed_out,
               .up = directions[0].gate.bytes(),
               .down = directions[1].gate.bytes(),
               .spliced = spliced});
  }

  void cancel() {
    if (!handler) return;
    // The gates stop with the rest: a write that is done will still be counted, and so is not to be given back.
    client->abort();
    server->abort();
    asio::post(environment.executor, [self = shared_from_this()] { self->finish(Errc::kAborted); });
  }

  Environment& environment;
  StreamPtr client;
  StreamPtr server;
  RelayOptions options;
  IdleTimer idle;
  absl::AnyInvocable<void(RelayResult)> handler;
  std::array<Direction, 2> directions;  // [0] up: client to server, [1] down
  bool shut = false;                    // one direction's end was passed on
  bool timed_out = false;
  std::uint64_t spliced = 0;
  bool client_spoke = false;
  bool opening_alone = false;  // the server's opening is being written without payload
  absl::AnyInvocable<void()> after_opening;
};

}  // namespace

Pending relay(Environment& environment, StreamPtr client, StreamPtr server, const RelayOptions& options,
              absl::AnyInvocable<void(RelayResult)> handler) {
  auto relaying =
      std::make_shared<Relay>(environment, std::move(client), std::move(server), options, std::move(handler));
  relaying->start();
  return Pending([weak = std::weak_ptr(relaying)] {
    if (auto strong = weak.lock()) strong->cancel();
  });
}

}  // namespace winze
