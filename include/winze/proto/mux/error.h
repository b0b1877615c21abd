#pragma once

#include <system_error>

namespace winze::mux {

// Values 1xx: the peer misbehaved; 2xx: the peer refused; 3xx: local misuse.
enum class Errc {
  kBadFrame = 101,   // malformed, or a frame that the protocol does not know
  kBadAddress,       // the destination of a sub-stream is malformed
  kBadPreface,       // not the beginning of a carrier, or of a version or protocol to come
  kUnpadded,         // the carrier is not padded, and our policy wants that
  kWindowExceeded,   // more bytes than our window lets through
  kFlood,            // more control frames wait for an answer than any honest peer causes
  kReset = 201,      // the peer has broken the sub-stream off
  kCarrierEnded,     // the connection that carried the sub-stream has ended
  kRefused,          // the server did not open the sub-stream
  kDatagramsOnly,    // a stream on a carrier that may carry only datagrams
  kNestedMux = 301,  // a carrier within a carrier
  kBadName,          // the destination's name cannot be sent: empty, longer than 255 bytes, or malformed
};
const std::error_category& mux_category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), mux_category()}; }

}  // namespace winze::mux

template <>
struct std::is_error_code_enum<winze::mux::Errc> : std::true_type {};
