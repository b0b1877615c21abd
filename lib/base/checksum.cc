#include "winze/base/checksum.h"

namespace winze {

InternetChecksum& InternetChecksum::add(std::span<const std::uint8_t> bytes) noexcept {
  // One's complement addition does not mind the size of its words: eight bytes at a time, carries wrapped around.
  std::uint64_t sum = 0;
  while (bytes.size() >= 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data(), sizeof word);
    sum += word;
    sum += sum < word ? 1 : 0;
    bytes = bytes.subspan(8);
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, bytes.data(), bytes.size());
  sum += rest;
  sum += sum < rest ? 1 : 0;
  sum_ += (sum >> 32) + (sum & 0xffffffff);
  return *this;
}

}  // namespace winze
