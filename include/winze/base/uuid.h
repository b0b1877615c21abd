// A UUID (RFC 9562): 16 bytes, by which VLESS and VMess know their users.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace winze {

class Random;

struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  static Uuid of(std::span<const std::uint8_t, 16> bytes);
  // 32 hexadecimal digits of either case, with dashes between the groups of 8-4-4-4-12 (any of them may be missing).
  static std::optional<Uuid> parse(std::string_view text);
  // Version 4.
  static Uuid random(Random& random);
  // Lower case, with dashes.
  std::string to_string() const;

  friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

}  // namespace winze

// Ids come from a configuration or are compared with those that do, so that no peer can choose keys that collide.
template <>
struct std::hash<winze::Uuid> {
  std::size_t operator()(const winze::Uuid& id) const noexcept;
};
