// Numbers of the VLESS wire format.
#pragma once

#include <cstddef>
#include <cstdint>

namespace winze::vless {

inline constexpr std::uint8_t kProtocolVersion = 0;

enum Command : std::uint8_t { kTcp = 1, kUdp = 2, kMux = 3 };

// Version, id, and the length of the addons: what any request has more than.
inline constexpr std::size_t kRequestStartSize = 1 + 16 + 1;

}  // namespace winze::vless
