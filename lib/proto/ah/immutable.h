// The IP headers in front of AH as both ends see them: what changes on the way is zero, or what it will be (RFC 4302
// section 3.3.3.1 and appendix A).
#pragma once

#include <cstdint>
#include <span>

namespace winze::ah {

// `head`: a well-formed IP header with its options, or extension headers, up to where AH stands. False for a routing
// header that has yet to be followed and whose end cannot be told.
bool make_immutable(std::span<std::uint8_t> head) noexcept;

}  // namespace winze::ah
