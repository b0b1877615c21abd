#include "winze/io/callback_conduit.h"

#include <asio/post.hpp>
#include <utility>

#include "winze/base/error.h"

namespace winze {

struct PacketFeed::State : std::enable_shared_from_this<State> {
  State(Environment& env, const CallbackConduitOptions& conduit_options,
        absl::AnyInvocable<void(std::span<Datagram>)> to_host)
      : environment(env), options(conduit_options), on_packets(std::move(to_host)) {}

  // Hands over what waits, from the executor: never inside deliver() or receive().
  void wake() {
    if (!handler || (waiting.empty() && !closed) || std::exchange(woken, true)) return;
    asio::post(environment.executor, [self = shared_from_this()] {
      self->woken = false;
      auto to = std::exchange(self->handler, nullptr);
      if (!to) return;
      if (self->closed) return to(Errc::kAborted, {});
      std::vector<Datagram> batch = std::exchange(self->waiting, std::move(self->spare));
      to({}, batch);
      batch.clear();
      self->spare = std::move(batch);
    });
  }

  Environment& environment;
  CallbackConduitOptions options;
  absl::AnyInvocable<void(std::span<Datagram>)> on_packets;
  PacketConduit::ReceiveHandler handler;
  std::vector<Datagram> waiting, spare;
  std::uint64_t dropped = 0;
  bool woken = false, closed = false;
};

std::size_t PacketFeed::deliver(std::span<Buffer> packets) {
  std::size_t taken = 0;
  for (Buffer& packet : packets) {
    if (state_->closed || state_->waiting.size() == state_->options.backlog) break;
    state_->waiting.push_back({.payload = std::move(packet), .peer = {}});
    ++taken;
  }
  state_->dropped += packets.size() - taken;
  state_->wake();
  return taken;
}

std::uint64_t PacketFeed::dropped() const { return state_->dropped; }

namespace {

class Conduit final : public PacketConduit {
 public:
  explicit Conduit(std::shared_ptr<PacketFeed::State> state) : state_(std::move(state)) {}
  ~Conduit() override { close(); }

  std::size_t send(std::span<Datagram> datagrams) override {
    if (state_->closed) return 0;
    state_->on_packets(datagrams);
    return datagrams.size();
  }
  void receive(ReceiveHandler handler) override {
    if (state_->closed || state_->handler) {
      const Errc error = state_->closed ? Errc::kClosed : Errc::kBusy;
      return asio::post(state_->environment.executor,
                        [handler = std::move(handler), error]() mutable { handler(error, {}); });
    }
    state_->handler = std::move(handler);
    state_->wake();
  }
  void close() override {
    if (std::exchange(state_->closed, true)) return;
    state_->waiting.clear();
    state_->wake();
  }
  std::size_t mtu() const override { return state_->options.mtu; }
  Overhead overhead() const override { return {}; }
  std::uint64_t dropped() const override { return 0; }
  const Executor& executor() const override { return state_->environment.executor; }

 private:
  std::shared_ptr<PacketFeed::State> state_;
};

}  // namespace

CallbackPair make_callback_conduit(Environment& environment, const CallbackConduitOptions& options,
                                   absl::AnyInvocable<void(std::span<Datagram>)> on_packets) {
  auto state = std::make_shared<PacketFeed::State>(environment, options, std::move(on_packets));
  return {.conduit = std::make_unique<Conduit>(state), .feed = PacketFeed(state)};
}

}  // namespace winze
