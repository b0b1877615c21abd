#include "winze/proto/http/body.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "winze/base/ascii.h"
#include "winze/proto/http/error.h"

namespace winze::http {
namespace {

constexpr std::size_t kMaxExtension = 4u << 10;
constexpr std::size_t kMaxTrailer = kMaxHeadSize;

bool is_text(std::uint8_t c) { return c == '\t' || (c >= 0x20 && c != 0x7f); }

}  // namespace

std::error_code ChunkReader::read(Buffer& in, Buffer& out) {
  // The first run of data stays where it is, later ones are moved up to it; what was read in front is headroom then.
  const std::uint8_t* from = in.data();
  const std::uint8_t* const end = from + in.size();
  std::uint8_t* first = nullptr;
  std::uint8_t* to = nullptr;
  while (from != end && state_ != State::kDone) {
    if (state_ != State::kData) {
      if (!step(*from++)) return Errc::kBadChunk;
      continue;
    }
    const auto run = static_cast<std::size_t>(std::min<std::uint64_t>(left_, static_cast<std::uint64_t>(end - from)));
    if (first == nullptr) first = to = in.data() + (from - in.data());
    if (to != from) std::memmove(to, from, run);
    to += run;
    from += run;
    left_ -= run;
    if (left_ == 0) state_ = State::kDataCr;
  }
  Buffer rest;
  if (from != end) rest = Buffer::copy_of(std::span(from, end));
  if (first == nullptr) {
    in = std::move(rest);
    return {};
  }
  const auto front = static_cast<std::size_t>(first - in.data());
  const auto size = static_cast<std::size_t>(to - first);
  in.trim_back(in.size() - front - size);
  in.trim_front(front);
  out = std::exchange(in, std::move(rest));
  return {};
}

bool ChunkReader::step(std::uint8_t byte) {
  switch (state_) {
    case State::kSizeStart:
    case State::kSize:
    case State::kSizeSpace:
    case State::kExtension:
    case State::kSizeEnd:
      return step_size(byte);
    case State::kDataCr:
      state_ = State::kDataLf;
      return byte == '\r';
    case State::kDataLf:
      state_ = State::kSizeStart;
      return byte == '\n';
    default:
      return step_trailer(byte);
  }
}

bool ChunkReader::step_size(std::uint8_t byte) {
  if (state_ == State::kSizeEnd) {
    overhead_ = 0;
    state_ = left_ == 0 ? State::kTrailerStart : State::kData;
    return byte == '\n';
  }
  const int digit = hex_digit(static_cast<char>(byte));
  if (state_ == State::kSizeStart || (state_ == State::kSize && digit >= 0)) {
    if (state_ == State::kSizeStart) left_ = 0;
    if (digit < 0 || left_ >> 60 != 0) return false;
    left_ = left_ << 4 | static_cast<unsigned>(digit);
    // Leading zeros count too: a size has no need of more than sixteen digits.
    state_ = State::kSize;
    return ++overhead_ <= 16;
  }
  if (byte == '\r') {
    state_ = State::kSizeEnd;
    return true;
  }
  if (state_ != State::kExtension) {
    if (byte != ';' && byte != ' ' && byte != '\t') return false;
    state_ = byte == ';' ? State::kExtension : State::kSizeSpace;
  }
  return is_text(byte) && ++overhead_ <= kMaxExtension;
}

bool ChunkReader::step_trailer(std::uint8_t byte) {
  switch (state_) {
    case State::kTrailerStart:
    case State::kTrailer:
      if (byte == '\r') {
        state_ = state_ == State::kTrailer ? State::kTrailerEnd : State::kEnd;
        return true;
      }
      state_ = State::kTrailer;
      return is_text(byte) && ++overhead_ <= kMaxTrailer;
    case State::kTrailerEnd:
      state_ = State::kTrailerStart;
      return byte == '\n';
    default:
      if (byte != '\n') return false;
      state_ = State::kDone;
      return true;
  }
}

bool BodyRelay::done() const {
  switch (from_.framing) {
    case Body::Framing::kNone:
      return true;
    case Body::Framing::kLength:
      return from_.length == 0;
    case Body::Framing::kChunked:
      return chunks_.done();
    case Body::Framing::kUntilClose:
      break;
  }
  return false;
}

std::error_code BodyRelay::relay(Buffer& in, Buffer& out) {
  if (done()) return {};
  switch (from_.framing) {
    case Body::Framing::kChunked:
      if (std::error_code error = chunks_.read(in, out)) return error;
      break;
    case Body::Framing::kLength:
      take(in, out);
      break;
    case Body::Framing::kUntilClose:
    case Body::Framing::kNone:
      out = std::move(in);
      break;
  }
  if (to_ == Body::Framing::kChunked) wrap(out);
  return {};
}

void BodyRelay::take(Buffer& in, Buffer& out) {
  if (in.size() <= from_.length) {
    out = std::move(in);
  } else {
    // What follows belongs to another message. Rare enough for a copy.
    const auto size = static_cast<std::size_t>(from_.length);
    out = Buffer::copy_of(in.span().first(size));
    in.trim_front(size);
  }
  from_.length -= out.size();
}

void BodyRelay::wrap(Buffer& out) const {
  if (!out.empty()) {
    char line[18];
    char* end = std::to_chars(line, line + 16, out.size(), 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    const auto size = static_cast<std::size_t>(end - line);
    std::memcpy(out.prepend(size), line, size);
    out.append("\r\n");
  }
  if (done()) out.append("0\r\n\r\n");
}

bool BodyRelay::end() {
  if (from_.framing != Body::Framing::kUntilClose) return false;
  from_ = {};
  return true;
}

}  // namespace winze::http
