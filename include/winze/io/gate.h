// One direction of a relay on its way past a Meter: it waits for the time of each piece, and counts what has passed.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "winze/base/buffer.h"
#include "winze/io/environment.h"
#include "winze/io/meter.h"

namespace winze {

class Gate {
 public:
  // `meter` must outlive the gate.
  Gate(Environment& environment, const Meter& meter, Way way);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  bool is_limited() const { return meter_.allowance() != nullptr && meter_.allowance()->limits(way_); }
  // How much should be asked for at a time.
  std::size_t largest() const { return is_limited() ? meter_.allowance()->largest(way_) : SIZE_MAX; }

  // Calls `pass(n)` when `bytes` > 0 may pass, or n of them because no more is left of a quota: at once, from within,
  // where it is their time, else later. One at a time. When the quota is used up it is not called before that changes:
  // who set the quota ends the relay. `pass` may own what owns the gate, which must call stop() when it is cancelled.
  template <typename Pass>
  void enter(std::size_t bytes, Pass pass, std::size_t least = 1) {
    if (!is_limited()) return pass(bytes);
    book(bytes, least, std::move(pass));
  }
  // That have passed.
  void count(std::uint64_t bytes);
  // Nothing more will pass: drops what waits.
  void stop();

  // All that was counted.
  std::uint64_t bytes() const { return bytes_; }

 private:
  using Pass = absl::AnyInvocable<void(std::size_t)>;
  void book(std::size_t bytes, std::size_t least, Pass pass);
  void wait(std::size_t bytes, std::size_t least, const Allowance::Piece& piece, Pass pass);

  Environment& environment_;
  const Meter& meter_;
  Way way_;
  bool joined_ = false;
  std::size_t reserved_ = 0;  // of the quota, and not yet passed
  std::uint64_t bytes_ = 0;
  TimerPtr timer_;
};

// Takes `bytes` off the front of `data`: all of it by moving, less into a new buffer with `room` around.
Buffer split_front(Buffer& data, std::size_t bytes, Overhead room, BufferPool& pool);

}  // namespace winze
