#include "authenticator.h"

#include <absl/status/status.h>

#include <array>
#include <cstring>
#include <utility>

#include "immutable.h"
#include "proto/esp/transform.h"
#include "winze/base/bytes.h"
#include "winze/base/secret.h"

namespace winze::ah {
namespace {

constexpr std::size_t kGmacIvSize = 8;
constexpr std::size_t kSaltSize = 4;
constexpr std::size_t kLargestCovered = kLargestHead + kFixedSize + kMaxHashSize;

// The headers up to the ICV's end, with zeroes where the ICV stands and what routers change.
class Covered {
 public:
  bool build(std::span<const std::uint8_t> packet, std::size_t at, std::size_t icv_size) {
    size_ = at + kFixedSize + icv_size;
    if (at > kLargestHead || size_ > packet.size()) return false;
    std::memcpy(bytes_.data(), packet.data(), at + kFixedSize);
    std::memset(bytes_.data() + at + kFixedSize, 0, icv_size);
    return make_immutable({bytes_.data(), at});
  }
  std::span<const std::uint8_t> span() const { return {bytes_.data(), size_}; }

 private:
  std::array<std::uint8_t, kLargestCovered> bytes_;
  std::size_t size_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Authenticator>> Authenticator::create(const esp::SaConfig& config) {
  std::unique_ptr<Authenticator> a(new Authenticator);
  const esp::Algorithms& algorithms = config.algorithms;
  a->esn_ = config.esn;
  if (algorithms.encryption == esp::Encryption::kAesGmac) {
    const auto key = algorithms.encryption_key.span();
    if (algorithms.integrity != esp::Integrity::kNone) {
      return absl::InvalidArgumentError("integrity: AES-GMAC authenticates already");
    }
    if (key.size() < kSaltSize) return absl::InvalidArgumentError("encryption_key: too short");
    auto aead = Aead::create(AeadAlgorithm::kAesGcm, key.first(key.size() - kSaltSize));
    if (!aead.ok()) return absl::InvalidArgumentError("encryption_key: wrong size for the algorithm");
    a->aead_ = std::move(*aead);
    std::memcpy(a->salt_, key.last(kSaltSize).data(), kSaltSize);
    a->icv_size_ = kGmacIvSize + 16;
    return a;
  }
  if (algorithms.encryption != esp::Encryption::kNull) {
    return absl::InvalidArgumentError("encryption: AH encrypts nothing; kNull, or kAesGmac");
  }
  auto mac = esp::create_mac(algorithms.integrity, algorithms.integrity_key, algorithms.legacy);
  if (!mac.ok()) return mac.status();
  a->mac_ = std::move(*mac);
  a->icv_size_ = static_cast<std::uint8_t>(esp::icv_size_of(algorithms.integrity));
  return a;
}

Authenticator::~Authenticator() { secure_wipe(salt_); }

esp::Drop Authenticator::write(Buffer& packet, std::size_t at, std::uint64_t sequence) const {
  Covered covered;
  if (!covered.build(packet.span(), at, icv_size_)) return esp::Drop::kMalformed;
  std::uint8_t* const icv = packet.data() + at + kFixedSize;
  const std::size_t iv_size = icv_size_ - tag_size();
  if (aead_) store_u64(icv, sequence);
  std::array<std::uint8_t, kGmacIvSize> iv{};
  std::memcpy(iv.data(), icv, iv_size);
  std::array<std::uint8_t, kMaxHashSize> tag;
  sum(packet, covered.span(), sequence, iv.data(), {tag.data(), tag_size()});
  std::memcpy(packet.data() + at + kFixedSize + iv_size, tag.data(), tag_size());
  return esp::Drop::kNone;
}

esp::Drop Authenticator::verify(Buffer& packet, std::size_t at, std::uint64_t sequence) const {
  Covered covered;
  if (!covered.build(packet.span(), at, icv_size_)) return esp::Drop::kMalformed;
  std::array<std::uint8_t, kMaxHashSize> came, tag;
  std::memcpy(came.data(), packet.data() + at + kFixedSize, icv_size_);
  sum(packet, covered.span(), sequence, came.data(), {tag.data(), tag_size()});
  const std::span<const std::uint8_t> expected(tag.data(), tag_size());
  return constant_time_equal(expected, {came.data() + icv_size_ - tag_size(), tag_size()}) ? esp::Drop::kNone
                                                                                           : esp::Drop::kBadIcv;
}

// With ESN the high half of the number follows the packet, though it does not travel (RFC 4302 section 3.3.3.2.2).
void Authenticator::sum(Buffer& packet, std::span<const std::uint8_t> head, std::uint64_t sequence,
                        const std::uint8_t* iv, std::span<std::uint8_t> tag) const {
  std::uint8_t high[4];
  store_u32(high, static_cast<std::uint32_t>(sequence >> 32));
  const std::span<const std::uint8_t> tail(high, esn_ ? sizeof high : 0);
  if (mac_) return mac_->sum({head, std::as_const(packet).span().subspan(head.size()), tail}, tag);

  // GMAC takes one piece: the packet is made to read so, and back, rather than copied.
  std::array<std::uint8_t, kLargestCovered> kept;
  std::memcpy(kept.data(), packet.data(), head.size());
  std::memcpy(packet.data(), head.data(), head.size());
  packet.append(tail);
  std::uint8_t nonce[kSaltSize + kGmacIvSize];
  std::memcpy(nonce, salt_, kSaltSize);
  std::memcpy(nonce + kSaltSize, iv, kGmacIvSize);
  (void)aead_->seal(nonce, packet.span(), {}, tag.data());
  packet.trim_back(tail.size());
  std::memcpy(packet.data(), kept.data(), head.size());
}

}  // namespace winze::ah
