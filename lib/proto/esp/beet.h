// The payload of a BEET-mode SA (RFC 7402 appendix B): an inner packet less its header, which both sides know.
//
//   next header(1) | length(1) | pad length(1) | 0 | pad | IPv4 options      the pseudo-header, 94, only with options
#pragma once

#include <cstdint>

#include "winze/proto/esp/mode.h"

namespace winze::esp::beet {

inline constexpr std::size_t kPseudoHeaderSize = 8;  // at most, less the options that it takes the place of

// Takes the header off a packet; returns the payload's next header.
std::uint8_t wrap(Buffer& packet, const ip::Header& header);
// Makes a payload the packet it was.
Drop unwrap(Buffer& packet, std::uint8_t next_header, const Outer& outer, const IpAddress& source,
            const IpAddress& destination);

}  // namespace winze::esp::beet
