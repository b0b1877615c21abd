// The header fields of a message, in order, names compared without regard to case (RFC 9110 §5).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace winze::http {

// Whether two texts are equal but for the case of ASCII letters.
bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;
// Whether `text` may be a field name or a method: one or more tchar (RFC 9110 §5.6.2).
bool is_token(std::string_view text) noexcept;
// Whether `text` may be a field value: no control characters but HTAB. It may be empty.
bool is_field_value(std::string_view text) noexcept;
// Takes the element in front off a comma-separated list, without the white space around it. False at the list's end;
// empty elements are skipped.
bool next_list_element(std::string_view& list, std::string_view& element) noexcept;

struct Field {
  std::string name;
  std::string value;
};

class Fields {
 public:
  void add(std::string_view name, std::string_view value) {
    fields_.push_back({std::string(name), std::string(value)});
  }
  // Leaves exactly one field of this name.
  void set(std::string_view name, std::string_view value);
  // Returns how many were there.
  std::size_t remove(std::string_view name);
  template <typename Predicate>
  void remove_if(Predicate&& predicate) {
    std::erase_if(fields_, predicate);
  }

  // The value of the first field of this name; null when there is none. Valid until the fields are changed.
  const std::string* find(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  // Whether `token` is an element of the comma-separated list in the fields of this name, case aside.
  bool has_token(std::string_view name, std::string_view token) const;

  std::size_t size() const { return fields_.size(); }
  void clear() { fields_.clear(); }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};

}  // namespace winze::http
