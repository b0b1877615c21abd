// One connection that carries many: what every multiplexing protocol does, with no I/O. A Session is one end of a
// carrier; a driver (winze/layer/mux_carrier.h) moves its bytes, holds what readers have not taken, and decides whose
// turn it is to write.
//
//   receive(bytes, events)  ->  events: opened, data, datagram, ended, closed, writable
//   open / seal / end / close / consumed  ->  frames: seal() in place, flush() for what the session says by itself
//
// A session is used from one executor and keeps no time. After an error of receive() only destruction follows.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include "winze/base/address.h"
#include "winze/base/buffer.h"

namespace winze::mux {

using StreamId = std::uint32_t;
// XUDP: names a flow of datagrams across carriers. All zero: none.
using GlobalId = std::array<std::uint8_t, 8>;

enum class Role : std::uint8_t { kClient, kServer };

// What a sub-stream is opened for. Where the protocol does not carry it (smux, yamux, h2mux) it stays empty: there the
// first bytes of the sub-stream say it (winze/proto/mux/sing.h).
struct Opening {
  Destination destination;
  bool datagrams = false;  // the sub-stream carries datagrams, not bytes
  bool any_peer = false;   // ... each with an address of its own (XUDP)
  GlobalId global_id = {};
};

// Called within receive(). None of these may call the session, except close() of the stream that has been opened.
class Events {
 public:
  virtual void on_open(StreamId id, Opening opening) = 0;
  // Within the bytes that receive() was given, where they are a stream's.
  virtual void on_data(StreamId id, std::span<const std::uint8_t> bytes) = 0;
  // `peer`: null where the frame names none.
  virtual void on_datagram(StreamId id, const Destination* peer, std::span<const std::uint8_t> bytes) = 0;
  // The peer writes no more; our direction goes on.
  virtual void on_end(StreamId id) = 0;
  // Over in both directions; the session has forgotten `id`. winze::Errc::kEof: in order.
  virtual void on_close(StreamId id, std::error_code error) = 0;
  // There is room again in the window of `id`, or of all streams (0).
  virtual void on_writable(StreamId id) = 0;

 protected:
  ~Events() = default;
};

class Session {
 public:
  virtual ~Session() = default;

  [[nodiscard]] virtual std::error_code receive(std::span<const std::uint8_t> bytes, Events& events) = 0;

  // Nothing where this carrier opens no more: ids or streams are used up, or the peer is going away.
  virtual std::optional<StreamId> open(const Opening& opening) = 0;
  virtual bool may_open() const = 0;

  // Room that seal() and seal_datagram() would like around a payload.
  virtual Overhead overhead() const = 0;
  // Protocols without windows leave these three.
  virtual bool has_windows() const { return false; }
  // Bytes that may be sent on `id` now.
  static constexpr std::size_t kNoWindow = SIZE_MAX;
  virtual std::size_t window(StreamId) const { return kNoWindow; }
  // The reader of `id` has taken so many bytes.
  virtual void consumed(StreamId, std::size_t) {}
  // Frames at most window(id) bytes. None: what announces a stream that has not been yet, maybe nothing.
  virtual void seal(StreamId id, Buffer& data) = 0;
  // Frames a datagram; `peer` null: the stream's destination. False, and nothing done, when there is no frame for it.
  // Protocols whose frames hold bytes alone leave these two.
  virtual bool seal_datagram(StreamId, Buffer&, const Destination*) { return false; }
  virtual std::size_t largest_datagram() const { return 0; }
  // Whether seal() would announce the stream.
  virtual bool is_unannounced(StreamId id) const = 0;

  // We write no more on `id`. Where end_closes(), the peer takes that for the end of both directions, and what it has
  // still to send is lost.
  virtual void end(StreamId id) = 0;
  virtual bool end_closes() const = 0;
  // Forgets `id`, telling the peer what it does not know yet. `failed`: it shall not take this for an orderly end.
  virtual void close(StreamId id, bool failed) = 0;

  // Appends what the session has to say by itself: end marks, window updates, answers.
  void flush(Buffer& out) {
    out.append(std::as_const(control_).span());
    control_.release();
  }
  bool wants_flush() const { return !control_.empty(); }

 protected:
  // What may wait for a peer who asks for answers and does not read them.
  static constexpr std::size_t kControlLimit = 64 << 10;

  Buffer control_;  // what flush() gives away
};

}  // namespace winze::mux
