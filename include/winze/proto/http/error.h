// Errors of HTTP/1.x as proxies and upgrades use it.
#pragma once

#include <system_error>

#include "winze/base/error.h"

namespace winze::http {

enum class Errc {
  // The peer misbehaved.
  kBadStartLine = 101,
  kBadVersion,
  kBadField,
  kBadLineEnd,
  kHeadTooLarge,
  kTooManyFields,
  kBadFraming,
  kUnsupportedCoding,
  kBadChunk,
  kBadTarget,
  kBadCredentials,
  kUnexpectedData,
  // The peer refused us: 200 and the class of its status, or the status itself where it says more.
  kSwitched = 201,
  kRedirected = 203,
  kClientError = 204,
  kServerError = 205,
  kProxyAuthenticationRequired = 210,
  kForbidden,
  kNotFound,
  kBadGateway,
  kUnavailable,
  kGatewayTimeout,
  // Local misuse.
  kBadHead = 301,
  kNotAnswered,
};

const std::error_category& category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), category()}; }

// The error that stands for a refusing status.
Errc refusal_of(unsigned status) noexcept;
// The status a server answers a malformed message with: 400, 407, 431, 501 or 505.
unsigned status_of(const std::error_code& error) noexcept;
// The phrase of RFC 9110 §15 for the statuses this library sends; "Unknown" for others.
const char* reason_of(unsigned status) noexcept;

}  // namespace winze::http

template <>
struct std::is_error_code_enum<winze::http::Errc> : std::true_type {};
