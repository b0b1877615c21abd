#include "winze/proto/vmess/security.h"

#include "winze/crypto/aead.h"

namespace winze::vmess {

std::optional<Security> parse_security(std::string_view text) {
  if (text == "auto") return Security::kAuto;
  if (text == "aes-128-gcm") return Security::kAes128Gcm;
  if (text == "chacha20-poly1305") return Security::kChaCha20Poly1305;
  if (text == "none") return Security::kNone;
  if (text == "zero") return Security::kZero;
  return std::nullopt;
}

Security resolve(Security security) {
  if (security == Security::kZero) return Security::kNone;
  if (security != Security::kAuto) return security;
  return has_aes_hardware() ? Security::kAes128Gcm : Security::kChaCha20Poly1305;
}

std::uint8_t usual_options(Security security) {
  switch (security) {
    case Security::kZero:
      return 0;
    case Security::kNone:
      return kChunkStream | kChunkMasking;
    default:
      return kChunkStream | kChunkMasking | kGlobalPadding;
  }
}

}  // namespace winze::vmess
