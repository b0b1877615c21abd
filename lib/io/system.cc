#include "winze/io/system.h"

#include <sys/random.h>

#include <array>
#include <asio/basic_waitable_timer.hpp>
#include <asio/ip/basic_resolver.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "winze/base/error.h"
#include "winze/base/secret.h"

namespace winze {
namespace {

using SteadyTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

class SystemTimer final : public Timer {
 public:
  explicit SystemTimer(const Executor& executor) : state_(std::make_shared<State>(executor)) {}
  ~SystemTimer() override { disarm(); }

  void arm(TimePoint at, Callback callback) override {
    state_->callback = std::move(callback);
    ++state_->generation;
    state_->timer.expires_at(at);
    state_->timer.async_wait([state = state_, generation = state_->generation](std::error_code error) {
      if (error || generation != state->generation || !state->callback) return;
      std::exchange(state->callback, nullptr)();
    });
  }

  void disarm() override {
    ++state_->generation;
    if (!state_->callback) return;
    state_->callback = nullptr;
    state_->timer.cancel();
  }

 private:
  struct State {
    explicit State(const Executor& executor) : timer(executor) {}
    SteadyTimer timer;
    Callback callback;
    std::uint64_t generation = 0;  // a wait of an earlier arm() may still complete
  };
  std::shared_ptr<State> state_;
};

class SystemClock final : public Clock {
 public:
  explicit SystemClock(Executor executor) : executor_(std::move(executor)) {}
  TimePoint now() const override { return std::chrono::steady_clock::now(); }
  UnixTime unix_now() const override {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  TimerPtr make_timer() override { return std::make_unique<SystemTimer>(executor_); }

 private:
  Executor executor_;
};

// The kernel's generator, drawn in batches, so that four bytes for a frame's mask cost no system call.
class KernelRandom final : public Random {
 public:
  ~KernelRandom() override { secure_wipe(batch_); }

  void fill(std::span<std::uint8_t> out) override {
    if (out.size() > batch_.size()) return draw(out);
    if (batch_.size() - used_ < out.size()) {
      draw(batch_);
      used_ = 0;
    }
    std::memcpy(out.data(), batch_.data() + used_, out.size());
    std::memset(batch_.data() + used_, 0, out.size());
    used_ += out.size();
  }

 private:
  static void draw(std::span<std::uint8_t> out) {
    while (!out.empty()) {
      const ssize_t n = ::getrandom(out.data(), out.size(), 0);
      if (n < 0) {
        // Without randomness nothing here is safe, and no caller could go on.
        if (errno != EINTR) std::abort();
        continue;
      }
      out = out.subspan(static_cast<std::size_t>(n));
    }
  }

  std::array<std::uint8_t, 512> batch_;
  std::size_t used_ = sizeof batch_;
};

class SystemResolver final : public Resolver {
 public:
  explicit SystemResolver(Executor executor) : executor_(std::move(executor)) {}

  Pending resolve(std::string_view host, Handler handler) override {
    using Lookup = asio::ip::basic_resolver<asio::ip::tcp, Executor>;
    auto lookup = std::make_shared<Lookup>(executor_);
    lookup->async_resolve(
        host, std::string_view(),
        [lookup, handler = std::move(handler)](std::error_code error, Lookup::results_type results) mutable {
          if (error == asio::error::operation_aborted) return handler(Errc::kAborted, {});
          if (error == asio::error::host_not_found || error == asio::error::no_data)
            return handler(Errc::kUnresolved, {});
          std::vector<IpAddress> addresses;
          for (const auto& entry : results) {
            const auto address = entry.endpoint().address();
            if (address.is_v4()) {
              addresses.push_back(IpAddress::v4(address.to_v4().to_bytes()));
            } else {
              addresses.push_back(IpAddress::v6(address.to_v6().to_bytes()));
            }
          }
          handler(error, std::move(addresses));
        });
    return Pending([weak = std::weak_ptr(lookup)] {
      if (auto strong = weak.lock()) strong->cancel();
    });
  }

 private:
  Executor executor_;
};

}  // namespace

struct SystemEnvironment::Parts {
  Parts(const Executor& executor, std::size_t pool_cap, std::size_t busy_pool_cap)
      : clock(executor),
        resolver(executor),
        pool(pool_cap, busy_pool_cap),
        environment{.executor = executor,
                    .clock = clock,
                    .random = random,
                    .resolver = resolver,
                    .pool = pool,
                    .socket_hook = nullptr} {}

  SystemClock clock;
  KernelRandom random;
  SystemResolver resolver;
  BufferPool pool;
  Environment environment;
};

SystemEnvironment::SystemEnvironment(Executor executor, std::size_t pool_cap, std::size_t busy_pool_cap)
    : parts_(std::make_unique<Parts>(executor, pool_cap, busy_pool_cap)) {}
SystemEnvironment::~SystemEnvironment() = default;

Environment& SystemEnvironment::environment() { return parts_->environment; }

}  // namespace winze
