#include "winze/io/gate.h"

#include <algorithm>
#include <span>

namespace winze {
namespace {

// How long a piece waits before it looks whether the limits have changed.
constexpr Duration kLook = std::chrono::seconds(1);

}  // namespace

Gate::Gate(Environment& environment, const Meter& meter, Way way)
    : environment_(environment), meter_(meter), way_(way) {}

Gate::~Gate() { stop(); }

void Gate::book(std::size_t bytes, std::size_t least, Pass pass) {
  Allowance& allowance = *meter_.allowance();
  if (!std::exchange(joined_, true)) allowance.join();
  const TimePoint now = environment_.clock.now();
  const Allowance::Piece piece = allowance.book(way_, bytes, now);
  reserved_ += piece.reserved;
  if (piece.bytes != 0 && piece.at <= now) return pass(piece.bytes);
  wait(bytes, least, piece, std::move(pass));
}

void Gate::wait(std::size_t bytes, std::size_t least, const Allowance::Piece& piece, Pass pass) {
  if (!timer_) timer_ = environment_.clock.make_timer();
  const TimePoint look = environment_.clock.now() + kLook;
  timer_->arm(piece.bytes == 0 ? look : std::min(piece.at, look),
              [this, bytes, least, piece, pass = std::move(pass)]() mutable {
                const bool changed = piece.epoch != meter_.allowance()->epoch();
                if (piece.bytes == 0 || changed) {
                  reserved_ -= piece.reserved;
                  meter_.allowance()->give_back(piece.reserved);
                  return enter(std::max(least, std::min(bytes, largest())), std::move(pass), least);
                }
                if (environment_.clock.now() < piece.at) return wait(bytes, least, piece, std::move(pass));
                pass(piece.bytes);
              });
}

void Gate::count(std::uint64_t bytes) {
  bytes_ += bytes;
  reserved_ -= std::min<std::uint64_t>(bytes, reserved_);
  meter_.count(way_, bytes);
}

void Gate::stop() {
  if (timer_) timer_->disarm();
  if (!joined_) return;
  joined_ = false;
  meter_.allowance()->give_back(std::exchange(reserved_, 0));
  meter_.allowance()->leave();
}

Buffer split_front(Buffer& data, std::size_t bytes, Overhead room, BufferPool& pool) {
  if (bytes >= data.size()) return std::exchange(data, Buffer());
  Buffer out = pool.acquire(room.front + bytes + room.back, room.front);
  // Two owners need two blocks; only what is limited is cut.
  out.append(std::as_const(data).span().first(bytes));
  data.trim_front(bytes);
  return out;
}

}  // namespace winze
