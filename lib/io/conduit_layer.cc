#include "winze/io/conduit_layer.h"

#include <algorithm>
#include <utility>

#include "winze/base/error.h"

namespace winze {
namespace {

using Verdict = DatagramLayer::Verdict;

// Moves those for which `passes` says so to the front, so that they go on as one batch.
template <typename Passes>
std::span<Datagram> keep(std::span<Datagram> datagrams, Passes passes) {
  std::size_t kept = 0;
  for (Datagram& datagram : datagrams) {
    if (!passes(datagram)) continue;
    if (&datagram != &datagrams[kept]) datagrams[kept] = std::move(datagram);
    ++kept;
  }
  return datagrams.first(kept);
}

struct State : std::enable_shared_from_this<State> {
  State(ConduitPtr conduit_below, std::shared_ptr<DatagramLayer> datagram_layer)
      : below(std::move(conduit_below)), layer(std::move(datagram_layer)) {}

  std::size_t send(std::span<Datagram> datagrams) {
    std::size_t taken = 0;
    const auto passing = keep(datagrams, [&](Datagram& datagram) {
      const Verdict verdict = layer->outgoing(datagram);
      if (verdict == Verdict::kTake) ++taken;
      if (verdict == Verdict::kDrop) ++dropped;
      return verdict == Verdict::kPass;
    });
    return taken + (passing.empty() ? 0 : below->send(passing));
  }

  void receive(PacketConduit::ReceiveHandler handler) {
    below->receive([weak = weak_from_this(), handler = std::move(handler)](std::error_code error,
                                                                           std::span<Datagram> datagrams) mutable {
      const auto self = weak.lock();
      if (!self) return handler(Errc::kAborted, {});
      if (error) return handler(self->layer->ended() && !self->closed ? self->layer->ended() : error, {});
      const auto passing = keep(datagrams, [&](Datagram& datagram) { return self->layer->incoming(datagram); });
      self->dropped += datagrams.size() - passing.size();
      passing.empty() ? self->receive(std::move(handler)) : handler({}, passing);
    });
  }

  ConduitPtr below;
  std::shared_ptr<DatagramLayer> layer;
  std::uint64_t dropped = 0;
  bool closed = false;
};

class LayeredConduit final : public PacketConduit {
 public:
  explicit LayeredConduit(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~LayeredConduit() override { close(); }

  std::size_t send(std::span<Datagram> datagrams) override { return state_->send(datagrams); }
  void receive(ReceiveHandler handler) override { state_->receive(std::move(handler)); }
  void close() override {
    state_->closed = true;
    state_->below->close();
  }
  std::size_t mtu() const override {
    const Overhead own = state_->layer->overhead();
    const std::size_t below = state_->below->mtu();
    return below - std::min(below, own.front + own.back);
  }
  Overhead overhead() const override { return state_->layer->overhead() + state_->below->overhead(); }
  void reserve(Overhead room) override { state_->below->reserve(room); }
  std::uint64_t dropped() const override {
    return state_->dropped + state_->layer->dropped() + state_->below->dropped();
  }
  const Executor& executor() const override { return state_->below->executor(); }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace

ConduitPtr layered_conduit(ConduitPtr below, std::shared_ptr<DatagramLayer> layer) {
  return std::make_unique<LayeredConduit>(std::make_shared<State>(std::move(below), std::move(layer)));
}

}  // namespace winze
