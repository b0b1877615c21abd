#include "packet.h"

#include <algorithm>

#include "winze/base/bytes.h"
#include "winze/base/error.h"

namespace winze::eap {

std::optional<Packet> Packet::parse(std::span<const std::uint8_t> bytes) {
  Reader in(bytes);
  Packet out;
  const std::uint8_t code = in.u8();
  out.id = in.u8();
  const std::size_t length = in.u16();
  if (!in.ok() || length < kHeaderSize || length > bytes.size() || code < 1 || code > 4) return std::nullopt;
  out.code = static_cast<Code>(code);
  if (out.code == Code::kSuccess || out.code == Code::kFailure) return out;
  if (length == kHeaderSize) return std::nullopt;
  out.type = in.u8();
  out.data = in.bytes(length - kHeaderSize - 1);
  return out;
}

std::vector<std::uint8_t> make_packet(Code code, std::uint8_t id, std::uint8_t type,
                                      std::span<const std::uint8_t> data) {
  std::vector<std::uint8_t> out(kHeaderSize + 1 + data.size());
  out[0] = static_cast<std::uint8_t>(code);
  out[1] = id;
  store_u16(&out[2], static_cast<std::uint16_t>(out.size()));
  out[4] = type;
  std::ranges::copy(data, out.begin() + kHeaderSize + 1);
  return out;
}

std::vector<std::uint8_t> make_result(Code code, std::uint8_t id) {
  return {static_cast<std::uint8_t>(code), id, 0, kHeaderSize};
}

std::string_view to_string(Method method) noexcept {
  switch (method) {
    case Method::kMd5:
      return "EAP-MD5";
    case Method::kGtc:
      return "EAP-GTC";
    case Method::kTls:
      return "EAP-TLS";
    case Method::kMschapV2:
      return "EAP-MSCHAPv2";
  }
  return "an unknown EAP method";
}

const std::error_category& eap_category() noexcept {
  static constexpr TableCategory::Row kRows[] = {
      {static_cast<int>(Errc::kMalformed), "malformed or out of order EAP message"},
      {static_cast<int>(Errc::kUnexpectedSuccess), "EAP success before the method has ended"},
      {static_cast<int>(Errc::kTooLong), "EAP-TLS message is too long"},
      {static_cast<int>(Errc::kEndless), "EAP conversation has too many packets"},
      {static_cast<int>(Errc::kServerUnproven), "the server has not proved that it knows the password"},
      {static_cast<int>(Errc::kTls), "TLS handshake within EAP failed"},
      {static_cast<int>(Errc::kRefused), "EAP failure"},
      {static_cast<int>(Errc::kWrongPassword), "wrong user name or password"},
      {static_cast<int>(Errc::kUnknownUser), "unknown user"},
      {static_cast<int>(Errc::kPasswordExpired), "the password has expired"},
      {static_cast<int>(Errc::kRestricted), "the account is disabled or restricted"},
      {static_cast<int>(Errc::kNoMethod), "no EAP method in common"},
      {static_cast<int>(Errc::kUnavailable), "no credentials for this EAP method"},
  };
  static const TableCategory category("eap", kRows);
  return category;
}

}  // namespace winze::eap
