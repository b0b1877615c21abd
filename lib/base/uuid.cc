#include "winze/base/uuid.h"

#include <algorithm>
#include <cstring>

#include "winze/base/ascii.h"
#include "winze/base/random.h"

namespace winze {
namespace {

// A dash stands before these bytes.
constexpr bool begins_group(std::size_t index) { return index == 4 || index == 6 || index == 8 || index == 10; }

}  // namespace

Uuid Uuid::of(std::span<const std::uint8_t, 16> bytes) {
  Uuid id;
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
  Uuid id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) {
    if (begins_group(i) && text.starts_with('-')) text.remove_prefix(1);
    if (text.size() < 2) return std::nullopt;
    const int high = hex_digit(text[0]);
    const int low = hex_digit(text[1]);
    if (high < 0 || low < 0) return std::nullopt;
    id.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
    text.remove_prefix(2);
  }
  if (!text.empty()) return std::nullopt;
  return id;
}

Uuid Uuid::random(Random& random) {
  Uuid id;
  random.fill(id.bytes);
  id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | 0x40);
  id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3f) | 0x80);
  return id;
}

std::string Uuid::to_string() const {
  std::string out;
  out.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (begins_group(i)) out += '-';
    out += "0123456789abcdef"[bytes[i] >> 4];
    out += "0123456789abcdef"[bytes[i] & 15];
  }
  return out;
}

}  // namespace winze

std::size_t std::hash<winze::Uuid>::operator()(const winze::Uuid& id) const noexcept {
  std::uint64_t halves[2];
  std::memcpy(halves, id.bytes.data(), sizeof halves);
  // Ids made by hand often differ in few bits; the multiplication spreads them.
  const std::uint64_t mixed = (halves[0] ^ (halves[1] * 0x9e3779b97f4a7c15)) * 0xff51afd7ed558ccd;
  return static_cast<std::size_t>(mixed ^ (mixed >> 32));
}
