#include <cstring>

#include "winze/proto/ws/frame.h"

namespace winze::ws {

void apply_mask(std::uint8_t* to, const std::uint8_t* from, std::size_t size, MaskKey key, std::size_t offset) {
  std::uint8_t pattern[8];
  for (std::size_t i = 0; i < sizeof pattern; ++i) pattern[i] = key[(offset + i) % key.size()];
  std::uint64_t word;
  std::memcpy(&word, pattern, sizeof word);

  // All of a block is read before any of it is written, so that an overlap is harmless, and compilers make vector
  // instructions of it.
  constexpr std::size_t kWords = 8;
  while (size >= kWords * sizeof word) {
    std::uint64_t block[kWords];
    std::memcpy(block, from, sizeof block);
    for (std::uint64_t& part : block) part ^= word;
    std::memcpy(to, block, sizeof block);
    to += sizeof block;
    from += sizeof block;
    size -= sizeof block;
  }
  while (size >= sizeof word) {
    std::uint64_t part;
    std::memcpy(&part, from, sizeof part);
    part ^= word;
    std::memcpy(to, &part, sizeof part);
    to += sizeof part;
    from += sizeof part;
    size -= sizeof part;
  }
  for (std::size_t i = 0; i < size; ++i) to[i] = from[i] ^ pattern[i];
}

}  // namespace winze::ws
