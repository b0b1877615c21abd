// EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2-02): the data of its packets.
//
//   OpCode(1) MS-CHAPv2-ID(1) MS-Length(2) ...
//     1 challenge  Value-Size(1)=16 Challenge(16) Name
//     2 response   Value-Size(1)=49 Peer-Challenge(16) Reserved(8) NT-Response(24) Flags(1) Name
//     3 success    request: "S=" hex(40) " M=" message;       response: the OpCode alone
//     4 failure    request: "E=691 R=0 C=" hex(32) " V=3 M=" message; response: the OpCode alone
//     7 change of the password, which is not done here
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "winze/crypto/mschapv2.h"

namespace winze::eap {

enum class Op : std::uint8_t { kChallenge = 1, kResponse = 2, kSuccess = 3, kFailure = 4 };

struct ChapMessage {
  Op op = Op::kChallenge;
  std::uint8_t id = 0;
  std::span<const std::uint8_t> body;

  // Nullopt for what is none; a response to success or failure has an OpCode alone.
  static std::optional<ChapMessage> parse(std::span<const std::uint8_t> data);
};
std::vector<std::uint8_t> make_chap(Op op, std::uint8_t id, std::span<const std::uint8_t> body);

// The number behind "E=" of a failure; 0: there is none.
unsigned failure_code(std::string_view text);
// What stands behind "M=", for a log.
std::string failure_text(std::string_view text);
// Whether a success says "S=" and this in hex, of either case. Some servers put no space behind it.
bool success_has(std::string_view text, const mschapv2::AuthenticatorResponse& expected);

}  // namespace winze::eap
