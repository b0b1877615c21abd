#include "winze/layer/mux_carrier.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <asio/post.hpp>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "winze/base/error.h"
#include "winze/io/dialer.h"
#include "winze/io/idle_timer.h"
#include "winze/io/inbox.h"
#include "winze/proto/mux/error.h"

namespace winze::mux {
namespace {

// One write of the carrier takes so much from those that wait, and so much from one of several.
constexpr std::size_t kBatch = 192 << 10;
constexpr std::size_t kTurn = 64 << 10;
constexpr std::size_t kDatagramBacklog = 128 << 10;

struct Sub {
  Sub(StreamId number, Opening what, const Executor& executor) : id(number), opening(std::move(what)) {
    if (opening.datagrams) inbox.emplace(executor);
  }

  StreamId id;
  Opening opening;

  // Reading.
  std::deque<Buffer> received;
  std::size_t held = 0;
  std::size_t arriving = 0;  // in the read of the carrier that is being looked at
  bool touched = false;      // ... and so listed
  bool ended = false;        // by the peer
  std::error_code failure;   // over in both directions
  Stream::ReadHandler reader;
  Overhead room;

  // Writing.
  Buffer pending;
  bool waiting = false;  // in the queue of those that have something to write
  bool closing = false;  // shutdown_write() was called
  Stream::WriteHandler writer;
  TimePoint end_due = kNever;  // of an end not said yet

  // Datagrams.
  std::optional<DatagramInbox> inbox;
  Buffer backlog;  // framed
  std::uint64_t dropped = 0;

  bool closed = false;
};
using SubPtr = std::shared_ptr<Sub>;

}  // namespace

struct Carrier::State final : Events, std::enable_shared_from_this<State> {
  State(Environment& env, StreamPtr stream, std::unique_ptr<Session> mux_session, const CarrierOptions& carrier_options,
        AcceptHandler accept_handler, EndHandler end_handler)
      : environment(env),
        below(std::move(stream)),
        session(std::move(mux_session)),
        options(carrier_options),
        on_accept(std::move(accept_handler)),
        on_end_of_carrier(std::move(end_handler)),
        idle(env.clock),
        end_timer(env.clock.make_timer()) {}

  void start() {
    watch_idle();
    read();
    schedule_write();
  }

  // --- reading the carrier ---

  void read() {
    if (reading || closed || paused()) return;
    reading = true;
    below->read([self = shared_from_this()](std::error_code error, Buffer data) {
      self->reading = false;
      if (self->closed) return;
      if (error) return self->end(error);
      self->on_read(std::move(data));
    });
  }

  bool paused() const { return !session->has_windows() && (held >= kCarrierLimit || stalled != 0); }

  void on_read(Buffer data) {
    const std::error_code error = session->receive(std::as_const(data).span(), *this);
    distribute(std::move(data));
    accept_new();
    deliver_all();
    if (closed) return;
    if (error) return fail(error);
    schedule_write();
    read();
  }

  // Events, within receive(): notes only; nobody is called.

  void on_open(StreamId id, Opening opening) override {
    if (!on_accept || subs.size() >= options.max_streams) return session->close(id, true);
    const SubPtr sub = add(id, std::move(opening));
    arrived.push_back(sub);
  }

  void on_data(StreamId id, std::span<const std::uint8_t> bytes) override {
    Sub* sub = find(id);
    if (sub == nullptr) return;
    sub->arriving += bytes.size();
    pieces.push_back({sub, bytes});
    touch(*sub);
  }

  void on_datagram(StreamId id, const Destination* peer, std::span<const std::uint8_t> bytes) override {
    Sub* sub = find(id);
    if (sub == nullptr || !sub->inbox) return;
    // A copy into a buffer of its own, because each datagram goes on by itself.
    Datagram datagram{
        .payload = environment.pool.acquire(sub->room.front + bytes.size() + sub->room.back, sub->room.front),
        .peer = peer != nullptr ? *peer : sub->opening.destination};
    datagram.payload.append(bytes);
    if (!sub->inbox->push(datagram)) ++sub->dropped;
  }

  void on_end(StreamId id) override {
    Sub* sub = find(id);
    if (sub == nullptr) return;
    sub->ended = true;
    if (sub->inbox) sub->inbox->close(winze::Errc::kEof);
    touch(*sub);
  }

  void on_close(StreamId id, std::error_code error) override {
    const auto found = subs.find(id);
    if (found == subs.end()) return;
    const SubPtr sub = found->second;
    subs.erase(found);
    sub->failure = error;
    if (sub->inbox) sub->inbox->close(error);
    touched.push_back(sub);
    watch_idle();
  }

  void on_writable(StreamId id) override {
    if (id != 0) {
      if (Sub* sub = find(id)) enqueue(*sub);
      return;
    }
    for (const auto& [other, sub] : subs) enqueue(*sub);
  }

  void touch(Sub& sub) {
    if (std::exchange(sub.touched, true)) return;
    touched.push_back(subs[sub.id]);
  }

  // To each sub-stream its bytes. Those of one whose reader waits stay where they are, moved together over the heads
  // between them; others are copied out, because a read brings bytes of many.
  void distribute(Buffer data) {
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

  bool is_within(const Buffer& data) const {
    return std::ranges::all_of(pieces, [&](const Piece& p) {
      return p.bytes.data() >= data.data() && p.bytes.data() + p.bytes.size() <= data.data() + data.size();
    });
  }

  void compact(Buffer& data) {
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

  void copy_out(Sub& sub, std::span<const std::uint8_t> bytes) {
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

  void keep(Sub& sub, Buffer data) {
    const std::size_t size = data.size();
    sub.received.push_back(std::move(data));
    count(sub, size);
  }

  void count(Sub& sub, std::size_t size) {
    if (sub.closed) return;
    const bool was_full = sub.held >= kStreamLimit;
    sub.held += size;
    held += size;
    if (!was_full && sub.held >= kStreamLimit) ++stalled;
  }

  void uncount(Sub& sub, std::size_t size) {
    const bool was_full = sub.held >= kStreamLimit;
    sub.held -= size;
    held -= size;
    if (was_full && sub.held < kStreamLimit) --stalled;
  }

  // --- what the peer has opened, and what readers wait for ---

  void accept_new() {
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

  void deliver_all() {
    for (const SubPtr& sub : std::exchange(touched, {})) {
      sub->touched = false;
      if (sub->end_due != kNever) sub->end_due = environment.clock.now() + kEndDelay;
      if (sub->failure) fail_writer(*sub, sub->failure);
      if (sub->reader && has_news(*sub)) deliver(*sub);
      if (sub->ended && sub->end_due != kNever) say_end(*sub);
    }
  }

  bool has_news(const Sub& sub) const { return !sub.received.empty() || sub.ended || sub.failure; }

  void deliver(Sub& sub) {
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

  // --- writing the carrier ---

  void enqueue(Sub& sub) {
    if (sub.waiting || (sub.pending.empty() && sub.backlog.empty() && !sub.writer) || sub.failure) return;
    sub.waiting = true;
    queue.push_back(subs[sub.id]);
    schedule_write();
  }

  // Posted, so that what several write in the same turn of the loop goes out together.
  void schedule_write() {
    if (writing || scheduled || closed || (queue.empty() && !session->wants_flush())) return;
    scheduled = true;
    asio::post(environment.executor, [self = shared_from_this()] {
      self->scheduled = false;
      self->write();
    });
  }

  void write() {
    if (writing || closed) return;
    Buffer out;
    if (queue.size() > 1 || (session->wants_flush() && !queue.empty())) out = batch_buffer();
    if (session->wants_flush()) session->flush(out);
    std::size_t turns = queue.size() * 8;
    while (!queue.empty() && out.size() < kBatch && turns-- > 0) {
      const SubPtr sub = std::move(queue.front());
      queue.pop_front();
      sub->waiting = false;
      if (sub->closed || sub->failure) continue;
      take_turn(sub, out);
    }
    if (out.empty()) return complete();
    writing = true;
    below->write(std::move(out), [self = shared_from_this()](std::error_code error) {
      self->writing = false;
      if (self->closed) return;
      if (error) return self->end(error);
      self->complete();
      self->schedule_write();
    });
  }

  // Room for what waits, as far as it goes into one write.
  Buffer batch_buffer() const {
    std::size_t size = 512;
    for (const SubPtr& sub : queue) {
      size += std::min(kTurn, sub->pending.size()) + sub->backlog.size() + session->overhead().front;
      if (size >= kBatch) break;
    }
    const Overhead room = below->overhead();
    return environment.pool.acquire(room.front + std::min(size, kBatch + kTurn) + room.back, room.front);
  }

  void take_turn(const SubPtr& sub, Buffer& out) {
    Buffer piece = std::move(sub->backlog);
    if (!sub->inbox) {
      const std::size_t n = std::min(sub->pending.size(), session->window(sub->id));
      if (n == 0 && !sub->pending.empty()) return;  // until on_writable()
      const bool alone = out.capacity() == 0;
      piece = take(*sub, alone ? n : std::min(n, kTurn));
      const bool whole = sub->pending.empty();
      session->seal(sub->id, piece);
      if (whole) {
        completing.push_back(sub);
      } else {
        sub->waiting = true;
        queue.push_back(sub);
      }
    }
    if (out.capacity() == 0) {
      out = std::move(piece);
    } else {
      // Copied, so that a burst is one record of TLS and one system call.
      out.append(std::as_const(piece).span());
    }
  }

  Buffer take(Sub& sub, std::size_t n) {
    if (n == sub.pending.size()) return std::move(sub.pending);
    const Overhead room = session->overhead() + below->overhead();
    Buffer piece = environment.pool.acquire(room.front + n + room.back, room.front);
    piece.append(std::as_const(sub.pending).span().first(n));
    sub.pending.trim_front(n);
    return piece;
  }

  void complete() {
    for (const SubPtr& sub : std::exchange(completing, {})) {
      if (auto handler = std::exchange(sub->writer, nullptr)) {
        asio::post(environment.executor, [handler = std::move(handler)]() mutable { handler({}); });
      }
    }
  }

  // --- one sub-stream ---

  Sub* find(StreamId id) {
    const auto found = subs.find(id);
    return found == subs.end() ? nullptr : found->second.get();
  }

  SubPtr add(StreamId id, Opening opening) {
    auto sub = std::make_shared<Sub>(id, std::move(opening), environment.executor);
    subs.emplace(id, sub);
    idle.stop();
    return sub;
  }

  SubPtr open(const Opening& opening) {
    if (closed) return nullptr;
    const std::optional<StreamId> id = session->open(opening);
    return id ? add(*id, opening) : nullptr;
  }

  void read(const SubPtr& sub, Stream::ReadHandler handler) {
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

  void write(const SubPtr& sub, Buffer data, Stream::WriteHandler handler) {
    if (std::error_code error = write_refusal(*sub)) return post(std::move(handler), error);
    sub->writer = std::move(handler);
    if (data.empty() && !session->is_unannounced(sub->id)) {
      return post(std::exchange(sub->writer, nullptr), {});
    }
    sub->pending = std::move(data);
    enqueue(*sub);
  }

  void shutdown(const SubPtr& sub, Stream::WriteHandler handler) {
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

  void say_end(Sub& sub) {
    sub.end_due = kNever;
    session->end(sub.id);
    schedule_write();
  }

  void watch_ends() {
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

  std::error_code write_refusal(const Sub& sub) const {
    if (sub.closed || sub.closing) return winze::Errc::kClosed;
    if (sub.writer) return winze::Errc::kBusy;
    if (sub.failure) return lost(sub.failure);
    return {};
  }

  // What a writer is told of a stream that the peer has ended in order.
  static std::error_code lost(std::error_code failure) {
    return failure == winze::Errc::kEof ? std::make_error_code(std::errc::broken_pipe) : failure;
  }

  void fail_writer(Sub& sub, std::error_code error) {
    sub.pending.release();
    sub.backlog.release();
    if (sub.writer) post(std::exchange(sub.writer, nullptr), lost(error));
  }

  void post(Stream::WriteHandler handler, std::error_code error) {
    asio::post(environment.executor, [handler = std::move(handler), error]() mutable { handler(error); });
  }

  void close(Sub& sub, bool failed) {
    if (std::exchange(sub.closed, true)) return;
    uncount(sub, sub.held);
    sub.received.clear();
    if (sub.inbox) sub.inbox->close();
    if (sub.reader) {
      asio::post(environment.executor,
                 [handler = std::exchange(sub.reader, nullptr)]() mutable { handler(winze::Errc::kAborted, {}); });
    }
    if (sub.writer) post(std::exchange(sub.writer, nullptr), winze::Errc::kAborted);
    if (!sub.failure && !closed) session->close(sub.id, failed || !sub.pending.empty());
    sub.pending.release();
    sub.backlog.release();
    if (closed) return;
    subs.erase(sub.id);
    watch_idle();
    schedule_write();
    read();
  }

  std::size_t send(const SubPtr& sub, std::span<Datagram> datagrams) {
    std::size_t taken = 0;
    for (Datagram& datagram : datagrams) taken += add(*sub, datagram) ? 1 : 0;
    sub->dropped += datagrams.size() - taken;
    if (taken != 0) enqueue(*sub);
    return taken;
  }

  bool add(Sub& sub, Datagram& datagram) {
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

  StreamPtr make_stream(SubPtr sub);
  ConduitPtr make_conduit(SubPtr sub);

  // --- the end of the carrier ---

  void watch_idle() {
    if (!subs.empty() || closed || options.idle == Duration::zero()) return;
    idle.touch();
    idle.start(options.idle, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (self && self->subs.empty()) self->end(winze::Errc::kEof);
    });
  }

  // The peer has broken the protocol: what we have to say to that (a GOAWAY) goes out first.
  void fail(std::error_code error) {
    if (!session->wants_flush() || writing) return end(error);
    Buffer last;
    session->flush(last);
    writing = true;
    below->write(std::move(last), [self = shared_from_this(), error](std::error_code) {
      if (!self->closed) self->end(error);
    });
  }

  void end(std::error_code error) {
    if (closed) return;
    fail_all(error == winze::Errc::kEof ? make_error_code(Errc::kCarrierEnded) : error);
    auto report = std::exchange(on_end_of_carrier, nullptr);
    close();
    if (report) report(error);
  }

  void fail_all(std::error_code error) {
    for (const auto& [id, sub] : std::exchange(subs, {})) {
      sub->failure = error;
      fail_writer(*sub, error);
      if (sub->inbox) sub->inbox->close(error);
      if (!sub->reader) continue;
      asio::post(environment.executor, [self = shared_from_this(), sub = sub] {
        if (sub->reader) self->deliver(*sub);
      });
    }
    queue.clear();
    completing.clear();
  }

  void close() {
    if (std::exchange(closed, true)) return;
    on_accept = nullptr;
    on_end_of_carrier = nullptr;
    fail_all(make_error_code(Errc::kCarrierEnded));
    idle.stop();
    end_timer->disarm();
    // In order, so that the layers below do not take it for a broken connection.
    if (!writing) below->shutdown_write([](std::error_code) {});
    below->close();
  }

  // A stream that is closed meanwhile is in `touched`.
  struct Piece {
    Sub* sub;
    std::span<const std::uint8_t> bytes;
  };

  Environment& environment;
  StreamPtr below;
  std::unique_ptr<Session> session;
  CarrierOptions options;
  AcceptHandler on_accept;
  EndHandler on_end_of_carrier;
  IdleTimer idle;
  TimerPtr end_timer;
  absl::flat_hash_map<StreamId, SubPtr> subs;
  std::deque<SubPtr> queue;        // have something to write
  std::vector<SubPtr> completing;  // whose write is in the carrier's
  std::vector<SubPtr> arrived, touched;
  std::vector<Piece> pieces;
  std::size_t held = 0;     // by all sub-streams
  std::size_t stalled = 0;  // sub-streams that hold kStreamLimit
  bool reading = false;
  bool writing = false;
  bool scheduled = false;
  bool closed = false;
};

namespace {

class SubStream final : public Stream {
 public:
  SubStream(std::shared_ptr<Carrier::State> carrier, SubPtr sub) : carrier_(std::move(carrier)), sub_(std::move(sub)) {}
  ~SubStream() override { carrier_->close(*sub_, false); }

  void read(ReadHandler handler) override { carrier_->read(sub_, std::move(handler)); }
  void write(Buffer data, WriteHandler handler) override { carrier_->write(sub_, std::move(data), std::move(handler)); }
  void shutdown_write(WriteHandler handler) override { carrier_->shutdown(sub_, std::move(handler)); }
  void close() override { carrier_->close(*sub_, false); }
  void abort() override { carrier_->close(*sub_, true); }
  Overhead overhead() const override { return carrier_->session->overhead() + carrier_->below->overhead(); }
  void reserve(Overhead room) override { sub_->room = room; }
  const Executor& executor() const override { return carrier_->environment.executor; }
  Endpoint local() const override { return carrier_->below->local(); }
  Endpoint remote() const override { return carrier_->below->remote(); }
  bool holds_opening() const override { return !sub_->closed && carrier_->session->is_unannounced(sub_->id); }

 private:
  std::shared_ptr<Carrier::State> carrier_;
  SubPtr sub_;
};

class SubConduit final : public PacketConduit {
 public:
  SubConduit(std::shared_ptr<Carrier::State> carrier, SubPtr sub)
      : carrier_(std::move(carrier)), sub_(std::move(sub)) {}
  ~SubConduit() override { carrier_->close(*sub_, false); }

  std::size_t send(std::span<Datagram> datagrams) override { return carrier_->send(sub_, datagrams); }
  void receive(ReceiveHandler handler) override { sub_->inbox->receive(std::move(handler)); }
  void close() override { carrier_->close(*sub_, false); }
  std::size_t mtu() const override { return carrier_->session->largest_datagram(); }
  Overhead overhead() const override { return carrier_->session->overhead() + carrier_->below->overhead(); }
  void reserve(Overhead room) override { sub_->room = room; }
  std::uint64_t dropped() const override { return sub_->dropped; }
  const Executor& executor() const override { return carrier_->environment.executor; }

 private:
  std::shared_ptr<Carrier::State> carrier_;
  SubPtr sub_;
};

}  // namespace

StreamPtr Carrier::State::make_stream(SubPtr sub) {
  return std::make_unique<SubStream>(shared_from_this(), std::move(sub));
}
ConduitPtr Carrier::State::make_conduit(SubPtr sub) {
  return std::make_unique<SubConduit>(shared_from_this(), std::move(sub));
}

Carrier::Carrier(Environment& environment, StreamPtr below, std::unique_ptr<Session> session,
                 const CarrierOptions& options, AcceptHandler on_accept, EndHandler on_end)
    : state_(std::make_shared<State>(environment, std::move(below), std::move(session), options, std::move(on_accept),
                                     std::move(on_end))) {
  state_->start();
}

Carrier::~Carrier() { state_->close(); }

StreamPtr Carrier::open_stream(const Opening& opening) {
  SubPtr sub = state_->open(opening);
  return sub ? state_->make_stream(std::move(sub)) : nullptr;
}

ConduitPtr Carrier::open_conduit(const Opening& opening) {
  SubPtr sub = state_->open(opening);
  return sub ? state_->make_conduit(std::move(sub)) : nullptr;
}

bool Carrier::may_open() const { return !state_->closed && state_->session->may_open(); }
std::size_t Carrier::streams() const { return state_->subs.size(); }
std::size_t Carrier::held() const { return state_->held; }

}  // namespace winze::mux
