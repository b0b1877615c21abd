#include "winze/base/secret.h"

#include <cstring>
#include <utility>

namespace winze {

void secure_wipe(std::span<std::uint8_t> bytes) noexcept {
  if (bytes.empty()) return;
  std::memset(bytes.data(), 0, bytes.size());
  // The memory is named as an input of opaque code, so the store above is not dead.
  asm volatile("" : : "r"(bytes.data()) : "memory");
}

bool constant_time_equal(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) noexcept {
  if (a.size() != b.size()) return false;
  volatile std::uint8_t difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference = difference | (a[i] ^ b[i]);
  return difference == 0;
}

Secret::Secret(std::string_view text)
    : Secret(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size())) {}

Secret& Secret::operator=(const Secret& other) {
  if (this != &other) *this = Secret(other);
  return *this;
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe();
    bytes_ = std::move(other.bytes_);
  }
  return *this;
}

}  // namespace winze
