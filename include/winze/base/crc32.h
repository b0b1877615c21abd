// CRC-32 as of IEEE 802.3 (reflected, polynomial 0x04c11db7), which zip files, Ethernet and VMess use.
#pragma once

#include <cstdint>
#include <span>

namespace winze {

std::uint32_t crc32(std::span<const std::uint8_t> bytes) noexcept;

}  // namespace winze
