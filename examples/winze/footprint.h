#pragma once

namespace winze::tool {

// Gives back what only the start needed: freed heap, and the pages of program and library code that were read to parse
// the configuration. The kernel brings a page back when it is run again.
void drop_startup_memory();

}  // namespace winze::tool
