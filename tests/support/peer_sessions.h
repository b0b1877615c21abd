// What the recorded sessions of other makes carry (tests/vectors/*/peer_sessions.txt): a connection on which the client
// says 820 bytes and the server 1100, each in two pieces.
#pragma once

#include <cstdint>
#include <string>

#include "support/codec_pair.h"
#include "support/vectors.h"
#include "winze/base/address.h"

namespace winze::test {

// The first `size` bytes of i * by + from.
inline std::string bytes_of(std::size_t size, std::size_t by, std::size_t from) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * by + from);
  return out;
}
inline std::string sent() { return bytes_of(120, 7, 0) + bytes_of(700, 11, 3); }
inline std::string answered() { return bytes_of(200, 13, 5) + bytes_of(900, 5, 1); }

// 127.0.0.1 and the port that the vector has under that name.
inline Destination local(const Vector& v, const char* port, Network network = Network::kTcp) {
  return {"127.0.0.1", static_cast<std::uint16_t>(std::stoi(v.text(port))), network};
}

inline std::string wire_of(const Vector& v, const char* field) { return from_hex(v.text(field)); }

inline void feed(CodecEnd& end, std::string_view wire, std::size_t segment) {
  feed(wire, segment, [&end](Buffer in) {
    end.step(std::move(in));
    return !end.error;
  });
}

}  // namespace winze::test
