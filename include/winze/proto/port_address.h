// The destination field that VLESS and VMess share.
//
//   u16 port | u8 type | address      type: 1 IPv4 (4 bytes), 2 host name (u8 length, bytes), 3 IPv6 (16 bytes)
#pragma once

#include <string_view>

#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/base/bytes.h"

namespace winze {

inline constexpr std::size_t kMaxPortAddressSize = 2 + 1 + 1 + 255;

// False, with nothing appended, when the host name is empty, longer than 255 bytes, or has characters that the
// decoders of this field refuse.
[[nodiscard]] bool encode_port_address(const Destination& destination, Buffer& out);

enum class PortAddressError { kNone, kShort, kUnknownType, kBadName };
// Reads one off `in`; `out.network` stays. kShort: more bytes are needed.
[[nodiscard]] PortAddressError decode_port_address(Reader& in, Destination& out);

}  // namespace winze
