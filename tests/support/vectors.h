// Test vectors from text files: records of `name = value` lines, parted by empty lines; `#` begins a comment line.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "support/hex.h"

namespace winze::test {

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
