#pragma once

#include <cstddef>

namespace winze::tool {

// Gives back what only the start needed: freed heap, and the pages of program and library code that were read to parse
// the configuration. The kernel brings a page back when it is run again.
void drop_startup_memory();

// Gives heap back that a load has left free: by itself glibc does so at the heap's end only.
class HeapWatch {
 public:
  // To be called every few seconds.
  void look();

 private:
  std::size_t left_ = 0;  // resident bytes that are not in use and could not be given back
};

}  // namespace winze::tool
