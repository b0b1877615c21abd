#include "winze/io/inbox.h"

#include <asio/post.hpp>
#include <utility>
#include <vector>

#include "winze/base/error.h"

namespace winze {

struct DatagramInbox::State : std::enable_shared_from_this<State> {
  State(Executor on, std::size_t at_most) : executor(std::move(on)), limit(at_most) {}

  void deliver() {
    if (!handler || waiting.empty() || std::exchange(delivering, true)) return;
    asio::post(executor, [self = shared_from_this()] {
      self->delivering = false;
      if (!self->handler) return;
      std::vector<Datagram> batch = std::exchange(self->waiting, std::move(self->spare));
      self->held = 0;
      std::exchange(self->handler, nullptr)({}, batch);
      batch.clear();
      self->spare = std::move(batch);
    });
  }

  Executor executor;
  std::size_t limit;
  std::vector<Datagram> waiting, spare;  // two, in turn, so that no batch costs an allocation
  std::size_t held = 0;                  // bytes
  PacketConduit::ReceiveHandler handler;
  bool delivering = false;
  bool closed = false;
};

DatagramInbox::DatagramInbox(const Executor& executor, std::size_t limit)
    : state_(std::make_shared<State>(executor, limit)) {}

bool DatagramInbox::push(Datagram& datagram) {
  State& s = *state_;
  const std::size_t size = datagram.payload.capacity();
  if (s.closed || s.held + size > s.limit) return false;
  s.held += size;
  s.waiting.push_back(std::move(datagram));
  s.deliver();
  return true;
}

void DatagramInbox::receive(PacketConduit::ReceiveHandler handler) {
  State& s = *state_;
  if (s.closed || s.handler) {
    const Errc error = s.closed ? Errc::kClosed : Errc::kBusy;
    return asio::post(s.executor, [handler = std::move(handler), error]() mutable { handler(error, {}); });
  }
  s.handler = std::move(handler);
  s.deliver();
}

void DatagramInbox::close(std::error_code error) {
  State& s = *state_;
  if (std::exchange(s.closed, true)) return;
  s.waiting.clear();
  if (!s.handler) return;
  asio::post(s.executor, [handler = std::exchange(s.handler, nullptr), error]() mutable { handler(error, {}); });
}

}  // namespace winze
