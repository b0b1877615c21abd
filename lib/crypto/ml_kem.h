// ML-KEM (FIPS 203) where BoringSSL has it.
#pragma once

#include "winze/crypto/key_exchange.h"

#if __has_include(<openssl/mlkem.h>)
#  define WINZE_HAS_ML_KEM 1
#else
#  define WINZE_HAS_ML_KEM 0
#endif

namespace winze {

inline constexpr bool kHasMlKem = WINZE_HAS_ML_KEM;

// Both are for ML-KEM methods alone, and fail where kHasMlKem is false.
absl::StatusOr<std::unique_ptr<KeyExchange>> make_ml_kem(KeyExchangeMethod method, Random& random);
absl::StatusOr<KeyExchangeAnswer> answer_ml_kem(KeyExchangeMethod method, std::span<const std::uint8_t> peer_value);

}  // namespace winze
