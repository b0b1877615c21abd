// What one layer does to a byte stream, with no I/O: TLS, WebSocket, VLESS, a user's own cipher. CodecStream
// (winze/io/codec_stream.h) drives any StreamCodec over any Stream; tests drive it with bytes.
//
// Life: handshake() until it says kDone, then seal() and open() in any order, independently of each other.
// After an error of one call no further call is made. A codec is used from one executor and keeps no time.
#pragma once

#include <string_view>
#include <system_error>

#include "winze/base/buffer.h"

namespace winze {

class StreamCodec {
 public:
  virtual ~StreamCodec() = default;

  // Room that seal() would like around the bytes it is given.
  virtual Overhead overhead() const = 0;

  enum class Handshake { kMore, kDone };
  // One step of the opening. `in`: bytes received and not yet eaten (empty at the first call); the codec trims what it
  // eats off the front, and must eat or itself keep everything when it answers kMore. `out`: what must be sent now is
  // appended. With kDone, what is left in `in`, maybe nothing, goes to open() before any other bytes: so open() can
  // also yield what the codec itself kept of the opening (early data). On failure sets `error`; `out` is still sent
  // first (an alert, a 404), then the stream closes. The default is for layers without an opening.
  virtual Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) {
    (void)in, (void)out, (void)error;
    return Handshake::kDone;
  }

  // Turns application bytes into wire bytes, in place where that is possible. An empty `data` asks for what the layer
  // holds back to go out alone (a VLESS header waiting for the first payload); it may stay empty.
  [[nodiscard]] virtual std::error_code seal(Buffer& data) = 0;

  // Turns wire bytes into application bytes. On return `data` holds what could be opened, maybe nothing: incomplete
  // units are kept inside. `reply`: bytes for the peer are appended (pong, close, key update). Errc::kEof is the
  // orderly end by this layer's own mark (TLS close_notify, WebSocket close); `data` may still hold the last bytes.
  [[nodiscard]] virtual std::error_code open(Buffer& data, Buffer& reply) = 0;

  // The stream below has ended. Says whether that is an orderly end here (Errc::kEof) or not (Errc::kTruncated).
  virtual std::error_code open_end();

  // The application has no more to write: appends the layer's end mark, if it has one. Returns what the driver does
  // with the stream below then.
  enum class End {
    kShutdownBelow,  // half-close it too
    kKeepBelow,      // this protocol has no half-close: leave it open, the other direction goes on
  };
  virtual End seal_end(Buffer& out) {
    (void)out;
    return End::kShutdownBelow;
  }

  // True when seal() or open() is from now on the identity and nothing is held: the driver then leaves the layer out of
  // the path, and a relay may join the sockets directly.
  virtual bool seals_verbatim() const { return false; }
  virtual bool opens_verbatim() const { return false; }

  // True while an opening waits for the first payload (seal() of an empty buffer would produce bytes).
  virtual bool holds_opening() const { return false; }

  // True while nothing more may be sealed before the peer's answer has gone through open() (WebSocket early data): the
  // driver keeps a write, or the end, back until then, and reads on its own if it must.
  virtual bool seal_waits() const { return false; }

  // --- a layer that is left on the way ---
  //
  // Two peers may agree to go on without the layer below (VLESS's flow xtls-rprx-vision leaves TLS): from some point
  // on, in each direction for itself, their bytes pass it as they are. The driver tells that layer.
  //
  // Of the layer that is left: whether it can be, once its opening is done. stop_sealing(): what is sealed from now on
  // passes as it is, and no end mark follows. stop_opening(): so does what stands behind the last unit that was opened
  // in full; the bytes behind it that open() has taken already come back in `taken`. Had it failed on them, because
  // they never were of this layer, that counts for nothing.
  virtual bool can_be_left() const { return false; }
  virtual void stop_sealing() {}
  virtual void stop_opening(Buffer& taken) { (void)taken; }

  // Of the layer that leaves: whether it may come to that (asked when its opening is done, which fails with
  // Errc::kUnsupported when the layer right below cannot be left), and whether what was sealed last, or opened last,
  // was the last to go through the layer below.
  virtual bool may_leave_below() const { return false; }
  virtual bool sealing_left_below() const { return false; }
  virtual bool opening_left_below() const { return false; }

  // After a failure: what the error code does not say ("certificate is for a.test, wanted b.test"); maybe nothing.
  virtual std::string_view detail() const { return {}; }
};

}  // namespace winze
