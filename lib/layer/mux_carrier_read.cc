#include <algorithm>
#include <asio/post.hpp>
#include <cstring>
#include <utility>

#include "mux_carrier_state.h"
#include "winze/base/error.h"

namespace winze::mux {

void Carrier::State::read() {
  if (reading || closed || paused()) return;
  reading = true;
  below->read([self = shared_from_this()](std::error_code error, Buffer data) {
    self->reading = false;
    if (self->closed) return;
    if (error) return self->end(error);
    self->on_read(std::move(data));
  });
}

void Carrier::State::on_read(Buffer data) {
  const std::error_code error = session->receive(std::as_const(data).span(), *this);
  distribute(std::move(data));
  accept_new();
  deliver_all();
  if (closed) return;
  if (error) return fail(error);
  schedule_write();
  read();
}

void Carrier::State::on_open(StreamId id, Opening opening) {
  if (!on_accept || subs.size() >= options.max_streams) return session->close(id, true);
  const SubPtr sub = add(id, std::move(opening));
  arrived.push_back(sub);
}

void Carrier::State::on_data(StreamId id, std::span<const std::uint8_t> bytes) {
  Sub* sub = find(id);
  if (sub == nullptr) return;
  sub->arriving += bytes.size();
  pieces.push_back({sub, bytes});
  touch(*sub);
}

void Carrier::State::on_datagram(StreamId id, const Destination* peer, std::span<const std::uint8_t> bytes) {
  Sub* sub = find(id);
  if (sub == nullptr || !sub->inbox) return;
  // A copy into a buffer of its own, because each datagram goes on by itself.
  Datagram datagram{
      .payload = environment.pool.acquire(sub->room.front + bytes.size() + sub->room.back, sub->room.front),
      .peer = peer != nullptr ? *peer : sub->opening.destination};
  datagram.payload.append(bytes);
  if (!sub->inbox->push(datagram)) ++sub->dropped;
}

void Carrier::State::on_end(StreamId id) {
  Sub* sub = find(id);
  if (sub == nullptr) return;
  sub->ended = true;
  if (sub->inbox) sub->inbox->close(winze::Errc::kEof);
  touch(*sub);
}

void Carrier::State::on_close(StreamId id, std::error_code error) {
  const auto found = subs.find(id);
  if (found == subs.end()) return;
  const SubPtr sub = found->second;
  subs.erase(found);
  sub->failure = error;
  if (sub->inbox) sub->inbox->close(error);
  touched.push_back(sub);
  watch_idle();
}

void Carrier::State::on_writable(StreamId id) {
  if (id != 0) {
    Sub* sub = find(id);
    if (sub == nullptr || !sub->blocked) return;
    unblock(*sub);
    return enqueue(*sub);
  }
  for (const SubPtr& sub : std::exchange(blocked, {})) {
    sub->blocked = false;
    if (subs.contains(sub->id)) enqueue(*sub);
  }
}

void Carrier::State::touch(Sub& sub) {
  if (std::exchange(sub.touched, true)) return;
  touched.push_back(subs[sub.id]);
}

void Carrier::State::distribute(Buffer data) {
  if (pieces.empty()) return;
  const bool one = std::ranges::all_of(pieces, [&](const Piece& p) { return p.sub == pieces[0].sub; });
  Sub& first = *pieces[0].sub;
  if (one && first.reader && first.received.empty() && is_within(data)) {
    compact(data);
    keep(first, std::move(data));
  } else {
    for (const Piece& piece : pieces) copy_out(*piece.sub, piece.bytes);
  }
  for (const Piece& piece : pieces) piece.sub->arriving = 0;
  pieces.clear();
}

bool Carrier::State::is_within(const Buffer& data) const {
  return std::ranges::all_of(pieces, [&](const Piece& p) {
    return p.bytes.data() >= data.data() && p.bytes.data() + p.bytes.size() <= data.data() + data.size();
  });
}

void Carrier::State::compact(Buffer& data) {
  const std::size_t begin = static_cast<std::size_t>(pieces[0].bytes.data() - data.data());
  std::size_t end = begin + pieces[0].bytes.size();
  for (std::size_t i = 1; i < pieces.size(); ++i) {
    const auto bytes = pieces[i].bytes;
    if (bytes.data() != data.data() + end) std::memmove(data.data() + end, bytes.data(), bytes.size());
    end += bytes.size();
  }
  data.trim_back(data.size() - end);
  data.trim_front(begin);
}

void Carrier::State::copy_out(Sub& sub, std::span<const std::uint8_t> bytes) {
  if (sub.received.empty() || sub.received.back().tailroom() < bytes.size() + sub.room.back) {
    Buffer fresh = environment.pool.acquire(sub.room.front + sub.arriving + sub.room.back, sub.room.front);
    fresh.append(bytes);
    sub.arriving -= bytes.size();
    return keep(sub, std::move(fresh));
  }
  sub.received.back().append(bytes);
  sub.arriving -= bytes.size();
  count(sub, bytes.size());
}

void Carrier::State::keep(Sub& sub, Buffer data) {
  const std::size_t size = data.size();
  sub.received.push_back(std::move(data));
  count(sub, size);
}

void Carrier::State::count(Sub& sub, std::size_t size) {
  if (sub.closed) return;
  const bool was_full = sub.held >= kStreamLimit;
  sub.held += size;
  held += size;
  if (!was_full && sub.held >= kStreamLimit) ++stalled;
}

void Carrier::State::uncount(Sub& sub, std::size_t size) {
  const bool was_full = sub.held >= kStreamLimit;
  sub.held -= size;
  held -= size;
  if (was_full && sub.held < kStreamLimit) --stalled;
}

void Carrier::State::accept_new() {
  for (const SubPtr& sub : std::exchange(arrived, {})) {
    if (closed) return;
    Accepted accepted{.opening = sub->opening, .stream = nullptr, .conduit = nullptr};
    if (sub->inbox) {
      accepted.conduit = make_conduit(sub);
    } else {
      accepted.stream = make_stream(sub);
    }
    on_accept(std::move(accepted));
  }
}

void Carrier::State::deliver_all() {
  for (const SubPtr& sub : std::exchange(touched, {})) {
    sub->touched = false;
    if (sub->end_due != kNever) sub->end_due = environment.clock.now() + kEndDelay;
    if (sub->failure) fail_writer(*sub, sub->failure);
    if (sub->reader && has_news(*sub)) deliver(*sub);
    if (sub->ended && sub->end_due != kNever) say_end(*sub);
  }
}

void Carrier::State::deliver(Sub& sub) {
  auto handler = std::exchange(sub.reader, nullptr);
  if (sub.received.empty()) {
    const std::error_code error = sub.failure ? sub.failure : winze::make_error_code(winze::Errc::kEof);
    return handler(error, {});
  }
  Buffer data = std::move(sub.received.front());
  sub.received.pop_front();
  if (sub.received.empty()) sub.received.shrink_to_fit();
  const std::size_t size = data.size();
  uncount(sub, size);
  if (!sub.failure) session->consumed(sub.id, size);
  handler({}, std::move(data));
  schedule_write();
  read();
}

void Carrier::State::read(const SubPtr& sub, Stream::ReadHandler handler) {
  if (sub->closed || sub->reader) {
    const winze::Errc error = sub->closed ? winze::Errc::kClosed : winze::Errc::kBusy;
    return asio::post(environment.executor, [handler = std::move(handler), error]() mutable { handler(error, {}); });
  }
  sub->reader = std::move(handler);
  if (!has_news(*sub)) return;
  asio::post(environment.executor, [self = shared_from_this(), sub] {
    if (sub->reader && self->has_news(*sub)) self->deliver(*sub);
  });
}

}  // namespace winze::mux
