// What conduits over a descriptor have in common: waiting until it can be read, and ending.
#pragma once

#include <asio/posix/basic_stream_descriptor.hpp>
#include <asio/post.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/io/conduit.h"

namespace winze {

// `Derived` has `std::error_code fill(std::vector<Datagram>&)`, which adds what can be read now, maybe nothing.
template <typename Derived>
class DescriptorReader : public std::enable_shared_from_this<Derived> {
 public:
  DescriptorReader(Environment& env, int fd) : environment(env), descriptor_(env.executor, fd) {}

  void receive(PacketConduit::ReceiveHandler handler) {
    if (closed_ || receiving_) {
      const Errc error = closed_ ? Errc::kClosed : Errc::kBusy;
      return asio::post(environment.executor, [handler = std::move(handler), error]() mutable { handler(error, {}); });
    }
    receiving_ = true;
    wait(std::move(handler));
  }

  void close() {
    if (std::exchange(closed_, true)) return;
    std::error_code ignored;
    descriptor_.close(ignored);
  }

  int fd() { return descriptor_.native_handle(); }

  Environment& environment;
  Overhead room;
  std::uint64_t dropped = 0;

 private:
  // The handler is the operation's: an event loop that is dropped drops both.
  void wait(PacketConduit::ReceiveHandler waiting) {
    descriptor_.async_wait(Descriptor::wait_read, [self = this->shared_from_this(),
                                                   handler = std::move(waiting)](std::error_code error) mutable {
      if (self->closed_) error = Errc::kAborted;
      if (!error) error = static_cast<Derived&>(*self).fill(self->batch_);
      if (!error && self->batch_.empty()) return self->wait(std::move(handler));
      self->receiving_ = false;
      // The handler may ask for the next batch at once, so this one is its own.
      std::vector<Datagram> batch = std::exchange(self->batch_, std::move(self->spare_));
      handler(error, batch);
      batch.clear();
      self->spare_ = std::move(batch);
    });
  }

  using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
  Descriptor descriptor_;
  std::vector<Datagram> batch_, spare_;  // two, in turn, so that no batch costs an allocation
  bool receiving_ = false;
  bool closed_ = false;
};

}  // namespace winze
