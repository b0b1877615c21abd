// Pseudo-random functions and the key stream made from them, as IKEv2 uses them: HMAC (RFC 2104), AES-XCBC-PRF-128
// (RFC 4434), AES-CMAC-PRF-128 (RFC 4615); prf+ (RFC 7296 section 2.13).
//
// The key is prepared once, in create(); sum() leaves the Prf as it was. A Prf belongs to one executor.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <span>

#include "winze/base/secret.h"
#include "winze/crypto/mac.h"

namespace winze {

enum class PrfAlgorithm : std::uint8_t {
  kHmacMd5,
  kHmacSha1,
  kHmacSha256,
  kHmacSha384,
  kHmacSha512,
  kAesXcbc,
  kAesCmac,
};

// Bytes of its output: also the preferred size of its key, which is what IKE's SK_d and SK_p have (RFC 7296 section
// 2.14).
//
// With the two AES ones, IKE keys SKEYSEED not with the whole nonces but with the first 8 bytes of each, so that the
// key has its fixed size of 16: is_fixed_key() says when.
std::size_t prf_size(PrfAlgorithm algorithm) noexcept;
bool is_fixed_key(PrfAlgorithm algorithm) noexcept;

class Prf {
 public:
  // A key of any size. Where the function itself has a fixed one, any other is first brought to it (RFC 4434 section 2,
  // RFC 4615 section 3).
  static absl::StatusOr<Prf> create(PrfAlgorithm algorithm, std::span<const std::uint8_t> key);

  std::size_t size() const noexcept { return mac_.size(); }
  // The function of the parts one after another; `out` takes the first of its size() bytes.
  void sum(Mac::Parts parts, std::span<std::uint8_t> out) const { mac_.sum(parts, out); }
  Secret sum(Mac::Parts parts) const;

  // prf+(key, seed) = T1 | T2 | ... with T1 = prf(key, seed | 0x01), T2 = prf(key, T1 | seed | 0x02), ...
  // False, and nothing done, for more than 255 * size() bytes.
  [[nodiscard]] bool expand(std::span<const std::uint8_t> seed, std::span<std::uint8_t> out) const;

 private:
  explicit Prf(Mac mac) : mac_(std::move(mac)) {}

  Mac mac_;
};

}  // namespace winze
