#include "winze/crypto/cipher.h"

#include <absl/status/status.h>
#include <openssl/aes.h>
#include <openssl/cipher.h>
#include <openssl/des.h>

#include <cstring>
#include <utility>

#include "evp.h"
#include "winze/base/secret.h"

namespace winze {

struct Cipher::State {
  CipherAlgorithm algorithm;
  Direction direction;
  AES_KEY aes;              // CBC
  EVP_CIPHER_CTX counter;   // CTR
  DES_key_schedule des[3];  // 3DES

  State() { EVP_CIPHER_CTX_init(&counter); }
  ~State() {
    EVP_CIPHER_CTX_cleanup(&counter);
    secure_wipe({reinterpret_cast<std::uint8_t*>(&aes), sizeof aes});
    secure_wipe({reinterpret_cast<std::uint8_t*>(des), sizeof des});
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void set_key(std::span<const std::uint8_t> key) {
    const auto bits = static_cast<unsigned>(key.size() * 8);
    switch (algorithm) {
      case CipherAlgorithm::kAesCbc:
        direction == Direction::kEncrypt ? AES_set_encrypt_key(key.data(), bits, &aes)
                                         : AES_set_decrypt_key(key.data(), bits, &aes);
        break;
      case CipherAlgorithm::kAesCtr:
        EVP_EncryptInit_ex(&counter, aes_ctr_of(key.size()), nullptr, key.data(), nullptr);
        break;
      case CipherAlgorithm::kTripleDesCbc:
        for (std::size_t i = 0; i < 3; ++i) {
          DES_cblock part;
          std::memcpy(&part, key.data() + 8 * i, 8);
          DES_set_key(&part, &des[i]);
          secure_wipe({reinterpret_cast<std::uint8_t*>(&part), sizeof part});
        }
        break;
    }
  }

  void apply(std::uint8_t* iv, std::span<std::uint8_t> data) {
    int n = 0;
    switch (algorithm) {
      case CipherAlgorithm::kAesCbc:
        AES_cbc_encrypt(data.data(), data.data(), data.size(), &aes, iv,
                        direction == Direction::kEncrypt ? AES_ENCRYPT : AES_DECRYPT);
        break;
      case CipherAlgorithm::kAesCtr:
        EVP_EncryptInit_ex(&counter, nullptr, nullptr, nullptr, iv);
        EVP_EncryptUpdate(&counter, data.data(), &n, data.data(), static_cast<int>(data.size()));
        break;
      case CipherAlgorithm::kTripleDesCbc: {
        DES_cblock block;
        std::memcpy(&block, iv, 8);
        DES_ede3_cbc_encrypt(data.data(), data.data(), data.size(), &des[0], &des[1], &des[2], &block,
                             direction == Direction::kEncrypt ? DES_ENCRYPT : DES_DECRYPT);
        break;
      }
    }
  }
};

Cipher::Cipher(std::unique_ptr<State> state) : state_(std::move(state)) {}
Cipher::Cipher(Cipher&&) noexcept = default;
Cipher& Cipher::operator=(Cipher&&) noexcept = default;
Cipher::~Cipher() = default;

absl::StatusOr<Cipher> Cipher::create(CipherAlgorithm algorithm, std::span<const std::uint8_t> key,
                                      Direction direction) {
  const bool fits = algorithm == CipherAlgorithm::kTripleDesCbc ? key.size() == 24 : is_aes_key_size(key.size());
  if (!fits) return absl::InvalidArgumentError("cipher: the algorithm has no such key size");
  auto state = std::make_unique<State>();
  state->algorithm = algorithm;
  state->direction = direction;
  state->set_key(key);
  return Cipher(std::move(state));
}

std::size_t Cipher::block_size() const noexcept {
  switch (state_->algorithm) {
    case CipherAlgorithm::kAesCbc:
      return 16;
    case CipherAlgorithm::kTripleDesCbc:
      return 8;
    default:
      return 1;
  }
}

std::size_t Cipher::iv_size() const noexcept { return state_->algorithm == CipherAlgorithm::kTripleDesCbc ? 8 : 16; }

bool Cipher::apply(std::span<const std::uint8_t> iv, std::span<std::uint8_t> data) {
  if (iv.size() != iv_size() || data.size() % block_size() != 0 || data.size() > INT32_MAX) return false;
  if (data.empty()) return true;
  std::uint8_t block[16];
  std::memcpy(block, iv.data(), iv.size());
  state_->apply(block, data);
  return true;
}

struct AesBlock::State {
  AES_KEY encrypt;
  AES_KEY decrypt;
  ~State() { secure_wipe({reinterpret_cast<std::uint8_t*>(this), sizeof *this}); }
};

AesBlock::AesBlock(std::unique_ptr<State> state) : state_(std::move(state)) {}
AesBlock::AesBlock(AesBlock&&) noexcept = default;
AesBlock& AesBlock::operator=(AesBlock&&) noexcept = default;
AesBlock::~AesBlock() = default;

absl::StatusOr<AesBlock> AesBlock::create(std::span<const std::uint8_t> key) {
  if (!is_aes_key_size(key.size())) return absl::InvalidArgumentError("cipher: an AES key has 16, 24 or 32 bytes");
  auto state = std::make_unique<State>();
  AES_set_encrypt_key(key.data(), static_cast<unsigned>(key.size() * 8), &state->encrypt);
  AES_set_decrypt_key(key.data(), static_cast<unsigned>(key.size() * 8), &state->decrypt);
  return AesBlock(std::move(state));
}

void AesBlock::encrypt(const std::uint8_t* in, std::uint8_t* out) const { AES_encrypt(in, out, &state_->encrypt); }
void AesBlock::decrypt(const std::uint8_t* in, std::uint8_t* out) const { AES_decrypt(in, out, &state_->decrypt); }

}  // namespace winze
