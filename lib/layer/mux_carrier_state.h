// What is behind a Carrier: its sub-streams, and the halves of its work. Reading is in mux_carrier_read.cc, writing in
// mux_carrier_write.cc, beginning and end in mux_carrier.cc.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "winze/io/idle_timer.h"
#include "winze/io/inbox.h"
#include "winze/layer/mux_carrier.h"

namespace winze::mux {

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
  bool blocked = false;  // among those that wait for a window
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

  void start();

  // --- reading the carrier ---

  void read();
  bool paused() const { return session->has_windows() ? held >= kWindowsLimit : held >= kCarrierLimit || stalled != 0; }
  void on_read(Buffer data);

  // Events, within receive(): notes only; nobody is called.
  void on_open(StreamId id, Opening opening) override;
  void on_data(StreamId id, std::span<const std::uint8_t> bytes) override;
  void on_datagram(StreamId id, const Destination* peer, std::span<const std::uint8_t> bytes) override;
  void on_end(StreamId id) override;
  void on_close(StreamId id, std::error_code error) override;
  void on_writable(StreamId id) override;

  void touch(Sub& sub);
  void block(const SubPtr& sub);
  void unblock(Sub& sub);
  // To each sub-stream its bytes. Those of one whose reader waits stay where they are, moved together over the heads
  // between them; others are copied out, because a read brings bytes of many.
  void distribute(Buffer data);
  bool is_within(const Buffer& data) const;
  void compact(Buffer& data);
  void copy_out(Sub& sub, std::span<const std::uint8_t> bytes);
  void keep(Sub& sub, Buffer data);
  void count(Sub& sub, std::size_t size);
  void uncount(Sub& sub, std::size_t size);

  // --- what the peer has opened, and what readers wait for ---

  void accept_new();
  void deliver_all();
  bool has_news(const Sub& sub) const { return !sub.received.empty() || sub.ended || sub.failure; }
  void deliver(Sub& sub);

  // --- writing the carrier ---

  void enqueue(Sub& sub);
  // Posted, so that what several write in the same turn of the loop goes out together.
  void schedule_write();
  void write();
  // Room for what waits, as far as it goes into one write.
  Buffer batch_buffer() const;
  void take_turn(const SubPtr& sub, Buffer& out);
  Buffer take(Sub& sub, std::size_t n);
  void complete();

  // --- one sub-stream ---

  Sub* find(StreamId id);
  SubPtr add(StreamId id, Opening opening);
  SubPtr open(const Opening& opening);
  void read(const SubPtr& sub, Stream::ReadHandler handler);
  void write(const SubPtr& sub, Buffer data, Stream::WriteHandler handler);
  void shutdown(const SubPtr& sub, Stream::WriteHandler handler);
  void say_end(Sub& sub);
  void watch_ends();
  std::error_code write_refusal(const Sub& sub) const;
  // What a writer is told of a stream that the peer has ended in order.
  static std::error_code lost(std::error_code failure);
  void fail_writer(Sub& sub, std::error_code error);
  void post(Stream::WriteHandler handler, std::error_code error);
  void close(Sub& sub, bool failed);
  std::size_t send(const SubPtr& sub, std::span<Datagram> datagrams);
  bool add(Sub& sub, Datagram& datagram);
  StreamPtr make_stream(SubPtr sub);
  ConduitPtr make_conduit(SubPtr sub);

  // --- the end of the carrier ---

  void watch_idle();
  // The peer has broken the protocol: what we have to say to that (a GOAWAY) goes out first.
  void fail(std::error_code error);
  void end(std::error_code error);
  void fail_all(std::error_code error);
  void close();

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
  std::deque<SubPtr> served;       // ... still, behind all who come while the write under way lasts
  std::vector<SubPtr> blocked;     // ... for which there is no window, the longest first
  std::vector<SubPtr> completing;  // whose write is in the carrier's
  std::vector<SubPtr> arrived, touched;
  std::vector<Piece> pieces;
  std::size_t held = 0;     // by all sub-streams
  std::size_t stalled = 0;  // sub-streams that hold kStreamLimit
  bool reading = false;
  bool writing = false;
  bool slow = false;  // by the last write
  bool scheduled = false;
  bool closed = false;
};

}  // namespace winze::mux
