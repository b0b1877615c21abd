#include "winze/io/callback_conduit.h"

#include <utility>

#include "winze/io/inbox.h"

namespace winze {

struct PacketFeed::State {
  State(Environment& env, const CallbackConduitOptions& options, absl::AnyInvocable<void(std::span<Datagram>)> to_host)
      : environment(env), mtu(options.mtu), inbox(env.executor, options.backlog), on_packets(std::move(to_host)) {}

  Environment& environment;
  std::size_t mtu;
  DatagramInbox inbox;
  absl::AnyInvocable<void(std::span<Datagram>)> on_packets;
  std::uint64_t dropped = 0;
  bool closed = false;
};

std::size_t PacketFeed::deliver(std::span<Buffer> packets) {
  std::size_t taken = 0;
  for (Buffer& packet : packets) {
    Datagram datagram{.payload = std::move(packet), .peer = {}};
    taken += state_->inbox.push(datagram) ? 1 : 0;
  }
  state_->dropped += packets.size() - taken;
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
  void receive(ReceiveHandler handler) override { state_->inbox.receive(std::move(handler)); }
  void close() override {
    state_->closed = true;
    state_->inbox.close();
  }
  std::size_t mtu() const override { return state_->mtu; }
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
