// Test vectors from text files: records of `name = value` lines, parted by empty lines; `#` begins a comment line.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace winze::test {

using Bytes = std::vector<std::uint8_t>;

inline Bytes unhex(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; };
  Bytes out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    if (text[i] == ' ') ++i;
    out.push_back(static_cast<std::uint8_t>(digit(text[i]) << 4 | digit(text[i + 1])));
  }
  return out;
}

inline std::string hex(std::span<const std::uint8_t> bytes) {
  std::string out;
  for (const std::uint8_t b : bytes) {
    out += "0123456789abcdef"[b >> 4];
    out += "0123456789abcdef"[b & 15];
  }
  return out;
}

class Vector {
 public:
  std::map<std::string, std::string> fields;

  const std::string& text(const std::string& name) const {
    const auto found = fields.find(name);
    REQUIRE_MESSAGE(found != fields.end(), name);
    return found->second;
  }
  Bytes bytes(const std::string& name) const { return unhex(text(name)); }
  bool has(const std::string& name) const { return fields.contains(name); }
};

// `file` is below tests/vectors.
inline std::vector<Vector> load_vectors(const std::string& file) {
  std::ifstream in(std::string(WINZE_TEST_DATA) + "/vectors/" + file);
  REQUIRE_MESSAGE(in.good(), file);
  std::vector<Vector> all;
  Vector now;
  std::string line;
  const auto flush = [&] {
    if (!now.fields.empty()) all.push_back(std::move(now));
    now.fields.clear();
  };
  while (std::getline(in, line)) {
    if (line.empty()) {
      flush();
    } else if (line[0] != '#') {
      const std::size_t equals = line.find(" =");
      REQUIRE_MESSAGE(equals != std::string::npos, line);
      now.fields[line.substr(0, equals)] = line.size() > equals + 3 ? line.substr(equals + 3) : "";
    }
  }
  flush();
  REQUIRE(!all.empty());
  return all;
}

}  // namespace winze::test
