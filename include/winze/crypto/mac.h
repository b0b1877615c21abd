// Message authentication codes and hashes: HMAC (RFC 2104), AES-CMAC (RFC 4493), AES-XCBC-MAC (RFC 3566).
//
// The key is prepared once, in create(); sum() allocates nothing and leaves the Mac as it was.
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>

namespace winze {

inline constexpr std::size_t kMaxHashSize = 64;

enum class HashAlgorithm : std::uint8_t { kMd5, kSha1, kSha256, kSha384, kSha512 };

// Bytes of its output.
std::size_t hash_size(HashAlgorithm algorithm) noexcept;
// The hash of the parts one after another; the first hash_size() bytes of the result are it.
std::array<std::uint8_t, kMaxHashSize> hash_of(HashAlgorithm algorithm,
                                               std::initializer_list<std::span<const std::uint8_t>> parts);

enum class MacAlgorithm : std::uint8_t {
  kHmacMd5,
  kHmacSha1,
  kHmacSha256,
  kHmacSha384,
  kHmacSha512,
  kAesCmac,     // key 16, 24 or 32 bytes
  kAesXcbcMac,  // key 16 bytes
};

// Bytes of its full output.
std::size_t mac_size(MacAlgorithm algorithm) noexcept;

class Mac {
 public:
  using Parts = std::initializer_list<std::span<const std::uint8_t>>;

  // HMAC takes a key of any size, the AES ones theirs.
  static absl::StatusOr<Mac> create(MacAlgorithm algorithm, std::span<const std::uint8_t> key);
  Mac(Mac&&) noexcept;
  Mac& operator=(Mac&&) noexcept;
  ~Mac();

  std::size_t size() const noexcept { return size_; }
  // The MAC of the parts one after another, cut to the size of `out` (at most size()).
  void sum(Parts parts, std::span<std::uint8_t> out) const;
  // Whether `tag`, at most size() bytes, is the (cut) MAC of the parts; in constant time. Never for an empty tag.
  [[nodiscard]] bool verify(Parts parts, std::span<const std::uint8_t> tag) const;

  struct State;  // of the implementation

 private:
  Mac(std::unique_ptr<State> state, std::size_t size);

  std::unique_ptr<State> state_;
  std::size_t size_;
};

}  // namespace winze
