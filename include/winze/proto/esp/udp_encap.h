// What a datagram on an IPsec UDP port (4500) is (RFC 3948).
//
//   0xff                          NAT keepalive (section 2.3): dropped in silence
//   00 00 00 00 | IKE message     the non-ESP marker (section 2.2)
//   SPI(4) | ESP packet           an SPI is never 0 (section 2.1)
#pragma once

#include <cstdint>
#include <span>

#include "winze/base/bytes.h"

namespace winze::esp {

inline constexpr std::uint8_t kNatKeepalive = 0xff;
inline constexpr std::size_t kNonEspMarkerSize = 4;
inline constexpr std::size_t kUdpHeaderSize = 8;

enum class Encapsulated : std::uint8_t { kKeepalive, kIke, kEsp, kMalformed };

inline Encapsulated classify(std::span<const std::uint8_t> datagram) noexcept {
  if (datagram.size() == 1 && datagram[0] == kNatKeepalive) return Encapsulated::kKeepalive;
  if (datagram.size() < kNonEspMarkerSize) return Encapsulated::kMalformed;
  return load_u32(datagram.data()) == 0 ? Encapsulated::kIke : Encapsulated::kEsp;
}

}  // namespace winze::esp
