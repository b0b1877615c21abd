// The Extensible Authentication Protocol (RFC 3748): what its two ends have in common.
//
//   Code(1) Identifier(1) Length(2) [ Type(1) Type-Data ]
//   Code: 1 request, 2 response, 3 success, 4 failure
//
// Both ends are driven alike. Each packet that comes goes to receive(packet, done); `done` is called once with what is
// to be done next, before receive() returns or later, when something that takes time has come back (a password from a
// database, a signature from a token). Nothing else may be received meanwhile. Destroying an end drops what is under
// way: `done` is then not called. Retransmission is the business of whoever carries the packets.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace winze::eap {

enum class Method : std::uint8_t {
  kMd5 = 4,  // legacy: proves nothing about the server, makes no keys
  kGtc = 6,  // legacy: sends the password as it is
  kTls = 13,
  kMschapV2 = 26,
};
std::string_view to_string(Method method) noexcept;
constexpr bool is_legacy(Method method) noexcept { return method == Method::kMd5 || method == Method::kGtc; }

enum class Errc {
  kMalformed = 101,    // the other end sent what no method says
  kUnexpectedSuccess,  // success before the method has come to its end
  kTooLong,            // fragments beyond the limit
  kEndless,            // more packets than any method needs
  kServerUnproven,     // the server does not know the password
  kTls,                // the TLS handshake failed; the detail says how
  kRefused = 201,      // the other end said failure
  kWrongPassword,
  kUnknownUser,
  kPasswordExpired,    // a change was asked for, which is not done here
  kRestricted,         // the account is disabled, or may not come now (RFC 2759 section 6)
  kNoMethod,           // no method that both ends take
  kUnavailable = 301,  // the host has no answer: no password, no key
};
const std::error_category& eap_category() noexcept;
inline std::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), eap_category()}; }

struct Step {
  enum class Kind : std::uint8_t {
    kSend,     // `packet`, and wait for the other end's
    kSuccess,  // the end; an authenticator sends `packet` still
    kFailure,  // likewise; `error` and `detail` say why
    kDiscard,  // what was received is none of this conversation's: as if it had not come
  };
  Kind kind = Kind::kDiscard;
  std::vector<std::uint8_t> packet;
  std::error_code error;
  std::string detail;  // for a log; may hold text of the other end, cut and made printable
};
using StepHandler = absl::AnyInvocable<void(Step)>;

}  // namespace winze::eap

template <>
struct std::is_error_code_enum<winze::eap::Errc> : std::true_type {};
