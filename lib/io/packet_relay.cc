#include <array>
#include <asio/post.hpp>
#include <memory>
#include <utility>

#include "winze/base/error.h"
#include "winze/io/idle_timer.h"
#include "winze/io/relay.h"

namespace winze {
namespace {

struct PacketRelay : std::enable_shared_from_this<PacketRelay> {
  struct Direction {
    PacketConduit* from;
    PacketConduit* to;
    std::uint64_t bytes = 0;
    std::atomic<std::uint64_t>* shared = nullptr;
  };

  PacketRelay(Environment& env, ConduitPtr client_conduit, ConduitPtr server_conduit, const RelayOptions& options,
              absl::AnyInvocable<void(RelayResult)> on_done)
      : environment(env),
        client(std::move(client_conduit)),
        server(std::move(server_conduit)),
        idle(env.clock),
        handler(std::move(on_done)) {
    directions[0] = {.from = client.get(), .to = server.get()};
    directions[1] = {.from = server.get(), .to = client.get()};
    if (options.traffic != nullptr) {
      directions[0].shared = &options.traffic->up;
      directions[1].shared = &options.traffic->down;
    }
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
          self->account(which, datagrams);
          self->directions[which].to->send(datagrams);
          self->pump(which);
        });
  }

  void account(int which, std::span<const Datagram> datagrams) {
    std::uint64_t size = 0;
    for (const Datagram& datagram : datagrams) size += datagram.payload.size();
    Direction& d = directions[which];
    d.bytes += size;
    if (d.shared != nullptr) d.shared->fetch_add(size, std::memory_order_relaxed);
  }

  void finish(std::error_code error) {
    if (!handler) return;
    auto finishing = std::exchange(handler, nullptr);
    idle.stop();
    client->close();
    server->close();
    finishing({.error = error,
               .timed_out = timed_out,
               .up = directions[0].bytes,
               .down = directions[1].bytes,
               .dropped = client->dropped() + server->dropped()});
  }

  void cancel() {
    if (!handler) return;
    client->close();
    server->close();
    asio::post(environment.executor, [self = shared_from_this()] { self->finish(Errc::kAborted); });
  }

  Environment& environment;
  ConduitPtr client;
  ConduitPtr server;
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
