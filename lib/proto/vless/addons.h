// The protobuf message in VLESS headers: {1: string flow, 2: bytes seed}.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "winze/base/bytes.h"

namespace winze::vless {

// False when `bytes` are no such message. Other fields are passed over; `flow` points into `bytes`.
[[nodiscard]] bool parse_addons(std::span<const std::uint8_t> bytes, std::string_view& flow);

// The length of the message, and the message; without a flow it is empty.
void append_addons(std::string_view flow, Writer& out);

}  // namespace winze::vless
