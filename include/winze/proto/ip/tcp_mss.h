// The TCP maximum segment size (RFC 9293 section 3.7.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "winze/proto/ip/header.h"

namespace winze::ip {

// Lowers the MSS that a TCP SYN, whole and of this header, announces, so that the answers fit into `mtu` bytes: for
// paths that lose the messages of path-MTU discovery. A SYN without the option, which means 536 or 1220, stays as it
// is. True when it changed the packet.
bool clamp_mss(std::span<std::uint8_t> packet, const Header& header, std::size_t mtu) noexcept;

}  // namespace winze::ip
