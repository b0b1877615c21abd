#include "winze/proto/socks/error.h"

namespace winze::socks {
namespace {

constexpr TableCategory::Row kRows[] = {
    {static_cast<int>(Errc::kBadVersion), "not a version of SOCKS"},
    {static_cast<int>(Errc::kBadMethod), "SOCKS server chose a method that was not offered"},
    {static_cast<int>(Errc::kBadReply), "malformed SOCKS reply"},
    {static_cast<int>(Errc::kBadAddress), "malformed or unknown SOCKS address"},
    {static_cast<int>(Errc::kBadCredentials), "SOCKS client gave missing or wrong credentials"},
    {static_cast<int>(Errc::kNoCommonMethod), "SOCKS client offers no method that is accepted here"},
    {static_cast<int>(Errc::kUnsupportedCommand), "SOCKS client asked for a command that is not served"},
    {static_cast<int>(Errc::kTooLong), "SOCKS request is too long"},
    {static_cast<int>(Errc::kGeneralFailure), "SOCKS server failed (01)"},
    {static_cast<int>(Errc::kNotAllowed), "SOCKS server's rules forbid the destination (02)"},
    {static_cast<int>(Errc::kNetworkUnreachable), "SOCKS server found the network unreachable (03)"},
    {static_cast<int>(Errc::kHostUnreachable), "SOCKS server found the host unreachable (04)"},
    {static_cast<int>(Errc::kConnectionRefused), "the destination refused the SOCKS server's connection (05)"},
    {static_cast<int>(Errc::kTtlExpired), "SOCKS server timed out (06)"},
    {static_cast<int>(Errc::kCommandNotSupported), "SOCKS server does not support the command (07)"},
    {static_cast<int>(Errc::kAddressNotSupported), "SOCKS server does not support the address type (08)"},
    {static_cast<int>(Errc::kOtherFailure), "SOCKS server failed with an unassigned code"},
    {static_cast<int>(Errc::kMethodsRefused), "SOCKS server accepts none of the offered methods (ff)"},
    {static_cast<int>(Errc::kAuthenticationFailed), "SOCKS server refused user name and password"},
    {static_cast<int>(Errc::kRejected), "SOCKS4 server rejected the request or failed (91)"},
    {static_cast<int>(Errc::kIdentRequired), "SOCKS4 server wants the user identified by identd (92, 93)"},
    {static_cast<int>(Errc::kNotEncodable), "a name, user or password that SOCKS cannot carry"},
    {static_cast<int>(Errc::kNotAnswered), "payload for a SOCKS client whose request was not granted"},
};
const TableCategory kCategory("socks", kRows);

}  // namespace

const std::error_category& category() noexcept { return kCategory; }

std::uint8_t reply_code_of(Refusal reason) noexcept {
  switch (reason) {
    case Refusal::kGeneral:
      return 1;
    case Refusal::kNotAllowed:
      return 2;
    case Refusal::kNetworkUnreachable:
      return 3;
    case Refusal::kHostUnreachable:
      return 4;
    case Refusal::kConnectionRefused:
      return 5;
    case Refusal::kTimedOut:
      return 6;
    case Refusal::kUnsupportedCommand:
      return 7;
    case Refusal::kUnsupportedAddress:
      return 8;
  }
  return 1;
}

Errc error_of_reply(std::uint8_t code) noexcept {
  return code >= 1 && code <= 8 ? static_cast<Errc>(200 + code) : Errc::kOtherFailure;
}

}  // namespace winze::socks
