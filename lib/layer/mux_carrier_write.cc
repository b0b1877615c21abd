#include <algorithm>
#include <asio/post.hpp>
#include <utility>

#include "mux_carrier_state.h"
#include "winze/base/error.h"
#include "winze/io/dialer.h"

namespace winze::mux {
namespace {

// One write of the carrier takes so much from those that wait, and so much from one of several. Where each has more
// than that they go one after another, whole: nothing is copied, and what the peer reads at once is of one stream.
constexpr std::size_t kBatch = 192 << 10;
constexpr std::size_t kTurn = 64 << 10;
// A path that takes longer for so much is slow: there one turn is a write, so that the next comes soon.
constexpr Duration kTimeOfTurn = std::chrono::milliseconds(10);
constexpr std::size_t kDatagramBacklog = 128 << 10;

}  // namespace

void Carrier::State::enqueue(Sub& sub) {
  if (sub.waiting || (sub.pending.empty() && sub.backlog.empty() && !sub.writer) || sub.failure) return;
  sub.waiting = true;
  queue.push_back(subs[sub.id]);
  schedule_write();
}

void Carrier::State::schedule_write() {
  if (writing || scheduled || closed || (queue.empty() && !session->wants_flush())) return;
  scheduled = true;
  asio::post(environment.executor, [self = shared_from_this()] {
    self->scheduled = false;
    self->write();
  });
}

void Carrier::State::write() {
  if (writing || closed) return;
  Buffer out;
  const bool apart = !slow && std::ranges::all_of(queue, [](const SubPtr& sub) { return sub->pending.size() > kTurn; });
  const std::size_t most = slow ? kTurn : kBatch;
  if ((queue.size() > 1 && !apart) || (session->wants_flush() && !queue.empty())) out = batch_buffer();
  if (session->wants_flush()) session->flush(out);
  std::size_t turns = queue.size() * 8;
  while (!queue.empty() && out.size() < most && turns-- > 0) {
    const SubPtr sub = std::move(queue.front());
    queue.pop_front();
    sub->waiting = false;
    if (sub->closed || sub->failure) continue;
    take_turn(sub, out);
    if (apart && !out.empty()) break;
  }
  if (out.empty()) return complete();
  writing = true;
  const std::size_t turns_written = std::max<std::size_t>(1, out.size() / kTurn);
  const TimePoint slow_from = environment.clock.now() + turns_written * kTimeOfTurn;
  below->write(std::move(out), [self = shared_from_this(), slow_from](std::error_code error) {
    self->writing = false;
    self->slow = self->environment.clock.now() >= slow_from;
    for (SubPtr& sub : std::exchange(self->served, {})) self->queue.push_back(std::move(sub));
    if (self->closed) return;
    if (error) return self->end(error);
    self->complete();
    self->schedule_write();
  });
}

Buffer Carrier::State::batch_buffer() const {
  std::size_t size = 512;
  for (const SubPtr& sub : queue) {
    size += std::min(kTurn, sub->pending.size()) + sub->backlog.size() + session->overhead().front;
    if (size >= kBatch) break;
  }
  const Overhead room = below->overhead();
  return environment.pool.acquire(room.front + std::min(size, kBatch + kTurn) + room.back, room.front);
}

void Carrier::State::take_turn(const SubPtr& sub, Buffer& out) {
  Buffer piece = std::move(sub->backlog);
  if (!sub->inbox) {
    const std::size_t n = std::min(sub->pending.size(), session->window(sub->id));
    if (n == 0 && !sub->pending.empty()) return block(sub);
    const bool alone = out.capacity() == 0 && !slow;
    piece = take(*sub, alone ? n : std::min(n, kTurn));
    const bool whole = sub->pending.empty();
    session->seal(sub->id, piece);
    if (whole) {
      completing.push_back(sub);
    } else {
      sub->waiting = true;
      (slow ? served : queue).push_back(sub);
    }
  }
  if (out.capacity() == 0) {
    out = std::move(piece);
  } else {
    // Copied, so that a burst is one record of TLS and one system call.
    out.append(std::as_const(piece).span());
  }
}

// Until on_writable().
void Carrier::State::block(const SubPtr& sub) {
  if (!std::exchange(sub->blocked, true)) blocked.push_back(sub);
}

void Carrier::State::unblock(Sub& sub) {
  if (std::exchange(sub.blocked, false))
    std::erase_if(blocked, [&](const SubPtr& other) { return other.get() == &sub; });
}

Buffer Carrier::State::take(Sub& sub, std::size_t n) {
  if (n == sub.pending.size()) return std::move(sub.pending);
  const Overhead room = session->overhead() + below->overhead();
  Buffer piece = environment.pool.acquire(room.front + n + room.back, room.front);
  piece.append(std::as_const(sub.pending).span().first(n));
  sub.pending.trim_front(n);
  return piece;
}

void Carrier::State::complete() {
  for (const SubPtr& sub : std::exchange(completing, {})) {
    if (auto handler = std::exchange(sub->writer, nullptr)) {
      asio::post(environment.executor, [handler = std::move(handler)]() mutable { handler({}); });
    }
  }
}

void Carrier::State::write(const SubPtr& sub, Buffer data, Stream::WriteHandler handler) {
  if (std::error_code error = write_refusal(*sub)) return post(std::move(handler), error);
  sub->writer = std::move(handler);
  if (data.empty() && !session->is_unannounced(sub->id)) {
    return post(std::exchange(sub->writer, nullptr), {});
  }
  sub->pending = std::move(data);
  enqueue(*sub);
}

void Carrier::State::shutdown(const SubPtr& sub, Stream::WriteHandler handler) {
  if (std::error_code error = write_refusal(*sub)) return post(std::move(handler), error);
  sub->closing = true;
  if (session->end_closes() && !sub->ended) {
    if (session->is_unannounced(sub->id)) {
      sub->writer = [](std::error_code) {};
      enqueue(*sub);
    }
    sub->end_due = environment.clock.now() + kEndDelay;
    watch_ends();
  } else {
    say_end(*sub);
  }
  post(std::move(handler), {});
}

void Carrier::State::say_end(Sub& sub) {
  sub.end_due = kNever;
  session->end(sub.id);
  schedule_write();
}

void Carrier::State::watch_ends() {
  TimePoint due = kNever;
  for (const auto& [id, sub] : subs) due = std::min(due, sub->end_due);
  if (due == kNever) return;
  end_timer->arm(due, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->closed) return;
    const TimePoint now = self->environment.clock.now();
    for (const auto& [id, sub] : self->subs) {
      if (sub->end_due <= now) self->say_end(*sub);
    }
    self->watch_ends();
  });
}

std::error_code Carrier::State::write_refusal(const Sub& sub) const {
  if (sub.closed || sub.closing) return winze::Errc::kClosed;
  if (sub.writer) return winze::Errc::kBusy;
  if (sub.failure) return lost(sub.failure);
  return {};
}

std::error_code Carrier::State::lost(std::error_code failure) {
  return failure == winze::Errc::kEof ? std::make_error_code(std::errc::broken_pipe) : failure;
}

void Carrier::State::fail_writer(Sub& sub, std::error_code error) {
  sub.pending.release();
  sub.backlog.release();
  if (sub.writer) post(std::exchange(sub.writer, nullptr), lost(error));
}

std::size_t Carrier::State::send(const SubPtr& sub, std::span<Datagram> datagrams) {
  std::size_t taken = 0;
  for (Datagram& datagram : datagrams) taken += add(*sub, datagram) ? 1 : 0;
  sub->dropped += datagrams.size() - taken;
  if (taken != 0) enqueue(*sub);
  return taken;
}

bool Carrier::State::add(Sub& sub, Datagram& datagram) {
  if (sub.closed || sub.failure || sub.backlog.size() + datagram.payload.size() > kDatagramBacklog) return false;
  const Destination* peer = is_everyone(datagram.peer) ? nullptr : &datagram.peer;
  if (!session->seal_datagram(sub.id, datagram.payload, peer)) return false;
  if (sub.backlog.empty()) {
    sub.backlog = std::move(datagram.payload);
  } else {
    sub.backlog.append(std::as_const(datagram.payload).span());
  }
  return true;
}

}  // namespace winze::mux
