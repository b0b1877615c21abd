// Stateless cookies: a stranger has to show that it receives at its address before anything is kept about it (RFC 7296
// section 2.6).
//
//   cookie = version(1) | HMAC-SHA-256(secret of that version, SPIi | address | port | Ni), 16 bytes of it
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "winze/base/address.h"
#include "winze/base/random.h"
#include "winze/base/secret.h"
#include "winze/base/time.h"

namespace winze::ike {

using Cookie = std::array<std::uint8_t, 17>;

class Cookies {
 public:
  Cookie make(TimePoint now, Random& random, std::uint64_t spi_i, const Endpoint& remote,
              std::span<const std::uint8_t> nonce);
  bool valid(TimePoint now, std::uint64_t spi_i, const Endpoint& remote, std::span<const std::uint8_t> nonce,
             std::span<const std::uint8_t> cookie) const;

 private:
  Cookie of(std::uint8_t version, std::uint64_t spi_i, const Endpoint& remote,
            std::span<const std::uint8_t> nonce) const;

  // A secret makes cookies for kLifetime, and is known for as long again.
  static constexpr Duration kLifetime{std::chrono::seconds(60)};
  struct Version {
    Secret secret;
    TimePoint since{};
  };
  std::array<Version, 2> versions_;  // the odd and the even ones
  std::uint8_t current_ = 0;
};

}  // namespace winze::ike
