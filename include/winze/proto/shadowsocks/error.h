#pragma once

#include <system_error>

namespace winze::shadowsocks {

// Values 1xx: the peer misbehaved; 3xx: local misuse.
enum class Errc {
  kBadChunk = 101,  // does not authenticate: another key or method, not Shadowsocks, or changed on its way
  kReplayed,        // the salt was used before
  kUnknownUser,     // the identity header names no user
  kWrongType,       // 2022: a request where an answer is due, or the other way round
  kBadTime,         // 2022: of a time too far from ours: one of the clocks is wrong, or it is an old one again
  kBadPadding,      // 2022: padding that reaches past the header, or neither padding nor payload
  kWrongAnswer,     // 2022: the server answers another request
  kBadAddress,      // the destination is malformed
  kBadName = 301,   // the destination's name cannot be sent: empty, or longer than 255 bytes
};
const std::error_category& shadowsocks_category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), shadowsocks_category()}; }

}  // namespace winze::shadowsocks

template <>
struct std::is_error_code_enum<winze::shadowsocks::Errc> : std::true_type {};
