// Checked reading and writing of network-order fields. One pair for every protocol here.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "winze/base/buffer.h"

namespace winze {

inline std::uint16_t load_u16(const std::uint8_t* p) { return static_cast<std::uint16_t>(p[0] << 8 | p[1]); }
inline std::uint32_t load_u32(const std::uint8_t* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}
inline std::uint64_t load_u64(const std::uint8_t* p) { return std::uint64_t{load_u32(p)} << 32 | load_u32(p + 4); }
inline void store_u16(std::uint8_t* p, std::uint16_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 8);
  p[1] = static_cast<std::uint8_t>(v);
}
inline void store_u32(std::uint8_t* p, std::uint32_t v) {
  store_u16(p, static_cast<std::uint16_t>(v >> 16));
  store_u16(p + 2, static_cast<std::uint16_t>(v));
}
inline void store_u64(std::uint8_t* p, std::uint64_t v) {
  store_u32(p, static_cast<std::uint32_t>(v >> 32));
  store_u32(p + 4, static_cast<std::uint32_t>(v));
}

inline std::span<const std::uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Reads fields off the front of a span it does not own. A read past the end yields zeros or an empty span and makes
// ok() false for good, so a decoder reads all its fields and asks once.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : rest_(bytes), size_(bytes.size()) {}

  bool ok() const { return ok_; }
  std::size_t remaining() const { return rest_.size(); }
  std::size_t consumed() const { return size_ - rest_.size(); }
  std::span<const std::uint8_t> rest() const { return rest_; }

  std::uint8_t u8() { return need(1) ? *take(1) : std::uint8_t{0}; }
  std::uint16_t u16() { return need(2) ? load_u16(take(2)) : std::uint16_t{0}; }
  std::uint32_t u32() { return need(4) ? load_u32(take(4)) : 0; }
  std::uint64_t u64() { return need(8) ? load_u64(take(8)) : 0; }
  std::span<const std::uint8_t> bytes(std::size_t n) {
    if (!need(n)) return {};
    return {take(n), n};
  }
  std::string_view text(std::size_t n) { return as_text(bytes(n)); }
  void skip(std::size_t n) { (void)bytes(n); }

 private:
  bool need(std::size_t n) {
    if (rest_.size() < n) {
      ok_ = false;
      rest_ = {};
    }
    return ok_;
  }
  const std::uint8_t* take(std::size_t n) {
    const std::uint8_t* p = rest_.data();
    rest_ = rest_.subspan(n);
    return p;
  }

  std::span<const std::uint8_t> rest_;
  std::size_t size_;
  bool ok_ = true;
};

// Appends fields to a Buffer.
class Writer {
 public:
  explicit Writer(Buffer& out) : out_(out) {}

  void u8(std::uint8_t v) { *out_.append(1) = v; }
  void u16(std::uint16_t v) { store_u16(out_.append(2), v); }
  void u32(std::uint32_t v) { store_u32(out_.append(4), v); }
  void u64(std::uint64_t v) { store_u64(out_.append(8), v); }
  void bytes(std::span<const std::uint8_t> v) { out_.append(v); }
  void text(std::string_view v) { out_.append(v); }
  void zeros(std::size_t n) {
    if (n != 0) std::memset(out_.append(n), 0, n);
  }

 private:
  Buffer& out_;
};

}  // namespace winze
