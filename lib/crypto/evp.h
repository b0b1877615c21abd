// BoringSSL's ciphers by key size.
#pragma once

#include <openssl/cipher.h>

#include <cstddef>

namespace winze {

inline bool is_aes_key_size(std::size_t n) { return n == 16 || n == 24 || n == 32; }

inline const EVP_CIPHER* aes_ctr_of(std::size_t key_size) {
  return key_size == 16 ? EVP_aes_128_ctr() : key_size == 24 ? EVP_aes_192_ctr() : EVP_aes_256_ctr();
}

}  // namespace winze
