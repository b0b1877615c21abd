#include "winze/crypto/system_random.h"

#include <openssl/rand.h>

namespace winze {

void SystemRandom::fill(std::span<std::uint8_t> out) { RAND_bytes(out.data(), out.size()); }

}  // namespace winze
