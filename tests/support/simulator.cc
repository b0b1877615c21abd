#include "support/simulator.h"

#include <doctest/doctest.h>

#include <asio/post.hpp>
#include <optional>

#include "winze/base/error.h"

namespace winze::test {

namespace {

constexpr UnixTime kUnixStart = 1'700'000'000;  // when the virtual clock stands at zero

}  // namespace

// Timers in the order of their deadlines, and of arming where those are equal.
class Simulator::SimClock final : public Clock {
 public:
  using Key = std::pair<TimePoint, std::uint64_t>;

  TimePoint now() const override { return now_; }
  UnixTime unix_now() const override {
    return kUnixStart + std::chrono::duration_cast<std::chrono::seconds>(now_.time_since_epoch()).count();
  }
  TimerPtr make_timer() override { return std::make_unique<SimTimer>(*this); }

  std::optional<TimePoint> next() const {
    if (queue_.empty()) return std::nullopt;
    return queue_.begin()->first.first;
  }
  void advance(TimePoint to) { now_ = std::max(now_, to); }
  // Runs the first timer if it is due.
  bool fire() {
    if (queue_.empty() || queue_.begin()->first.first > now_) return false;
    SimTimer* timer = queue_.begin()->second;
    queue_.erase(queue_.begin());
    timer->armed_ = false;
    std::exchange(timer->callback_, nullptr)();
    return true;
  }

 private:
  class SimTimer final : public Timer {
   public:
    explicit SimTimer(SimClock& clock) : clock_(clock) {}
    ~SimTimer() override { disarm(); }
    void arm(TimePoint at, Callback callback) override {
      disarm();
      key_ = {at, clock_.count_++};
      callback_ = std::move(callback);
      armed_ = true;
      clock_.queue_.emplace(key_, this);
    }
    void disarm() override {
      if (std::exchange(armed_, false)) clock_.queue_.erase(key_);
      callback_ = nullptr;
    }

   private:
    friend class SimClock;
    SimClock& clock_;
    Key key_;
    Callback callback_;
    bool armed_ = false;
  };

  TimePoint now_{std::chrono::hours(1)};
  std::uint64_t count_ = 0;
  std::map<Key, SimTimer*> queue_;
};

class Simulator::SimResolver final : public Resolver {
 public:
  SimResolver(asio::io_context& context, Clock& clock) : context_(context), clock_(clock) {}

  Pending resolve(std::string_view host, Handler handler) override {
    const auto known = hosts.find(host);
    auto lookup = std::make_shared<Lookup>(Lookup{std::move(handler), clock_.make_timer()});
    auto answer = [lookup, addresses = known == hosts.end() ? std::vector<IpAddress>() : known->second.first] {
      if (auto waiting = std::exchange(lookup->handler, nullptr)) {
        waiting(addresses.empty() ? std::error_code(Errc::kUnresolved) : std::error_code(), addresses);
      }
    };
    lookup->timer->arm(clock_.now() + (known == hosts.end() ? Duration{} : known->second.second), std::move(answer));
    return Pending([this, lookup] {
      lookup->timer->disarm();
      if (!lookup->handler) return;
      asio::post(context_,
                 [handler = std::exchange(lookup->handler, nullptr)]() mutable { handler(Errc::kAborted, {}); });
    });
  }

  std::map<std::string, std::pair<std::vector<IpAddress>, Duration>, std::less<>> hosts;

 private:
  struct Lookup {
    Handler handler;
    TimerPtr timer;
  };
  asio::io_context& context_;
  Clock& clock_;
};

Simulator::Simulator(std::uint64_t seed)
    : seed_(seed),
      clock_(std::make_unique<SimClock>()),
      random_(seed),
      resolver_(std::make_unique<SimResolver>(context_, *clock_)),
      environment_{.executor = context_.get_executor(),
                   .clock = *clock_,
                   .random = random_,
                   .resolver = *resolver_,
                   .pool = pool_,
                   .socket_hook = nullptr} {}
Simulator::~Simulator() = default;

TimePoint Simulator::now() const { return clock_->now(); }

void Simulator::add_host(std::string_view name, std::vector<IpAddress> addresses, Duration delay) {
  resolver_->hosts[std::string(name)] = {std::move(addresses), delay};
}

void Simulator::run_ready() {
  do {
    context_.restart();
    context_.poll();
  } while (clock_->fire());
}

void Simulator::run_for(Duration time) {
  const TimePoint end = now() + time;
  run_ready();
  while (clock_->next() && *clock_->next() <= end) {
    clock_->advance(*clock_->next());
    run_ready();
  }
  clock_->advance(end);
}

void Simulator::run_to_end(Duration limit) {
  const TimePoint end = now() + limit;
  run_ready();
  while (clock_->next()) {
    REQUIRE_MESSAGE(*clock_->next() <= end, "still going after the limit; seed ", seed_);
    clock_->advance(*clock_->next());
    run_ready();
  }
}

}  // namespace winze::test
