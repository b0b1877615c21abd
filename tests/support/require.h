// What fuzz targets check with: stops the program where a claim does not hold.
#pragma once

namespace winze::test {

inline void require(bool claim) {
  if (!claim) __builtin_trap();
}

}  // namespace winze::test
