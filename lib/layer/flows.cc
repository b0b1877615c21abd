#include "flows.h"

#include <algorithm>
#include <asio/post.hpp>
#include <list>
#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/io/inbox.h"

namespace winze {
namespace {

constexpr std::size_t kFlows = 64;
constexpr std::size_t kWaiting = 16;  // datagrams for a destination, while its conduit is opened
// A mapping must not go away earlier (RFC 4787 section 4.3).
constexpr Duration kIdle = std::chrono::minutes(2);
// A destination whose conduit has failed is left alone for so long, rather than opened anew by every datagram.
constexpr Duration kRest = std::chrono::seconds(1);
// What the layers of a usual chain take; the conduits, which would know, are not there yet.
constexpr Overhead kRoom{.front = 128, .back = 64};

struct State : std::enable_shared_from_this<State> {
  struct Flow {
    Destination to;
    std::uint64_t id = 0;
    TimePoint used;
    Pending opening;
    ConduitPtr conduit;  // null: being opened, or failed
    bool failed = false;
    std::vector<Datagram> waiting;
  };

  State(Environment& env, OpenConduit open_flow, const FlowsOptions& flows_options)
      : environment(env),
        open_conduit(std::move(open_flow)),
        options(flows_options),
        inbox(env.executor),
        timer(env.clock.make_timer()) {}

  // --- sending ---

  std::size_t send(std::span<Datagram> datagrams) {
    if (options.all && !closed && !datagrams.empty()) return send(flow_to(*options.all), datagrams);
    std::size_t taken = 0;
    while (!datagrams.empty() && !closed) {
      std::size_t run = 1;
      while (run < datagrams.size() && datagrams[run].peer == datagrams[0].peer) ++run;
      taken += send(flow_to(datagrams[0].peer), datagrams.first(run));
      datagrams = datagrams.subspan(run);
    }
    dropped += datagrams.size();
    return taken;
  }

  std::size_t send(Flow& flow, std::span<Datagram> datagrams) {
    // A failed one is not kept by what it drops.
    if (flow.failed) {
      dropped += datagrams.size();
      return 0;
    }
    flow.used = environment.clock.now();
    if (flow.conduit) return flow.conduit->send(datagrams);
    std::size_t taken = 0;
    for (Datagram& datagram : datagrams) {
      if (flow.waiting.size() == kWaiting || datagram.payload.size() > options.mtu) break;
      flow.waiting.push_back(std::move(datagram));
      ++taken;
    }
    dropped += datagrams.size() - taken;
    return taken;
  }

  // The flows are in the order of their use, the latest first.
  Flow& flow_to(const Destination& to) {
    auto found = std::ranges::find(flows, to, &Flow::to);
    if (found != flows.end() && found->failed && environment.clock.now() >= found->used + kRest) {
      erase(found);
      found = flows.end();
    }
    if (found == flows.end()) {
      if (flows.size() == kFlows) erase(std::prev(flows.end()));
      return open(to);
    }
    if (!found->failed) flows.splice(flows.begin(), flows, found);
    return *found;
  }

  Flow& open(const Destination& to) {
    Flow& flow = flows.emplace_front();
    flow.to = to;
    flow.id = ++last_id;
    flow.used = environment.clock.now();
    flow.opening =
        open_conduit(to, [weak = weak_from_this(), id = flow.id](const DialError& error, ConduitPtr conduit) {
          if (const auto self = weak.lock()) self->opened(id, error, std::move(conduit));
        });
    if (flows.size() == 1 && !options.all) watch();
    return flow;
  }

  void opened(std::uint64_t id, const DialError& error, ConduitPtr conduit) {
    const auto flow = find(id);
    if (flow == flows.end()) return;
    flow->opening.detach();
    std::vector<Datagram> waiting = std::exchange(flow->waiting, {});
    if (error) {
      flow->failed = true;
      flow->used = environment.clock.now();
      dropped += waiting.size();
      return environment.emit({.severity = Severity::kWarning,
                               .layer = options.layer,
                               .stage = "dial",
                               .peer = flow->to.to_string(),
                               .cause = error,
                               .peer_offer = error.detail});
    }
    flow->conduit = std::move(conduit);
    flow->conduit->reserve(room);
    flow->conduit->send(waiting);
    pump(*flow);
  }

  // --- receiving ---

  void pump(Flow& flow) {
    flow.conduit->receive(
        [weak = weak_from_this(), id = flow.id](std::error_code error, std::span<Datagram> datagrams) {
          const auto self = weak.lock();
          if (!self) return;
          const auto from = self->find(id);
          if (from == self->flows.end()) return;
          if (error) return self->erase(from);
          from->used = self->environment.clock.now();
          self->flows.splice(self->flows.begin(), self->flows, from);
          for (Datagram& datagram : datagrams) {
            if (!self->options.all) datagram.peer = from->to;
            if (!self->inbox.push(datagram)) ++self->dropped;
          }
          self->pump(*from);
        });
  }

  // --- the end of flows ---

  std::list<Flow>::iterator find(std::uint64_t id) { return std::ranges::find(flows, id, &Flow::id); }

  void erase(std::list<Flow>::iterator flow) {
    dropped += flow->waiting.size() + (flow->conduit ? flow->conduit->dropped() : 0);
    flows.erase(flow);
  }

  void watch() {
    timer->arm(flows.back().used + kIdle, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      const TimePoint old = self->environment.clock.now() - kIdle;
      while (!self->flows.empty() && self->flows.back().used <= old) self->erase(std::prev(self->flows.end()));
      if (!self->flows.empty()) self->watch();
    });
  }

  void close() {
    if (std::exchange(closed, true)) return;
    timer->disarm();
    inbox.close();
    while (!flows.empty()) erase(flows.begin());
  }

  std::uint64_t all_dropped() const {
    std::uint64_t all = dropped;
    for (const Flow& flow : flows) all += flow.conduit ? flow.conduit->dropped() : 0;
    return all;
  }

  Environment& environment;
  OpenConduit open_conduit;
  FlowsOptions options;
  DatagramInbox inbox;
  TimerPtr timer;
  std::list<Flow> flows;
  std::uint64_t last_id = 0;
  std::uint64_t dropped = 0;  // by flows that are gone, and by none
  Overhead room;
  bool closed = false;
};

class FlowsConduit final : public PacketConduit {
 public:
  explicit FlowsConduit(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~FlowsConduit() override { state_->close(); }

  std::size_t send(std::span<Datagram> datagrams) override { return state_->send(datagrams); }
  void receive(ReceiveHandler handler) override { state_->inbox.receive(std::move(handler)); }
  void close() override { state_->close(); }
  std::size_t mtu() const override { return state_->options.mtu; }
  Overhead overhead() const override { return kRoom; }
  void reserve(Overhead room) override { state_->room = room; }
  std::uint64_t dropped() const override { return state_->all_dropped(); }
  const Executor& executor() const override { return state_->environment.executor; }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace

ConduitPtr flows_conduit(Environment& environment, OpenConduit open, const FlowsOptions& options) {
  return std::make_unique<FlowsConduit>(std::make_shared<State>(environment, std::move(open), options));
}

}  // namespace winze
