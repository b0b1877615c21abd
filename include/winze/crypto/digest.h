// Hash functions, over bytes that are all there.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace winze {

// FIPS 180-4. Broken for signatures; here for the protocols that prescribe it (WebSocket's accept key, UUIDv5).
std::array<std::uint8_t, 20> sha1(std::span<const std::uint8_t> bytes);
// FIPS 180-4. What Trojan sends in place of a password.
std::array<std::uint8_t, 28> sha224(std::span<const std::uint8_t> bytes);

}  // namespace winze
