// Base64 (RFC 4648 §4) and its URL-safe alphabet (§5).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace winze {

enum class Base64Alphabet : std::uint8_t {
  kStandard,  // ends in + /
  kUrl,       // ends in - _
};

enum class Base64Padding : std::uint8_t {
  kRequired,  // the text is filled up with = to a multiple of four
  kNone,      // no = at all
  // Decoding only: both are taken, also with fewer = than due, and the unused bits of the last character may be set.
  kLenient,
};

// Text for `bytes`. kLenient pads like kRequired.
std::string base64_encode(std::span<const std::uint8_t> bytes, Base64Alphabet alphabet = Base64Alphabet::kStandard,
                          Base64Padding padding = Base64Padding::kRequired);
std::string base64_encode(std::string_view text, Base64Alphabet alphabet = Base64Alphabet::kStandard,
                          Base64Padding padding = Base64Padding::kRequired);

// The bytes of `text`, or nothing when it is malformed: a character outside the alphabet (white space too), a length
// that no bytes have, padding other than asked for, unused bits that are set (RFC 4648 §3.5).
std::optional<std::vector<std::uint8_t>> base64_decode(std::string_view text,
                                                       Base64Alphabet alphabet = Base64Alphabet::kStandard,
                                                       Base64Padding padding = Base64Padding::kRequired);

}  // namespace winze
