// The protobuf message in VLESS headers: {1: string flow, 2: bytes seed}.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace winze::vless {

// False when `bytes` are no such message. Other fields are passed over; `flow` points into `bytes`.
[[nodiscard]] bool parse_addons(std::span<const std::uint8_t> bytes, std::string_view& flow);

}  // namespace winze::vless
