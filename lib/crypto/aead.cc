#include "winze/crypto/aead.h"

#include <absl/status/status.h>
#include <openssl/aead.h>

#include <cstring>
#include <optional>
#include <utility>

#include "aes_ccm.h"
#include "evp.h"

namespace winze {

// One of the two is in use.
struct Aead::State {
  EVP_AEAD_CTX context;
  std::optional<AesCcm> ccm;
  std::size_t key_size = 0;

  State() { EVP_AEAD_CTX_zero(&context); }
  ~State() { EVP_AEAD_CTX_cleanup(&context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

namespace {

const EVP_AEAD* find_aead(AeadAlgorithm algorithm, std::size_t key_size) {
  switch (algorithm) {
    case AeadAlgorithm::kAesGcm:
      return key_size == 16   ? EVP_aead_aes_128_gcm()
             : key_size == 24 ? EVP_aead_aes_192_gcm()
             : key_size == 32 ? EVP_aead_aes_256_gcm()
                              : nullptr;
    case AeadAlgorithm::kChaCha20Poly1305:
      return key_size == 32 ? EVP_aead_chacha20_poly1305() : nullptr;
    case AeadAlgorithm::kXChaCha20Poly1305:
      return key_size == 32 ? EVP_aead_xchacha20_poly1305() : nullptr;
    case AeadAlgorithm::kAesCcm:
      break;
  }
  return nullptr;
}

bool is_tag_size(AeadAlgorithm algorithm, std::size_t n) {
  switch (algorithm) {
    case AeadAlgorithm::kAesGcm:
      return n >= 8 && n <= 16;
    case AeadAlgorithm::kAesCcm:
      return n >= 4 && n <= 16 && n % 2 == 0;
    default:
      return n == 16;
  }
}

}  // namespace

bool has_aes_hardware() noexcept { return EVP_has_aes_hardware() == 1; }

Aead::Aead(std::unique_ptr<State> state, std::size_t tag_size) : state_(std::move(state)), tag_size_(tag_size) {}
Aead::Aead(Aead&&) noexcept = default;
Aead& Aead::operator=(Aead&&) noexcept = default;
Aead::~Aead() = default;

absl::StatusOr<Aead> Aead::create(AeadAlgorithm algorithm, std::span<const std::uint8_t> key, std::size_t tag_size) {
  if (!is_tag_size(algorithm, tag_size)) return absl::InvalidArgumentError("aead: the algorithm has no such tag size");
  auto state = std::make_unique<State>();
  state->key_size = key.size();
  if (algorithm == AeadAlgorithm::kAesCcm) {
    if (!is_aes_key_size(key.size())) return absl::InvalidArgumentError("aead: an AES key has 16, 24 or 32 bytes");
    state->ccm.emplace(key, tag_size);
    return Aead(std::move(state), tag_size);
  }
  const EVP_AEAD* aead = find_aead(algorithm, key.size());
  if (aead == nullptr) return absl::InvalidArgumentError("aead: the algorithm has no such key size");
  if (EVP_AEAD_CTX_init(&state->context, aead, key.data(), key.size(), tag_size, nullptr) != 1) {
    return absl::InternalError("aead: the key was not taken");
  }
  return Aead(std::move(state), tag_size);
}

bool Aead::rekey(std::span<const std::uint8_t> key) {
  if (key.size() != state_->key_size) return false;
  if (state_->ccm) {
    state_->ccm.emplace(key, tag_size_);
    return true;
  }
  const EVP_AEAD* aead = EVP_AEAD_CTX_aead(&state_->context);
  EVP_AEAD_CTX_cleanup(&state_->context);
  return EVP_AEAD_CTX_init(&state_->context, aead, key.data(), key.size(), tag_size_, nullptr) == 1;
}

bool Aead::seal(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                std::span<std::uint8_t> data, std::uint8_t* tag) const {
  if (state_->ccm) return state_->ccm->seal(nonce, associated, data, tag);
  return seal(nonce, associated, data, data.data(), tag);
}

bool Aead::seal(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                std::span<const std::uint8_t> data, std::uint8_t* out, std::uint8_t* tag) const {
  if (state_->ccm) {
    if (!data.empty()) std::memcpy(out, data.data(), data.size());
    return state_->ccm->seal(nonce, associated, {out, data.size()}, tag);
  }
  std::size_t written;
  return EVP_AEAD_CTX_seal_scatter(&state_->context, out, tag, &written, tag_size_, nonce.data(), nonce.size(),
                                   data.data(), data.size(), nullptr, 0, associated.data(), associated.size()) == 1;
}

bool Aead::open(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                std::span<std::uint8_t> data, const std::uint8_t* tag) const {
  if (state_->ccm) return state_->ccm->open(nonce, associated, data, tag);
  return open(nonce, associated, data, data.data(), tag);
}

bool Aead::open(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                std::span<const std::uint8_t> data, std::uint8_t* out, const std::uint8_t* tag) const {
  if (state_->ccm) {
    if (!data.empty()) std::memcpy(out, data.data(), data.size());
    return state_->ccm->open(nonce, associated, {out, data.size()}, tag);
  }
  return EVP_AEAD_CTX_open_gather(&state_->context, out, nonce.data(), nonce.size(), data.data(), data.size(), tag,
                                  tag_size_, associated.data(), associated.size()) == 1;
}

}  // namespace winze
