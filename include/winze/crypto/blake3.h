// BLAKE3: a hash, a keyed hash and a key derivation, with output of any length. Portable and not fast: here for
// protocols that derive keys with it. (BoringSSL has none.) Base document: "BLAKE3: one function, fast everywhere"
// (2021), github.com/BLAKE3-team/BLAKE3-specs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

namespace winze {

// Bytes that come in pieces.
class Blake3 {
 public:
  static constexpr std::size_t kKeySize = 32;
  static constexpr std::size_t kHashSize = 32;  // of the usual output
  using Key = std::span<const std::uint8_t, kKeySize>;

  Blake3();
  explicit Blake3(Key key);
  // Derives keys: `context` is a constant text of the application, unique to the purpose; update() takes the material.
  static Blake3 for_keys(std::string_view context);
  Blake3(const Blake3&) = default;
  Blake3& operator=(const Blake3&) = default;
  ~Blake3();

  void update(std::span<const std::uint8_t> bytes);
  // Fills `out`; the hash may then be updated further.
  void finish(std::span<std::uint8_t> out) const;

 private:
  using Words = std::array<std::uint32_t, 8>;
  struct Output;

  Blake3(const Words& key, std::uint32_t flags);
  void add_chunk(Words value);
  Output chunk_output() const;

  Words key_;
  std::uint32_t flags_;
  // The chunk under way: 1024 bytes in blocks of 64.
  Words chaining_;
  std::uint64_t chunk_ = 0;
  std::array<std::uint8_t, 64> block_{};
  std::uint8_t block_size_ = 0;
  std::uint8_t blocks_ = 0;  // of the chunk, already compressed
  // The roots of finished subtrees, the largest first: one for each bit that is set in chunk_.
  std::array<Words, 54> stack_;
  std::uint8_t stack_size_ = 0;
};

std::array<std::uint8_t, Blake3::kHashSize> blake3(std::span<const std::uint8_t> bytes);
// The key that `context` gives for the parts of the material one after another.
void blake3_derive_key(std::string_view context, std::initializer_list<std::span<const std::uint8_t>> material,
                       std::span<std::uint8_t> out);

}  // namespace winze
