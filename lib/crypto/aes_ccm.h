// AES-CCM (RFC 3610) for all key, nonce and tag sizes: BoringSSL has it for Bluetooth's sizes only.
#pragma once

#include <openssl/aes.h>
#include <openssl/cipher.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace winze {

class AesCcm {
 public:
  // The sizes have been checked.
  AesCcm(std::span<const std::uint8_t> key, std::size_t tag_size);
  ~AesCcm();
  AesCcm(const AesCcm&) = delete;
  AesCcm& operator=(const AesCcm&) = delete;

  bool seal(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated, std::span<std::uint8_t> data,
            std::uint8_t* tag);
  bool open(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated, std::span<std::uint8_t> data,
            const std::uint8_t* tag);

 private:
  static bool takes(std::size_t nonce_size, std::size_t data_size);
  // The CBC-MAC over the first block, the associated data and the plaintext.
  void authenticate(std::span<const std::uint8_t> nonce, std::span<const std::uint8_t> associated,
                    std::span<const std::uint8_t> data, std::uint8_t mac[16]);
  void mac_padded(std::span<const std::uint8_t> bytes, std::uint8_t mac[16]);
  // Applies the key stream: block 0 to `mac`, the others to `data`.
  void crypt(std::span<const std::uint8_t> nonce, std::span<std::uint8_t> data, std::uint8_t mac[16]);

  AES_KEY key_;
  EVP_CIPHER_CTX counter_;
  std::size_t tag_size_;
};

}  // namespace winze
