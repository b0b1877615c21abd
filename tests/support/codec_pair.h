// Two codecs joined by a wire of bytes that delivers them in segments of a given size: what CodecStream does, in a few
// lines and without I/O.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "support/segments.h"
#include "winze/base/stream_codec.h"

namespace winze::test {

struct CodecEnd {
  explicit CodecEnd(StreamCodec& c) : codec(c) {}

  StreamCodec& codec;
  std::string wire;      // sent, not yet delivered to the peer
  std::string received;  // what open() yielded
  std::string unread;    // what a failed handshake left
  std::error_code error;
  bool opened = false;
  bool shut = false;  // half-closed the wire

  void step(Buffer in) {
    if (error) return;
    if (!opened) {
      Buffer out;
      const auto step_result = codec.handshake(in, out, error);
      wire += out.text();
      if (error) unread = in.text();
      if (error || step_result == StreamCodec::Handshake::kMore) return;
      opened = true;
    }
    Buffer reply;
    error = codec.open(in, reply);
    received += in.text();
    wire += reply.text();
  }

  // Seals `text` as one buffer.
  std::error_code write(std::string_view text) {
    Buffer data = Buffer::copy_of(text, codec.overhead());
    const std::error_code failed = codec.seal(data);
    if (!failed) wire += data.text();
    return failed;
  }

  StreamCodec::End end() {
    Buffer mark;
    const auto how = codec.seal_end(mark);
    wire += mark.text();
    shut = how == StreamCodec::End::kShutdownBelow;
    return how;
  }
};

class CodecPair {
 public:
  CodecPair(StreamCodec& client_codec, StreamCodec& server_codec, std::size_t segment_size)
      : client(client_codec), server(server_codec), segment(segment_size) {
    client.step({});
    server.step({});
    pump();
  }

  // Delivers until the wire is empty both ways.
  void pump() {
    while (deliver(client, server) + deliver(server, client) > 0) {
    }
  }

  CodecEnd client;
  CodecEnd server;
  std::size_t segment;

 private:
  bool deliver(CodecEnd& from, CodecEnd& to) {
    if (from.wire.empty()) {
      if (from.shut && to.opened && !to.error) to.error = to.codec.open_end();
      return false;
    }
    const std::string sent = std::exchange(from.wire, {});
    for (std::size_t at = 0; at < sent.size(); at += segment) {
      to.step(Buffer::copy_of(std::string_view(sent).substr(at, segment)));
    }
    return true;
  }
};

inline std::string from_hex(std::string_view hex) {
  const auto value = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
  std::string out;
  std::string digits;
  for (char c : hex) {
    if (c != ' ' && c != '\n') digits += c;
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    out += static_cast<char>(value(digits[i]) << 4 | value(digits[i + 1]));
  }
  return out;
}

inline std::string to_hex(std::string_view bytes) {
  std::string out;
  for (char c : bytes) {
    out += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    out += "0123456789abcdef"[c & 15];
  }
  return out;
}

}  // namespace winze::test
