// Errors of SOCKS.
#pragma once

#include <cstdint>
#include <system_error>

#include "winze/base/error.h"
#include "winze/proto/proxy_codec.h"

namespace winze::socks {

enum class Errc {
  // The peer misbehaved.
  kBadVersion = 101,
  kBadMethod,
  kBadReply,
  kBadAddress,
  kBadCredentials,
  kNoCommonMethod,
  kUnsupportedCommand,
  kTooLong,
  // The server refused us: 200 and the reply code of RFC 1928 §6, ...
  kGeneralFailure = 201,
  kNotAllowed,
  kNetworkUnreachable,
  kHostUnreachable,
  kConnectionRefused,
  kTtlExpired,
  kCommandNotSupported,
  kAddressNotSupported,
  kOtherFailure,
  // ... or before it came to a reply, ...
  kMethodsRefused = 211,
  kAuthenticationFailed,
  // ... or in the words of SOCKS4.
  kRejected = 221,
  kIdentRequired,
  // Local misuse.
  kNotEncodable = 301,
  kNotAnswered,
};

const std::error_category& category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), category()}; }

// The reply code of RFC 1928 §6 that tells a client of this refusal.
std::uint8_t reply_code_of(Refusal reason) noexcept;
// The error that stands for a reply code other than 0.
Errc error_of_reply(std::uint8_t code) noexcept;

}  // namespace winze::socks

template <>
struct std::is_error_code_enum<winze::socks::Errc> : std::true_type {};
