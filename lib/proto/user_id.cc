#include "winze/proto/user_id.h"

#include <algorithm>

#include "winze/base/bytes.h"
#include "winze/crypto/digest.h"

namespace winze {
namespace {

constexpr std::size_t kLongestName = 30;

Uuid from_name(std::string_view name) {
  std::array<std::uint8_t, 16 + kLongestName> input{};  // the namespace's zeros, then the name
  std::copy(name.begin(), name.end(), input.begin() + 16);
  const auto hash = sha1(std::span(input).first(16 + name.size()));
  Uuid id = Uuid::of(std::span(hash).first<16>());
  id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | 0x50);
  id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3f) | 0x80);
  return id;
}

}  // namespace

std::optional<Uuid> parse_user_id(std::string_view text) {
  if (auto id = Uuid::parse(text)) return id;
  if (text.empty() || text.size() > kLongestName) return std::nullopt;
  return from_name(text);
}

}  // namespace winze
