#include "winze/base/base64.h"

#include "winze/base/bytes.h"

namespace winze {
namespace {

constexpr std::string_view kAlphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

char character_of(unsigned value, Base64Alphabet alphabet) {
  if (value < 62) return kAlphanumeric[value];
  if (alphabet == Base64Alphabet::kUrl) return value == 62 ? '-' : '_';
  return value == 62 ? '+' : '/';
}

// -1 for characters outside the alphabet.
int value_of(char c, Base64Alphabet alphabet) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  const bool url = alphabet == Base64Alphabet::kUrl;
  if (c == (url ? '-' : '+')) return 62;
  if (c == (url ? '_' : '/')) return 63;
  return -1;
}

// Takes the = off the end of `text`; false when there are others than `padding` allows.
bool strip_padding(std::string_view& text, Base64Padding padding) {
  const std::size_t whole = text.size();
  std::size_t marks = 0;
  while (marks < 2 && !text.empty() && text.back() == '=') {
    text.remove_suffix(1);
    ++marks;
  }
  const std::size_t due = (4 - text.size() % 4) % 4;
  switch (padding) {
    case Base64Padding::kRequired:
      return whole % 4 == 0 && marks == due;
    case Base64Padding::kNone:
      return marks == 0;
    case Base64Padding::kLenient:
      return marks <= due;
  }
  return false;
}

}  // namespace

std::string base64_encode(std::span<const std::uint8_t> bytes, Base64Alphabet alphabet, Base64Padding padding) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = bytes.size() - i < 3 ? bytes.size() - i : 3;
    unsigned group = unsigned{bytes[i]} << 16;
    if (count > 1) group |= unsigned{bytes[i + 1]} << 8;
    if (count > 2) group |= bytes[i + 2];
    for (std::size_t k = 0; k <= count; ++k) out += character_of(group >> (18 - 6 * k) & 63, alphabet);
    if (padding != Base64Padding::kNone) out.append(3 - count, '=');
  }
  return out;
}

std::string base64_encode(std::string_view text, Base64Alphabet alphabet, Base64Padding padding) {
  return base64_encode(as_bytes(text), alphabet, padding);
}

std::optional<std::vector<std::uint8_t>> base64_decode(std::string_view text, Base64Alphabet alphabet,
                                                       Base64Padding padding) {
  if (!strip_padding(text, padding) || text.size() % 4 == 1) return std::nullopt;
  std::vector<std::uint8_t> out;
  out.reserve(text.size() / 4 * 3 + 2);
  unsigned bits = 0;
  unsigned held = 0;  // bits not yet given out, at the low end of `bits`
  for (const char c : text) {
    const int value = value_of(c, alphabet);
    if (value < 0) return std::nullopt;
    bits = (bits << 6 | static_cast<unsigned>(value)) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out.push_back(static_cast<std::uint8_t>(bits >> held));
    }
  }
  const bool unused_set = (bits & ((1u << held) - 1)) != 0;
  if (unused_set && padding != Base64Padding::kLenient) return std::nullopt;
  return out;
}

}  // namespace winze
