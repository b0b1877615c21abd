#include "winze/crypto/mac.h"

#include <absl/status/status.h>
#include <openssl/aes.h>
#include <openssl/md5.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "evp.h"
#include "winze/base/secret.h"

namespace winze {

struct Mac::State {
  virtual ~State() = default;
  // Writes the whole MAC.
  virtual void sum(Parts parts, std::uint8_t* out) const = 0;
};

namespace {

// The hashes by type, so that their running states are plain values which copy without a call.
template <typename Context, int (*kInit)(Context*), int (*kUpdate)(Context*, const void*, std::size_t),
          int (*kFinal)(std::uint8_t*, Context*), std::size_t kBlockSize, std::size_t kOutputSize>
struct Hash {
  static constexpr std::size_t kBlock = kBlockSize;
  static constexpr std::size_t kOutput = kOutputSize;

  Context context;
  Hash() { kInit(&context); }
  void update(std::span<const std::uint8_t> bytes) {
    if (!bytes.empty()) kUpdate(&context, bytes.data(), bytes.size());
  }
  void finish(std::uint8_t* out) { kFinal(out, &context); }
};
using Md5 = Hash<MD5_CTX, MD5_Init, MD5_Update, MD5_Final, 64, 16>;
using Sha1 = Hash<SHA_CTX, SHA1_Init, SHA1_Update, SHA1_Final, 64, 20>;
using Sha256 = Hash<SHA256_CTX, SHA256_Init, SHA256_Update, SHA256_Final, 64, 32>;
using Sha384 = Hash<SHA512_CTX, SHA384_Init, SHA384_Update, SHA384_Final, 128, 48>;
using Sha512 = Hash<SHA512_CTX, SHA512_Init, SHA512_Update, SHA512_Final, 128, 64>;

// RFC 2104: H(key ^ opad | H(key ^ ipad | text)). The two first blocks are hashed once.
template <typename H>
class Hmac final : public Mac::State {
 public:
  explicit Hmac(std::span<const std::uint8_t> key) {
    std::uint8_t block[H::kBlock]{};
    if (key.size() > sizeof block) {
      H hash;
      hash.update(key);
      hash.finish(block);
    } else if (!key.empty()) {
      std::memcpy(block, key.data(), key.size());
    }
    for (std::uint8_t& b : block) b ^= 0x36;
    inner_.update(block);
    for (std::uint8_t& b : block) b ^= 0x36 ^ 0x5c;
    outer_.update(block);
    secure_wipe(block);
  }
  ~Hmac() override {
    secure_wipe({reinterpret_cast<std::uint8_t*>(&inner_), sizeof inner_});
    secure_wipe({reinterpret_cast<std::uint8_t*>(&outer_), sizeof outer_});
  }

  void sum(Mac::Parts parts, std::uint8_t* out) const override {
    H hash = inner_;
    for (const auto& part : parts) hash.update(part);
    std::uint8_t digest[H::kOutput];
    hash.finish(digest);
    hash = outer_;
    hash.update(digest);
    hash.finish(out);
  }

 private:
  H inner_, outer_;
};

// CMAC and XCBC are one construction: a CBC-MAC whose last block is masked by one of two sub-keys, according to whether
// it is whole. They differ in how the sub-keys come from the key.
class BlockMac final : public Mac::State {
 public:
  static constexpr std::size_t kBlock = 16;

  static std::unique_ptr<BlockMac> cmac(std::span<const std::uint8_t> key) {
    auto mac = std::make_unique<BlockMac>();
    AES_set_encrypt_key(key.data(), static_cast<unsigned>(key.size() * 8), &mac->key_);
    std::uint8_t zero[kBlock]{};
    AES_encrypt(zero, mac->whole_, &mac->key_);
    double_block(mac->whole_, mac->whole_);
    double_block(mac->whole_, mac->padded_);
    return mac;
  }
  static std::unique_ptr<BlockMac> xcbc(std::span<const std::uint8_t> key) {
    auto mac = std::make_unique<BlockMac>();
    AES_set_encrypt_key(key.data(), 128, &mac->key_);
    std::uint8_t block[kBlock], k1[kBlock];
    std::memset(block, 1, kBlock);
    AES_encrypt(block, k1, &mac->key_);
    std::memset(block, 2, kBlock);
    AES_encrypt(block, mac->whole_, &mac->key_);
    std::memset(block, 3, kBlock);
    AES_encrypt(block, mac->padded_, &mac->key_);
    AES_set_encrypt_key(k1, 128, &mac->key_);
    secure_wipe(k1);
    return mac;
  }
  ~BlockMac() override {
    secure_wipe({reinterpret_cast<std::uint8_t*>(&key_), sizeof key_});
    secure_wipe(whole_);
    secure_wipe(padded_);
  }

  void sum(Mac::Parts parts, std::uint8_t* out) const override {
    std::uint8_t chain[kBlock]{}, held[kBlock];
    std::size_t n = 0;  // of held; a block is worked in only when more follows it
    for (std::span<const std::uint8_t> part : parts) {
      while (!part.empty()) {
        if (n == kBlock) {
          mix(held, chain);
          n = 0;
        }
        const std::size_t take = std::min(kBlock - n, part.size());
        std::memcpy(held + n, part.data(), take);
        n += take;
        part = part.subspan(take);
      }
    }
    const std::uint8_t* mask = whole_;
    if (n < kBlock) {
      held[n] = 0x80;
      std::memset(held + n + 1, 0, kBlock - n - 1);
      mask = padded_;
    }
    for (std::size_t i = 0; i < kBlock; ++i) held[i] ^= mask[i];
    mix(held, chain);
    std::memcpy(out, chain, kBlock);
  }

 private:
  // Doubling in GF(2^128) (RFC 4493 §2.3).
  static void double_block(const std::uint8_t* in, std::uint8_t* out) {
    const auto carry = static_cast<std::uint8_t>(-(in[0] >> 7) & 0x87);
    for (std::size_t i = 0; i + 1 < kBlock; ++i) out[i] = static_cast<std::uint8_t>(in[i] << 1 | in[i + 1] >> 7);
    out[kBlock - 1] = static_cast<std::uint8_t>(in[kBlock - 1] << 1 ^ carry);
  }
  void mix(const std::uint8_t* block, std::uint8_t* chain) const {
    for (std::size_t i = 0; i < kBlock; ++i) chain[i] ^= block[i];
    AES_encrypt(chain, chain, &key_);
  }

  AES_KEY key_;
  std::uint8_t whole_[kBlock], padded_[kBlock];
};

template <typename H>
std::array<std::uint8_t, kMaxHashSize> hash_parts(std::initializer_list<std::span<const std::uint8_t>> parts) {
  H hash;
  for (const auto& part : parts) hash.update(part);
  std::array<std::uint8_t, kMaxHashSize> out{};
  hash.finish(out.data());
  return out;
}

}  // namespace

std::size_t hash_size(HashAlgorithm algorithm) noexcept {
  constexpr std::size_t kSizes[] = {16, 20, 32, 48, 64};
  return kSizes[static_cast<std::size_t>(algorithm)];
}

std::array<std::uint8_t, kMaxHashSize> hash_of(HashAlgorithm algorithm,
                                               std::initializer_list<std::span<const std::uint8_t>> parts) {
  switch (algorithm) {
    case HashAlgorithm::kMd5:
      return hash_parts<Md5>(parts);
    case HashAlgorithm::kSha1:
      return hash_parts<Sha1>(parts);
    case HashAlgorithm::kSha256:
      return hash_parts<Sha256>(parts);
    case HashAlgorithm::kSha384:
      return hash_parts<Sha384>(parts);
    case HashAlgorithm::kSha512:
      return hash_parts<Sha512>(parts);
  }
  return {};
}

std::size_t mac_size(MacAlgorithm algorithm) noexcept {
  constexpr std::size_t kSizes[] = {16, 20, 32, 48, 64, 16, 16};
  return kSizes[static_cast<std::size_t>(algorithm)];
}

Mac::Mac(std::unique_ptr<State> state, std::size_t size) : state_(std::move(state)), size_(size) {}
Mac::Mac(Mac&&) noexcept = default;
Mac& Mac::operator=(Mac&&) noexcept = default;
Mac::~Mac() = default;

absl::StatusOr<Mac> Mac::create(MacAlgorithm algorithm, std::span<const std::uint8_t> key) {
  std::unique_ptr<State> state;
  switch (algorithm) {
    case MacAlgorithm::kHmacMd5:
      state = std::make_unique<Hmac<Md5>>(key);
      break;
    case MacAlgorithm::kHmacSha1:
      state = std::make_unique<Hmac<Sha1>>(key);
      break;
    case MacAlgorithm::kHmacSha256:
      state = std::make_unique<Hmac<Sha256>>(key);
      break;
    case MacAlgorithm::kHmacSha384:
      state = std::make_unique<Hmac<Sha384>>(key);
      break;
    case MacAlgorithm::kHmacSha512:
      state = std::make_unique<Hmac<Sha512>>(key);
      break;
    case MacAlgorithm::kAesCmac:
      if (!is_aes_key_size(key.size())) return absl::InvalidArgumentError("mac: an AES key has 16, 24 or 32 bytes");
      state = BlockMac::cmac(key);
      break;
    case MacAlgorithm::kAesXcbcMac:
      if (key.size() != 16) return absl::InvalidArgumentError("mac: AES-XCBC-MAC takes a key of 16 bytes");
      state = BlockMac::xcbc(key);
      break;
  }
  return Mac(std::move(state), mac_size(algorithm));
}

void Mac::sum(Parts parts, std::span<std::uint8_t> out) const {
  std::uint8_t whole[kMaxHashSize];
  state_->sum(parts, whole);
  std::memcpy(out.data(), whole, std::min(out.size(), size_));
}

bool Mac::verify(Parts parts, std::span<const std::uint8_t> tag) const {
  if (tag.empty() || tag.size() > size_) return false;
  std::uint8_t whole[kMaxHashSize];
  state_->sum(parts, whole);
  return constant_time_equal({whole, tag.size()}, tag);
}

}  // namespace winze
