#pragma once

#include <system_error>

namespace winze::vmess {

// Values 1xx: the peer misbehaved; 3xx: local misuse.
enum class Errc {
  kUnknownUser = 101,    // the opening is no user's: not VMess, or another id
  kBadTime,              // a user's, but of a time too far from ours: one of the clocks is wrong
  kReplayed,             // its opening was seen before
  kBadHeader,            // the header does not authenticate
  kBadRequest,           // malformed, or the checksum within is wrong
  kUnsupportedCommand,   // neither TCP, UDP nor Mux
  kUnsupportedSecurity,  // a cipher that is not served here
  kBadOptions,           // options that contradict each other
  kBadAddress,           // the destination is malformed
  kBadChunk,             // a chunk does not authenticate, or is shorter than its parts
  kBadAnswer,            // the server's answer is not one to our request
  kBadName = 301,        // the destination's name cannot be sent: empty, longer than 255 bytes, or malformed
  kBadConfiguration,     // options that contradict each other
};
const std::error_category& vmess_category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), vmess_category()}; }

}  // namespace winze::vmess

template <>
struct std::is_error_code_enum<winze::vmess::Errc> : std::true_type {};
