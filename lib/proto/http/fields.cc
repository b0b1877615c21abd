#include "winze/proto/http/fields.h"

#include <algorithm>

#include "winze/base/ascii.h"

namespace winze::http {
namespace {

constexpr bool is_token_character(char c) {
  if ((c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z')) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

bool is_token(std::string_view text) noexcept { return !text.empty() && std::ranges::all_of(text, is_token_character); }

bool is_field_value(std::string_view text) noexcept {
  return std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

bool next_list_element(std::string_view& list, std::string_view& element) noexcept {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    element = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    const std::size_t first = element.find_first_not_of(" \t");
    if (first == element.npos) continue;
    element = element.substr(first, element.find_last_not_of(" \t") - first + 1);
    return true;
  }
  return false;
}

void Fields::set(std::string_view name, std::string_view value) {
  remove(name);
  add(name, value);
}

std::size_t Fields::remove(std::string_view name) {
  return std::erase_if(fields_, [&](const Field& field) { return equal_ignoring_case(field.name, name); });
}

const std::string* Fields::find(std::string_view name) const {
  for (const Field& field : fields_) {
    if (equal_ignoring_case(field.name, name)) return &field.value;
  }
  return nullptr;
}

std::size_t Fields::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(fields_, [&](const Field& field) { return equal_ignoring_case(field.name, name); }));
}

bool Fields::has_token(std::string_view name, std::string_view token) const {
  for (const Field& field : fields_) {
    if (!equal_ignoring_case(field.name, name)) continue;
    std::string_view list = field.value;
    std::string_view element;
    while (next_list_element(list, element)) {
      if (equal_ignoring_case(element, token)) return true;
    }
  }
  return false;
}

}  // namespace winze::http
