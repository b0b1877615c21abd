// A byte stream in both directions: a TCP connection, a TLS session over it, a proxied connection over that.
//
// - At most one read and one write (write() or shutdown_write()) are pending; a further one fails with Errc::kBusy.
// - A handler is called exactly once, on the stream's executor, never inside the call that starts the operation.
// - close() and destruction cancel: pending handlers get Errc::kAborted. What the operations need stays alive until
// then, or until the loop is destroyed without having called them.
// - Half-close is first class: after shutdown_write() reading goes on; after Errc::kEof writing goes on.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstddef>
#include <memory>
#include <system_error>

#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/io/environment.h"

namespace winze {

// The socket beneath a stream, for a relay that lets the kernel move the bytes (see Stream::verbatim_source).
class RawSocket {
 public:
  enum class Wait { kRead, kWrite };
  virtual int native_handle() const = 0;
  // Waits until the socket is ready. Counts as the stream's pending read or write.
  virtual void wait(Wait what, absl::AnyInvocable<void(std::error_code)> handler) = 0;

 protected:
  ~RawSocket() = default;
};

// What the drivers that serve many ask of Stream::limit_unsent().
inline constexpr std::size_t kUnsentLimit = 128 << 10;

class Stream {
 public:
  using ReadHandler = absl::AnyInvocable<void(std::error_code, Buffer)>;
  using WriteHandler = absl::AnyInvocable<void(std::error_code)>;

  virtual ~Stream() = default;

  // Takes some bytes: a non-empty buffer, or an error (Errc::kEof: the peer has finished). Bytes that arrived before an
  // error are delivered first. While a read waits it holds no buffer.
  virtual void read(ReadHandler handler) = 0;
  // Writes the whole buffer. An empty one sends what a layer holds back (see holds_opening), else nothing.
  virtual void write(Buffer data, WriteHandler handler) = 0;
  // Ends the outgoing direction after what was written. Layers whose protocol cannot say that let it pass silently.
  virtual void shutdown_write(WriteHandler handler) = 0;
  virtual void close() = 0;
  // close() after a failure: where the layers can say so, and nothing that was written is still on its way, the peer
  // sees the connection broken off (a TCP reset) instead of ended, and does not take half a transfer for a whole one.
  virtual void abort() { close(); }

  // Room that write() would like around the bytes: the sum over all layers below.
  virtual Overhead overhead() const = 0;
  // Room that read() leaves around the bytes it delivers, from the next read on.
  virtual void reserve(Overhead room) = 0;
  // For who serves many by one stream, and so chooses late whose bytes are next: of what was written no more than so
  // many bytes wait in the system unsent; then a write takes until there is room. Where there is no TCP socket at the
  // bottom it changes nothing.
  virtual void limit_unsent(std::size_t /*bytes*/) {}

  virtual const Executor& executor() const = 0;
  // The addresses of the connection at the bottom; unspecified where there is none (Unix sockets, memory).
  virtual Endpoint local() const = 0;
  virtual Endpoint remote() const = 0;

  // True while opening bytes of some layer wait for the first payload, to share its packet.
  virtual bool holds_opening() const { return false; }

  // For a layer above that leaves the one at the top of this stream on the way (StreamCodec::can_be_left). Not to be
  // called while an operation of that direction is pending.
  virtual bool can_be_left() const { return false; }
  virtual void stop_sealing() {}
  virtual void stop_opening() {}

  // The socket from which (to which) this stream's bytes come (go) unchanged from now on, with nothing held in
  // between; null when there is no such socket or not yet. Not to be asked while an operation of that direction is
  // pending.
  virtual RawSocket* verbatim_source() { return nullptr; }
  virtual RawSocket* verbatim_sink() { return nullptr; }
};

using StreamPtr = std::unique_ptr<Stream>;

}  // namespace winze
