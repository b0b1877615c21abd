// Datagrams in the byte stream of a Trojan request for UDP, in both directions.
//
//   ( address | u16 length | CR LF | datagram (length) ) *
//
// The address is SOCKS5's (winze/proto/socks/address.h): from the client whom the datagram is for, from the server whom
// it came from.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <system_error>

#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/proto/socks/address.h"

namespace winze::trojan {

inline constexpr std::size_t kMaxDatagramSize = 65535;  // bytes
inline constexpr std::size_t kMaxDatagramHeader = socks::kMaxAddressSize + 2 + 2;
// Peers drop what does not fit into their buffers: V2Ray 4 what is longer than this, trojan and Xray frames of more
// than 8192 bytes.
inline constexpr std::size_t kSafeDatagramSize = 2048;

// Puts the header in front of a datagram, in its headroom. False, and nothing done, when `peer` is not encodable, or
// the datagram is empty (V2Ray passes over such) or longer than kMaxDatagramSize.
[[nodiscard]] bool encode_datagram(Buffer& datagram, const Destination& peer);

// The datagram that `bytes` begin with, and its peer; `bytes` then begin behind it. Nothing while it is incomplete, or
// with `error` set to Errc::kBadAddress or kBadDatagram. Empty ones are passed over. What is left is the caller's to
// keep until more bytes come: less than kMaxDatagramHeader + kMaxDatagramSize.
std::optional<std::span<const std::uint8_t>> decode_datagram(std::span<const std::uint8_t>& bytes, Destination& peer,
                                                             std::error_code& error);

}  // namespace winze::trojan
