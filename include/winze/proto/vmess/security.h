// How the body of a VMess connection is protected: the cipher, and the options of its chunks.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace winze::vmess {

enum class Security : std::uint8_t {
  kAuto,              // kAes128Gcm where the processor has AES, else kChaCha20Poly1305; never on the wire
  kAes128Gcm,         // wire: 3
  kChaCha20Poly1305,  // wire: 4
  kNone,              // wire: 5; chunks without protection
  kZero,              // kNone without chunks: the body as it is. UDP has chunks all the same, its datagrams' bounds.
};
// "auto", "aes-128-gcm", "chacha20-poly1305", "none", "zero".
std::optional<Security> parse_security(std::string_view text);
// Anything but kAuto and kZero.
Security resolve(Security security);

// Bits of the option byte.
enum Option : std::uint8_t {
  kChunkStream = 0x01,          // S. The AEAD ciphers have chunks without it too, but no end chunk then
  kChunkMasking = 0x04,         // M: sizes are masked by SHAKE128
  kGlobalPadding = 0x08,        // P: up to 63 random bytes behind each chunk; wants M
  kAuthenticatedLength = 0x10,  // A: sizes are sealed by the AEAD; for those ciphers only
};
// What V2Ray's clients ask for.
std::uint8_t usual_options(Security security);

}  // namespace winze::vmess
