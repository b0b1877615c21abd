// JSON with the place of each value in its text.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace winze::config {

struct JsonValue {
  enum class Kind { kNull, kBool, kInteger, kReal, kString, kArray, kObject } kind = Kind::kNull;
  bool boolean = false;
  std::int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<JsonValue> items;
  std::vector<JsonValue> members;
  std::string name;        // of a member
  std::size_t at = 0;      // offset of the value in the text
  std::size_t key_at = 0;  // of a member: offset of its key
  int source = 0;          // which text
};

// The text in quotation marks, shortened when long, without control characters.
std::string in_quotes(std::string_view text);

// "an object", "the string \"x\"", "the number 3": what was found, for messages.
std::string describe(const JsonValue& value);

// "name:line:column" of an offset.
std::string place(std::string_view name, std::string_view text, std::size_t offset);

// Parses a text with comments. At most 64 levels deep. A key that is there twice is kept twice.
// Errors carry the place and show it in its line.
absl::StatusOr<JsonValue> parse_json(std::string_view name, std::string_view text, int source);

}  // namespace winze::config
