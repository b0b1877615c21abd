// The two headers of a VMess connection, and how they are sealed.
//
//   request   authId (16) | sealed u16 length (18) | nonce (8) | sealed header (length + 16)
//   header    u8 version = 1 | body iv (16) | body key (16) | u8 answer | u8 options
//             | u8 padding length (4 bits), security (4) | u8 0 | u8 command | u16 port, u8 type, address (not for Mux)
//             | padding (0..15) | u32 FNV-1a of all before
//   answer    sealed u16 length (18) | sealed ( u8 answer | u8 options | u8 command | u8 n | n bytes ) (length + 16)
//
// All of it by AES-128-GCM, with keys and nonces by kdf.h: from the user's command key and the authentication id, which
// is also the associated data; of the answer from the body keys of its direction.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <system_error>

#include "auth_id.h"
#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/proto/vmess/chunks.h"

namespace winze::vmess {

enum class Command : std::uint8_t { kTcp = 1, kUdp = 2, kMux = 3 };

struct Request {
  BodyKeys keys;
  std::uint8_t answer = 0;  // the server says it again
  std::uint8_t options = 0;
  Security security = Security::kNone;
  Command command = Command::kTcp;
  Destination destination;
};

inline constexpr std::size_t kNonceSize = 8;
inline constexpr std::size_t kSealedLengthSize = 2 + 16;
inline constexpr std::size_t kRequestPrefixSize = kAuthIdSize + kSealedLengthSize + kNonceSize;
inline constexpr std::size_t kSmallestHeader = 38 + 4;
inline constexpr std::size_t kLargestHeader = 38 + 2 + 1 + 1 + 255 + 15 + 4;
inline constexpr std::size_t kLargestRequest = kRequestPrefixSize + kLargestHeader + 16;

// `auth_id` is of `now`. False, with nothing appended, when the destination's name cannot be sent.
[[nodiscard]] bool seal_request(const UserKeys& user, const Request& request, UnixTime now, Random& random,
                                Buffer& out);

// The part of it that seals, with a header already encoded.
void seal_header(const UserKeys& user, std::span<const std::uint8_t> header, UnixTime now, Random& random, Buffer& out);

// Opens one piece by piece, as it comes.
class RequestOpener {
 public:
  // `command_key` is that of the user whose authentication id it is.
  RequestOpener(const Secret& command_key, std::span<const std::uint8_t, kAuthIdSize> auth_id);
  // Of `bytes`, which begin with the authentication id and hold at least kRequestPrefixSize: the length of the whole
  // request, 0 where it does not authenticate.
  std::size_t size(std::span<const std::uint8_t> bytes) const;
  // `bytes` are the whole request.
  std::error_code open(std::span<const std::uint8_t> bytes, Request& out) const;

 private:
  Secret command_key_;
  AuthId auth_id_;
};

// `keys` are of the answer's direction.
void seal_answer(const BodyKeys& keys, std::uint8_t answer, Buffer& out);
inline constexpr std::size_t kAnswerSize = kSealedLengthSize + 4 + 16;
// The answer that `bytes` begin with; its length, 0 while it is incomplete. What the server commands is passed over.
std::size_t open_answer(const BodyKeys& keys, std::uint8_t answer, std::span<const std::uint8_t> bytes,
                        std::error_code& error);

}  // namespace winze::vmess
