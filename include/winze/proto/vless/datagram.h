// Datagrams in the byte stream of a VLESS request for UDP, in both directions.
//
//   ( u16 length | datagram (length) ) *
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "winze/base/buffer.h"

namespace winze::vless {

inline constexpr std::size_t kMaxDatagramSize = 65535;  // bytes
// Peers cut their writes into buffers and drop what does not fit: V2Ray from 2047 bytes on, Xray from 8191.
inline constexpr std::size_t kSafeDatagramSize = 2046;

// Puts the length in front of a datagram, in its headroom. False, and nothing done, when it is empty (there is no such
// datagram here) or longer than kMaxDatagramSize.
[[nodiscard]] bool encode_datagram(Buffer& datagram);

// The datagram that `bytes` begin with, or nothing while it is incomplete; `bytes` then begin behind it. Empty ones are
// passed over. What is left is the caller's to keep until more bytes come: at most 2 + kMaxDatagramSize - 1 bytes.
std::optional<std::span<const std::uint8_t>> decode_datagram(std::span<const std::uint8_t>& bytes);

}  // namespace winze::vless
