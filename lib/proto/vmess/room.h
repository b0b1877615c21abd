#pragma once

#include <cstddef>

namespace winze::vmess {

// Left in front of what is sealed into a buffer of its own, for the layers below.
inline constexpr std::size_t kRoom = 64;

}  // namespace winze::vmess
