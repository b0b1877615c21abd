// Keys from a key: HKDF (RFC 5869) with HMAC-SHA1.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace winze {

// Extracts from `key` with `salt`, and expands with `info` to the size of `out`, at most 5100 bytes. Allocates nothing.
void hkdf_sha1(std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt, std::string_view info,
               std::span<std::uint8_t> out);

}  // namespace winze
