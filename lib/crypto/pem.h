// BoringSSL's readers want a BIO.
#pragma once

#include <openssl/bio.h>
#include <openssl/pem.h>

#include "winze/base/bytes.h"

namespace winze {

inline bssl::UniquePtr<BIO> memory_bio(std::span<const std::uint8_t> bytes) {
  return bssl::UniquePtr<BIO>(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

}  // namespace winze
