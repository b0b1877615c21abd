// Runs the opening of a StreamCodec over bytes, as CodecStream does, and then opens what comes after it.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "support/segments.h"
#include "winze/base/stream_codec.h"

namespace winze::test {

struct Opening {
  bool done = false;
  std::error_code error;
  std::string sent;     // what the codec wrote
  std::string payload;  // what it opened afterwards
};

inline void open_into(StreamCodec& codec, Buffer in, Opening& result) {
  Buffer reply;
  result.error = codec.open(in, reply);
  result.payload += in.text();
  result.sent += reply.text();
}

inline Opening run_opening(StreamCodec& codec, std::string_view wire, std::size_t segment) {
  Opening result;
  const auto step = [&](Buffer in) {
    if (result.done) {
      open_into(codec, std::move(in), result);
      return !result.error;
    }
    Buffer out;
    result.done = codec.handshake(in, out, result.error) == StreamCodec::Handshake::kDone;
    result.sent += out.text();
    if (result.error) {
      CHECK_FALSE(result.done);
      return false;
    }
    if (result.done) {
      open_into(codec, std::move(in), result);
    } else {
      CHECK(in.empty());
    }
    return !result.error;
  };
  if (step({})) feed(wire, segment, step);
  return result;
}

inline std::string sealed(StreamCodec& codec, std::string_view payload) {
  Buffer data = Buffer::copy_of(payload);
  CHECK_FALSE(codec.seal(data));
  return std::string(data.text());
}

// A string literal with its zero bytes.
template <std::size_t N>
std::string_view bytes(const char (&literal)[N]) {
  return {literal, N - 1};
}

}  // namespace winze::test
