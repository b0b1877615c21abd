// Authentication ids (winze/proto/vmess/users.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "winze/base/random.h"
#include "winze/crypto/cipher.h"
#include "winze/proto/vmess/users.h"

namespace winze::vmess {

using AuthId = std::array<std::uint8_t, kAuthIdSize>;

AuthId make_auth_id(const AesBlock& auth_key, UnixTime unix_seconds, Random& random);
// The time in it; nothing where it is another key's.
std::optional<UnixTime> open_auth_id(const AesBlock& auth_key, std::span<const std::uint8_t, kAuthIdSize> auth_id);

}  // namespace winze::vmess
