// What an SA's algorithms do to one packet, in place.
//
//   SPI(4) | SEQ(4) | IV | ENC[ payload | padding | pad length(1) | next header(1) ] | ICV
#pragma once

#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "winze/base/buffer.h"
#include "winze/base/random.h"
#include "winze/crypto/aead.h"
#include "winze/crypto/cipher.h"
#include "winze/crypto/mac.h"
#include "winze/proto/esp/sa.h"

namespace winze::esp {

inline constexpr std::size_t kHeaderSize = 8;

// The MAC of an Integrity other than kNone, and the size it is cut to. For AH too.
absl::StatusOr<Mac> create_mac(Integrity integrity, const Secret& key, bool legacy);
std::size_t icv_size_of(Integrity integrity) noexcept;

// What both directions of ESP and AH ask of SPI, numbers and window.
absl::Status check_numbers(const SaConfig& config);
// The sequence number that `low` on the wire stands for; a reason not to go on with it.
Drop judge(const ReplayWindow& window, bool esn, std::uint32_t low, std::uint64_t& sequence) noexcept;

class Transform {
 public:
  // `random` is null for an inbound SA; an outbound one draws the key of its CBC IVs from it.
  static absl::StatusOr<std::unique_ptr<Transform>> create(const Algorithms& algorithms, bool esn, Random* random);
  ~Transform();

  std::size_t iv_size() const noexcept { return iv_size_; }
  std::size_t icv_size() const noexcept { return icv_size_; }
  // The encrypted part is a multiple of this when it is sealed.
  std::size_t alignment() const noexcept { return alignment_; }
  // Bytes in front of the packet that seal() and open() use for a moment.
  std::size_t scratch_front() const noexcept { return kind_ == Kind::kGmac && esn_ ? 4 : 0; }

  // `packet` begins at the SPI and is whole; header and trailer are written, the IV and the ICV are not yet.
  bool seal(Buffer& packet, std::uint64_t sequence);
  // Checks the ICV and decrypts, leaving the sizes as they are.
  bool open(Buffer& packet, std::uint64_t sequence);

  // Whether a packet of so many bytes can be one: room for a trailer, and whole blocks.
  bool takes(std::size_t size) const noexcept {
    const std::size_t fixed = kHeaderSize + iv_size_ + icv_size_;
    return size >= fixed + 2 && (size - fixed) % cipher_block_ == 0;
  }
  // For kHmacSha2_256_128: cuts the ICV as kHmacSha2_256_96 does.
  void use_short_sha2(bool on) noexcept { icv_size_ = on ? 12 : 16; }

 private:
  enum class Kind : std::uint8_t { kAead, kGmac, kCipherAndMac };

  Transform() = default;
  absl::Status init_aead(const Algorithms& algorithms);
  absl::Status init_cipher(const Algorithms& algorithms, bool outbound);
  absl::Status init_mac(const Algorithms& algorithms);
  void write_iv(std::uint8_t* iv, std::uint64_t sequence) const;
  // Salt and IV; returns how many bytes.
  std::size_t make_nonce(std::span<std::uint8_t, 16> nonce, const std::uint8_t* iv, std::uint64_t sequence) const;
  // SPI and sequence number as they are authenticated; returns how many bytes.
  std::size_t make_associated(std::span<std::uint8_t, 12> out, const std::uint8_t* packet,
                              std::uint64_t sequence) const;
  bool apply_aead(Buffer& packet, std::uint64_t sequence, bool seal) const;
  bool apply_gmac(Buffer& packet, std::uint64_t sequence, bool seal) const;
  bool apply_cipher(Buffer& packet);
  void sum(const Buffer& packet, std::size_t size, std::uint64_t sequence, std::span<std::uint8_t> out) const;
  bool verify(const Buffer& packet, std::uint64_t sequence) const;

  Kind kind_ = Kind::kAead;
  bool esn_ = false;
  bool implicit_iv_ = false;
  std::uint8_t salt_size_ = 0;
  std::uint8_t iv_size_ = 8;
  std::uint8_t icv_size_ = 16;
  std::uint8_t alignment_ = 4;
  std::uint8_t cipher_block_ = 1;
  bool counter_mode_ = false;
  std::array<std::uint8_t, 4> salt_{};
  std::optional<Aead> aead_;
  std::optional<Cipher> cipher_;
  std::optional<Mac> mac_;
  std::optional<AesBlock> iv_maker_;
};

}  // namespace winze::esp
