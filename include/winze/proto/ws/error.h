#pragma once

#include <system_error>

namespace winze::ws {

// Values 1xx: the peer misbehaved; 2xx: the peer refused. What has to do with HTTP itself is in http::Errc: a malformed
// head, a status other than 101.
enum class Errc {
  // Frames (RFC 6455 §5)
  kReservedBits = 101,  // set, though no extension was agreed on
  kBadOpcode,           // one that RFC 6455 reserves
  kBadMask,             // masked by a server, or not by a client
  kBadLength,           // not in its shortest form, beyond 2^63, or a control frame's beyond 125
  kBadFragment,         // a continuation of nothing, a new message within one, a fragmented control frame
  kBadClose,            // a close frame with half a code, or one that no peer may send
  // Openings (RFC 6455 §4, and HTTPUpgrade's)
  kNotUpgrade = 121,       // the request or response is not one that opens a WebSocket
  kBadVersion,             // not 13
  kBadKey,                 // Sec-WebSocket-Key is not 16 bytes
  kBadAccept,              // Sec-WebSocket-Accept is not the answer to our key
  kNotOffered,             // the server chose a protocol or an extension that was not offered
  kWrongPath = 131,        // server: the request is for another path
  kWrongHost,              // server: the request is for another host
  kClosedWithError = 201,  // by a close frame with a code other than 1000 and 1001; see Framing::close_code()
  kClosed,                 // the peer has ended both directions by a close frame: nothing more can be sent
};
const std::error_category& ws_category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), ws_category()}; }

}  // namespace winze::ws

template <>
struct std::is_error_code_enum<winze::ws::Errc> : std::true_type {};
