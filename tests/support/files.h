// Whole files below tests/vectors.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "support/hex.h"

namespace winze::test {

inline std::string text_of(const std::string& file) {
  std::ifstream in(std::string(WINZE_TEST_DATA) + "/vectors/" + file, std::ios::binary);
  REQUIRE_MESSAGE(in.good(), file);
  return {std::istreambuf_iterator<char>(in), {}};
}
inline Bytes bytes_of(const std::string& file) {
  const std::string text = text_of(file);
  return {text.begin(), text.end()};
}

}  // namespace winze::test
