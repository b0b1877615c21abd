// DSCP and ECN across a tunnel's two headers (RFC 2983, RFC 6040). A traffic class is DSCP (6 bits), then ECN (2).
#pragma once

#include <cstdint>
#include <optional>

namespace winze::ip {

inline constexpr std::uint8_t kEcnMask = 3;
inline constexpr std::uint8_t kNotEct = 0;
inline constexpr std::uint8_t kEct1 = 1;
inline constexpr std::uint8_t kEct0 = 2;
inline constexpr std::uint8_t kCongestionExperienced = 3;

enum class EcnMode : std::uint8_t {
  kNormal,         // the outer header takes the inner one's ECN
  kCompatibility,  // not ECN-capable: for a peer that drops marks
};

// The outer traffic class (RFC 6040 section 4.1). `dscp`, 0 to 63, replaces the inner one.
constexpr std::uint8_t outer_traffic_class(std::uint8_t inner, EcnMode mode,
                                           std::optional<std::uint8_t> dscp = std::nullopt) noexcept {
  const unsigned high = dscp ? unsigned{*dscp} << 2 : inner & ~unsigned{kEcnMask};
  return static_cast<std::uint8_t>(high | (mode == EcnMode::kNormal ? inner & kEcnMask : kNotEct));
}

// The inner traffic class after the outer header has gone (section 4.2): the inner DSCP stays. Nothing: congestion was
// marked on a packet whose transport could not be told, so it is to be dropped.
constexpr std::optional<std::uint8_t> inner_traffic_class(std::uint8_t inner, std::uint8_t outer) noexcept {
  const std::uint8_t in = inner & kEcnMask, out = outer & kEcnMask;
  if (out == kCongestionExperienced) {
    if (in == kNotEct) return std::nullopt;
    return static_cast<std::uint8_t>(inner | kCongestionExperienced);
  }
  if (in == kEct0 && out == kEct1) return static_cast<std::uint8_t>((inner & ~unsigned{kEcnMask}) | kEct1);
  return inner;
}

}  // namespace winze::ip
