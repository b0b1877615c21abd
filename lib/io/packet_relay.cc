#include <array>
#include <asio/post.hpp>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/io/gate.h"
#include "winze/io/idle_timer.h"
#include "winze/io/relay.h"

namespace winze {
namespace {

struct PacketRelay : std::enable_shared_from_this<PacketRelay> {
  struct Direction {
    PacketConduit* from;
    PacketConduit* to;
    Gate gate;
    std::vector<Datagram> held;  // received, and not yet passed on, because a rate limits them
    std::size_t passed = 0;      // of those
  };

  PacketRelay(Environment& env, ConduitPtr client_conduit, ConduitPtr server_conduit, const RelayOptions& options,
              absl::AnyInvocable<void(RelayResult)> on_done)
      : environment(env),
        client(std::move(client_conduit)),
        server(std::move(server_conduit)),
        meter(options.meter),
        idle(env.clock),
        handler(std::move(on_done)),
        directions{Direction{client.get(), server.get(), Gate(env, meter, Way::kUp), {}, 0},
                   Direction{server.get(), client.get(), Gate(env, meter, Way::kDown), {}, 0}} {
    client->reserve(server->overhead());
    server->reserve(client->overhead());
  }

  void start(Duration limit) {
    idle.start(limit, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      self->timed_out = true;
      self->finish({});
    });
    pump(0);
    pump(1);
  }

  void pump(int which) {
    directions[which].from->receive(
        [self = shared_from_this(), which](std::error_code error, std::span<Datagram> datagrams) {
          if (!self->handler) return;
          if (error) return self->finish(error == Errc::kEof ? std::error_code() : error);
          self->idle.touch();
          Direction& d = self->directions[which];
          if (d.gate.is_limited()) {
            d.held.assign(std::make_move_iterator(datagrams.begin()), std::make_move_iterator(datagrams.end()));
            d.passed = 0;
            return self->pass_held(which);
          }
          self->pass(which, datagrams);
          self->pump(which);
        });
  }

  void pass(int which, std::span<Datagram> datagrams) {
    Direction& d = directions[which];
    std::uint64_t size = 0;
    for (const Datagram& datagram : datagrams) size += datagram.payload.size();
    d.gate.count(size);
    d.to->send(datagrams);
  }

  // Passes on what is held, as many datagrams at a time as make a piece, one at least.
  void pass_held(int which) {
    Direction& d = directions[which];
    const auto rest = std::span(d.held).subspan(d.passed);
    if (rest.empty()) {
      d.held.clear();
      return pump(which);
    }
    const std::size_t largest = d.gate.largest();
    std::size_t size = rest[0].payload.size();
    for (std::size_t i = 1; i < rest.size() && size + rest[i].payload.size() <= largest; ++i) {
      size += rest[i].payload.size();
    }
    if (size == 0) return pass_piece(which, 0);
    d.gate.enter(
        size, [self = shared_from_this(), which](std::size_t bytes) { self->pass_piece(which, bytes); },
        rest[0].payload.size());
  }

  void pass_piece(int which, std::size_t bytes) {
    Direction& d = directions[which];
    const auto rest = std::span(d.held).subspan(d.passed);
    std::size_t count = 0;
    while (count < rest.size() && rest[count].payload.size() <= bytes) bytes -= rest[count++].payload.size();
    pass(which, rest.first(count));
    d.passed += count;
    idle.touch();
    pass_held(which);
  }

  void finish(std::error_code error) {
    if (!handler) return;
    auto finishing = std::exchange(handler, nullptr);
    idle.stop();
    for (Direction& d : directions) d.gate.stop();
    client->close();
    server->close();
    finishing({.error = error,
               .timed_out = timed_out,
               .up = directions[0].gate.bytes(),
               .down = directions[1].gate.bytes(),
               .dropped = client->dropped() + server->dropped()});
  }

  void cancel() {
    if (!handler) return;
    for (Direction& d : directions) d.gate.stop();
    client->close();
    server->close();
    asio::post(environment.executor, [self = shared_from_this()] { self->finish(Errc::kAborted); });
  }

  Environment& environment;
  ConduitPtr client;
  ConduitPtr server;
  Meter meter;
  IdleTimer idle;
  absl::AnyInvocable<void(RelayResult)> handler;
  std::array<Direction, 2> directions;  // [0] up: client to server, [1] down
  bool timed_out = false;
};

}  // namespace

Pending relay(Environment& environment, ConduitPtr client, ConduitPtr server, const RelayOptions& options,
              absl::AnyInvocable<void(RelayResult)> handler) {
  auto relaying =
      std::make_shared<PacketRelay>(environment, std::move(client), std::move(server), options, std::move(handler));
  relaying->start(options.idle);
  return Pending([weak = std::weak_ptr(relaying)] {
    if (auto strong = weak.lock()) strong->cancel();
  });
}

}  // namespace winze
