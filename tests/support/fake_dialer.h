// A dialer that a test answers, and two conduits joined in memory.
#pragma once

#include <asio/post.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/io/dialer.h"
#include "winze/io/inbox.h"

namespace winze::test {

// Each call waits in `dials` or `opens` until the test answers it, or drops its Pending.
class FakeDialer final : public Dialer {
 public:
  template <typename OnDone>
  struct Call {
    Destination destination;
    OnDone handler;
  };

  explicit FakeDialer(Environment& environment) : environment_(environment) {}

  Pending dial(const Destination& destination, Handler handler) override {
    return add(dials, destination, std::move(handler));
  }
  Pending open_conduit(const Destination& destination, ConduitHandler handler) override {
    return add(opens, destination, std::move(handler));
  }
  const Executor& executor() const override { return environment_.executor; }

  std::vector<std::shared_ptr<Call<Handler>>> dials;
  std::vector<std::shared_ptr<Call<ConduitHandler>>> opens;

 private:
  template <typename OnDone>
  Pending add(std::vector<std::shared_ptr<Call<OnDone>>>& calls, const Destination& destination, OnDone handler) {
    calls.push_back(std::make_shared<Call<OnDone>>(Call<OnDone>{destination, std::move(handler)}));
    return Pending([call = calls.back(), this] {
      if (!call->handler) return;
      asio::post(environment_.executor,
                 [handler = std::exchange(call->handler, nullptr)]() mutable { handler(Errc::kAborted, nullptr); });
    });
  }

  Environment& environment_;
};

// Answers a call that still waits.
template <typename Call, typename Result>
void answer(Call& call, const DialError& error, Result result) {
  std::exchange(call->handler, nullptr)(error, std::move(result));
}

class MemoryConduit final : public PacketConduit {
 public:
  struct Shared {
    explicit Shared(const Executor& executor) : inbox(executor) {}
    DatagramInbox inbox;
  };
  MemoryConduit(Executor executor, std::shared_ptr<Shared> in, std::shared_ptr<Shared> out)
      : executor_(std::move(executor)), in_(std::move(in)), out_(std::move(out)) {}
  ~MemoryConduit() override { close(); }

  std::size_t send(std::span<Datagram> datagrams) override {
    std::size_t taken = 0;
    for (Datagram& datagram : datagrams) taken += out_->inbox.push(datagram) ? 1 : 0;
    dropped_ += datagrams.size() - taken;
    return taken;
  }
  void receive(ReceiveHandler handler) override { in_->inbox.receive(std::move(handler)); }
  void close() override { in_->inbox.close(); }
  std::size_t mtu() const override { return 65507; }
  Overhead overhead() const override { return {}; }
  std::uint64_t dropped() const override { return dropped_; }
  const Executor& executor() const override { return executor_; }

 private:
  Executor executor_;
  std::shared_ptr<Shared> in_, out_;
  std::uint64_t dropped_ = 0;
};

inline std::pair<ConduitPtr, ConduitPtr> conduit_pair(Environment& environment) {
  auto forth = std::make_shared<MemoryConduit::Shared>(environment.executor);
  auto back = std::make_shared<MemoryConduit::Shared>(environment.executor);
  return {std::make_unique<MemoryConduit>(environment.executor, back, forth),
          std::make_unique<MemoryConduit>(environment.executor, forth, back)};
}

// Sends one datagram; false when it was dropped.
inline bool send(PacketConduit& conduit, std::string_view text, const Destination& to = {}) {
  Datagram datagram{.payload = Buffer::copy_of(text), .peer = to};
  return conduit.send(std::span(&datagram, 1)) == 1;
}

// Receives all that comes, until an error; the conduit may go before it.
struct Receiver {
  explicit Receiver(PacketConduit& conduit) : state(std::make_shared<State>()) { state->receive(conduit); }

  struct State : std::enable_shared_from_this<State> {
    void receive(PacketConduit& conduit) {
      conduit.receive([self = shared_from_this(), &conduit](std::error_code failed, std::span<Datagram> datagrams) {
        ++self->calls;
        self->error = failed;
        for (const Datagram& datagram : datagrams) {
          self->texts.emplace_back(datagram.payload.text());
          self->peers.push_back(datagram.peer);
        }
        if (!failed) self->receive(conduit);
      });
    }
    std::vector<std::string> texts;
    std::vector<Destination> peers;
    std::error_code error;
    int calls = 0;
  };
  const std::vector<std::string>& texts() const { return state->texts; }
  const std::vector<Destination>& peers() const { return state->peers; }
  std::error_code error() const { return state->error; }

  std::shared_ptr<State> state;
};

}  // namespace winze::test
