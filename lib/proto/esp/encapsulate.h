// What the modes of ESP and AH share.
#pragma once

#include "winze/proto/esp/mode.h"

namespace winze::esp {

// The outer header of a tunnel around a packet with this header.
Outer outer_of(const Encapsulation& how, const ip::Header& inner) noexcept;
// Ends a tunnel: `packet`, which the outer header's next header was `next_header`, becomes the inner packet it is.
Drop finish_tunnel(Buffer& packet, std::uint8_t next_header, const Outer& outer, ip::Header& inner);

}  // namespace winze::esp
