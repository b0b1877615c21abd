// The ICV of AH: an HMAC or CMAC, or AES-GMAC.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "winze/base/buffer.h"
#include "winze/crypto/aead.h"
#include "winze/crypto/mac.h"
#include "winze/proto/esp/sa.h"

namespace winze::ah {

inline constexpr std::size_t kFixedSize = 12;  // of AH, up to the ICV
// The IP headers in front of AH; more of them than this would be an attack.
inline constexpr std::size_t kLargestHead = 256;

class Authenticator {
 public:
  static absl::StatusOr<std::unique_ptr<Authenticator>> create(const esp::SaConfig& config);
  ~Authenticator();

  // Of the ICV field, without padding.
  std::size_t icv_size() const noexcept { return icv_size_; }
  // Of AH, a multiple of 4 bytes with IPv4 and of 8 with IPv6 (RFC 4302 section 2.2).
  std::size_t header_size(bool v6) const noexcept {
    const std::size_t unit = v6 ? 8 : 4;
    return (kFixedSize + icv_size_ + unit - 1) / unit * unit;
  }

  // `packet` is whole but for the ICV; AH stands at `at`. Drop::kMalformed when its headers cannot be covered.
  esp::Drop write(Buffer& packet, std::size_t at, std::uint64_t sequence) const;
  // kBadIcv, or kMalformed.
  esp::Drop verify(Buffer& packet, std::size_t at, std::uint64_t sequence) const;

 private:
  Authenticator() = default;
  // The tag over `packet` from `head`, which stands for as many of its bytes, on.
  void sum(Buffer& packet, std::span<const std::uint8_t> head, std::uint64_t sequence, const std::uint8_t* iv,
           std::span<std::uint8_t> tag) const;
  std::size_t tag_size() const noexcept { return aead_ ? 16 : icv_size_; }

  bool esn_ = false;
  std::uint8_t icv_size_ = 0;
  std::uint8_t salt_[4]{};
  std::optional<Mac> mac_;
  std::optional<Aead> aead_;
};

}  // namespace winze::ah
