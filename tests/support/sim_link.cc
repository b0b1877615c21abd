#include <asio/post.hpp>
#include <deque>
#include <memory>

#include "support/simulator.h"
#include "winze/base/error.h"

namespace winze::test {
namespace {

// One end: what has arrived here, and what it sends to the other.
struct LinkEnd : std::enable_shared_from_this<LinkEnd> {
  LinkEnd(Environment& env, const LinkOptions& link_options) : environment(env), options(link_options) {}

  std::size_t send(std::span<Datagram> datagrams) {
    std::size_t taken = 0;
    for (Datagram& datagram : datagrams) taken += send(datagram) ? 1 : 0;
    dropped += datagrams.size() - taken;
    return taken;
  }

  // False when the queue has no room for it. What is lost on the way was sent.
  bool send(Datagram& datagram) {
    const std::size_t size = datagram.payload.size();
    if (closed || size > options.mtu) return false;
    const TimePoint now = environment.clock.now();
    TimePoint sent = std::max(now, busy_until);
    if (options.bits_per_second > 0) {
      const double waiting = std::chrono::duration<double>(sent - now).count() * options.bits_per_second / 8;
      if (waiting + static_cast<double>(size) > static_cast<double>(options.queue)) return false;
      const std::chrono::duration<double> time(static_cast<double>(size) * 8 / options.bits_per_second);
      sent += std::chrono::duration_cast<Duration>(time);
    }
    busy_until = sent;
    if (chance(options.loss)) return true;
    TimePoint arrives = sent + options.delay;
    if (chance(options.reorder)) arrives += options.reorder_delay;
    auto timer = std::make_shared<TimerPtr>(environment.clock.make_timer());
    (*timer)->arm(arrives, [timer, to = peer, payload = std::make_shared<Datagram>(std::move(datagram))] {
      if (auto end = to.lock()) end->arrive(std::move(*payload));
    });
    return true;
  }

  bool chance(double part) {
    return part > 0 && static_cast<double>(environment.random.below(1u << 30)) < part * (1u << 30);
  }

  void arrive(Datagram datagram) {
    if (closed) return;
    inbox.push_back(std::move(datagram));
    deliver();
  }

  void receive(PacketConduit::ReceiveHandler on_receive) {
    if (handler || closed) {
      const Errc error = closed ? Errc::kClosed : Errc::kBusy;
      return asio::post(environment.executor,
                        [on_receive = std::move(on_receive), error]() mutable { on_receive(error, {}); });
    }
    handler = std::move(on_receive);
    deliver();
  }

  void deliver() {
    if (!handler || inbox.empty() || std::exchange(delivering, true)) return;
    asio::post(environment.executor, [self = shared_from_this()] {
      self->delivering = false;
      if (!self->handler) return;
      std::vector<Datagram> batch(std::make_move_iterator(self->inbox.begin()),
                                  std::make_move_iterator(self->inbox.end()));
      self->inbox.clear();
      std::exchange(self->handler, nullptr)({}, batch);
    });
  }

  void close() {
    if (std::exchange(closed, true) || !handler) return;
    asio::post(environment.executor,
               [handler = std::exchange(handler, nullptr)]() mutable { handler(Errc::kAborted, {}); });
  }

  Environment& environment;
  LinkOptions options;
  std::weak_ptr<LinkEnd> peer;
  std::deque<Datagram> inbox;
  PacketConduit::ReceiveHandler handler;
  TimePoint busy_until{};
  std::uint64_t dropped = 0;
  bool delivering = false;
  bool closed = false;
};

class LinkConduit final : public PacketConduit {
 public:
  explicit LinkConduit(std::shared_ptr<LinkEnd> end) : end_(std::move(end)) {}
  ~LinkConduit() override { end_->close(); }

  std::size_t send(std::span<Datagram> datagrams) override { return end_->send(datagrams); }
  void receive(ReceiveHandler handler) override { end_->receive(std::move(handler)); }
  void close() override { end_->close(); }
  std::size_t mtu() const override { return end_->options.mtu; }
  Overhead overhead() const override { return {}; }
  std::uint64_t dropped() const override { return end_->dropped; }
  const Executor& executor() const override { return end_->environment.executor; }

 private:
  std::shared_ptr<LinkEnd> end_;
};

}  // namespace

std::pair<ConduitPtr, ConduitPtr> sim_link(Simulator& simulator, const LinkOptions& options) {
  auto near = std::make_shared<LinkEnd>(simulator.environment(), options);
  auto far = std::make_shared<LinkEnd>(simulator.environment(), options);
  near->peer = far;
  far->peer = near;
  return {std::make_unique<LinkConduit>(near), std::make_unique<LinkConduit>(far)};
}

}  // namespace winze::test
