// The prime groups of RFC 2409 and RFC 3526. All are safe primes with generator 2, and all are made from the same
// digits of pi, so that one table holds them.
#pragma once

#include <openssl/bn.h>

#include <cstddef>

#include "winze/crypto/key_exchange.h"

namespace winze {

struct ModpGroup {
  bssl::UniquePtr<BIGNUM> prime;
  bssl::UniquePtr<BIGNUM> last;  // prime - 1, which has order 2
  bssl::UniquePtr<BIGNUM> generator;
  bssl::UniquePtr<BN_MONT_CTX> montgomery;
  std::size_t size = 0;  // bytes of the prime
  // Bytes of a secret exponent: twice the strength that RFC 3526 section 8 and RFC 7919 appendix A give the group, so
  // that nothing is lost against a full-sized one and 2048 bits take an eighth of its time.
  std::size_t exponent_size = 0;
};

// Null for a method that is none of them. Read-only, and there until the program ends.
const ModpGroup* modp_group(KeyExchangeMethod method);

}  // namespace winze
