// The system's cryptographic randomness.
#pragma once

#include "winze/base/random.h"

namespace winze {

// Fit for keys and nonces. Has no state of its own: any number of them, from any thread.
class SystemRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override;
};

}  // namespace winze
