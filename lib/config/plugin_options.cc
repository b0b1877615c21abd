#include "winze/config/plugin_options.h"

#include <optional>
#include <utility>

#include "json_value.h"

namespace winze::config {
namespace {

// Takes the characters up to one of `ends` off the front of `text`, and leaves that; nothing when an escape has no
// character.
std::optional<std::string> take_word(std::string_view& text, std::string_view ends) {
  std::string out;
  while (!text.empty() && ends.find(text.front()) == ends.npos) {
    if (text.front() == '\\') text.remove_prefix(1);
    if (text.empty()) return std::nullopt;
    out += text.front();
    text.remove_prefix(1);
  }
  return out;
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> parse_plugin_options(std::string_view text) {
  std::map<std::string, std::string> out;
  while (!text.empty()) {
    std::optional<std::string> key = take_word(text, "=;");
    std::optional<std::string> value = "1";
    if (text.starts_with('=')) {
      text.remove_prefix(1);
      value = take_word(text, ";");
      if (key && key->empty()) return absl::InvalidArgumentError("a value without a key");
    }
    if (!key || !value) return absl::InvalidArgumentError("a backslash with nothing behind it");
    if (text.starts_with(';')) text.remove_prefix(1);
    if (key->empty()) continue;
    if (!out.try_emplace(*key, *std::move(value)).second) {
      return absl::InvalidArgumentError(in_quotes(*key) + ": is there twice");
    }
  }
  return out;
}

}  // namespace winze::config
