#pragma once

#include <system_error>

namespace winze::vless {

// Values 1xx: the peer misbehaved; 3xx: local misuse.
enum class Errc {
  kWrongVersion = 101,  // not VLESS, or of a version to come
  kUnknownUser,         // the id is nobody's
  kBadAddons,           // the addons are no such message
  kUnsupportedFlow,     // the client asks for a flow (xtls-rprx-vision) that this user does not have
  kMissingFlow,         // the client asks for none, where its user has one
  kBadPadding,          // a block of the flow xtls-rprx-vision is malformed
  kUnsupportedCommand,  // neither TCP nor UDP
  kBadAddress,          // the destination is malformed
  kBadName = 301,       // the destination's name cannot be sent: empty, longer than 255 bytes, or malformed
};
const std::error_category& vless_category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), vless_category()}; }

}  // namespace winze::vless

template <>
struct std::is_error_code_enum<winze::vless::Errc> : std::true_type {};
