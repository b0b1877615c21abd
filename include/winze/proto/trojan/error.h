#pragma once

#include <system_error>

namespace winze::trojan {

// Values 1xx: the peer misbehaved; 3xx: local misuse.
enum class Errc {
  kNotTrojan = 101,     // the bytes do not begin as a request does
  kUnknownUser,         // the password is nobody's
  kUnsupportedCommand,  // neither CONNECT nor UDP ASSOCIATE
  kBadAddress,          // the destination is malformed
  kBadDatagram,         // a frame of a datagram is malformed
  kBadName = 301,       // the destination's name cannot be sent: empty, longer than 255 bytes, or malformed
};
const std::error_category& trojan_category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), trojan_category()}; }

}  // namespace winze::trojan

template <>
struct std::is_error_code_enum<winze::trojan::Errc> : std::true_type {};
