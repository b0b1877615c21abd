// Bodies on their way through a proxy: the end is found by the sender's framing, the bytes leave in the receiver's.
#pragma once

#include <cstdint>
#include <system_error>

#include "winze/base/buffer.h"
#include "winze/proto/http/head.h"

namespace winze::http {

// Decodes the chunked coding (RFC 9112 §7.1), strictly; extensions and trailer fields are checked for size and line
// ends, and dropped.
class ChunkReader {
 public:
  // Eats from `in` up to the end of the body. `out`, given empty, becomes what was decoded, in the same block.
  // Error: Errc::kBadChunk.
  [[nodiscard]] std::error_code read(Buffer& in, Buffer& out);
  bool done() const { return state_ == State::kDone; }

 private:
  enum class State : std::uint8_t {
    kSizeStart,
    kSize,
    kSizeSpace,
    kExtension,
    kSizeEnd,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailer,
    kTrailerEnd,
    kEnd,
    kDone
  };

  // One byte outside of chunk data; false when it may not stand there.
  bool step(std::uint8_t byte);
  bool step_size(std::uint8_t byte);
  bool step_trailer(std::uint8_t byte);

  State state_ = State::kSizeStart;
  std::uint64_t left_ = 0;    // bytes of the chunk under way
  std::size_t overhead_ = 0;  // bytes of the extension or of the trailer so far
};

class BodyRelay {
 public:
  // No body: done at once.
  BodyRelay() = default;
  // `to`: kChunked sends chunks; otherwise the bytes go out bare.
  BodyRelay(const Body& from, Body::Framing to) : from_(from), to_(to) {}

  bool done() const;
  // Eats from `in` up to the end of the body. `out`, given empty, becomes the bytes for the receiver, maybe none.
  // Error: Errc::kBadChunk.
  [[nodiscard]] std::error_code relay(Buffer& in, Buffer& out);
  // The sender's stream ended, before done(): whether that ends the body. If so, done() is true from now on.
  bool end();

 private:
  void take(Buffer& in, Buffer& out);
  void wrap(Buffer& out) const;

  Body from_;
  Body::Framing to_ = Body::Framing::kNone;
  ChunkReader chunks_;
};

}  // namespace winze::http
