// Bytes that wipe themselves, cannot be printed, and compare in constant time.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace winze {

// Overwrites memory in a way the compiler may not remove.
void secure_wipe(std::span<std::uint8_t> bytes) noexcept;
// Whether two spans are equal, in a time that depends on their sizes alone.
bool constant_time_equal(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) noexcept;

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::size_t size) : bytes_(size) {}
  explicit Secret(std::span<const std::uint8_t> bytes) : bytes_(bytes.begin(), bytes.end()) {}
  explicit Secret(std::string_view text);
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) {}
  Secret& operator=(const Secret& other);
  Secret& operator=(Secret&& other) noexcept;
  ~Secret() { wipe(); }

  std::size_t size() const noexcept { return bytes_.size(); }
  bool empty() const noexcept { return bytes_.empty(); }
  std::span<std::uint8_t> span() noexcept { return bytes_; }
  std::span<const std::uint8_t> span() const noexcept { return bytes_; }

  friend bool operator==(const Secret& a, const Secret& b) { return constant_time_equal(a.bytes_, b.bytes_); }

 private:
  void wipe() noexcept { secure_wipe(bytes_); }

  std::vector<std::uint8_t> bytes_;
};

}  // namespace winze
