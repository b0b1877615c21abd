#include "key_log.h"

namespace winze::ike {
namespace {

std::string hex(Bytes bytes) {
  std::string text;
  for (const std::uint8_t b : bytes) {
    text += "0123456789abcdef"[b >> 4];
    text += "0123456789abcdef"[b & 15];
  }
  return text;
}

std::string hex(std::uint64_t spi) {
  std::uint8_t bytes[8];
  store_u64(bytes, spi);
  return hex(bytes);
}

std::string encryption_name(const Suite& suite) {
  const std::string bits = std::to_string(suite.aes_key_bits), icv = std::to_string(suite.encryption.icv_size);
  switch (suite.encryption.encryption) {
    case esp::Encryption::kAesCbc:
      return "AES-CBC-" + bits + " [RFC3602]";
    case esp::Encryption::kAesCtr:
      return "AES-CTR-" + bits + " [RFC5930]";
    case esp::Encryption::kAesGcm:
      return "AES-GCM-" + bits + " with " + icv + " octet ICV [RFC5282]";
    case esp::Encryption::kAesCcm:
      return "AES-CCM-" + bits + " with " + icv + " octet ICV [RFC5282]";
    case esp::Encryption::kTripleDesCbc:
      return "3DES [RFC2451]";
    default:
      return "CHACHA20_POLY1305 [RFC7634]";
  }
}

std::string_view integrity_name(esp::Integrity integrity) {
  switch (integrity) {
    case esp::Integrity::kHmacMd5_96:
      return "HMAC_MD5_96 [RFC2403]";
    case esp::Integrity::kHmacSha1_96:
      return "HMAC_SHA1_96 [RFC2404]";
    case esp::Integrity::kHmacSha2_256_128:
      return "HMAC_SHA2_256_128 [RFC4868]";
    case esp::Integrity::kHmacSha2_384_192:
      return "HMAC_SHA2_384_192 [RFC4868]";
    case esp::Integrity::kHmacSha2_512_256:
      return "HMAC_SHA2_512_256 [RFC4868]";
    case esp::Integrity::kAesXcbc_96:
      return "AES_XCBC_96 [RFC3566]";
    case esp::Integrity::kAesCmac_96:
      return "AES_CMAC_96 [RFC4494]";
    default:
      return "NONE [RFC4306]";
  }
}

}  // namespace

std::string key_log_line(const SpiPair& spis, const Suite& suite, const IkeKeys& keys) {
  std::string line = hex(spis.i) + "," + hex(spis.r) + "," + hex(keys.i.encryption.span()) + "," +
                     hex(keys.r.encryption.span()) + ",\"" + encryption_name(suite) + "\",";
  if (suite.integrity == esp::Integrity::kNone) {
    line += "\"\",\"\"";
  } else {
    line += hex(keys.i.integrity.span()) + "," + hex(keys.r.integrity.span());
  }
  line += ",\"";
  line += integrity_name(suite.integrity);
  line += '"';
  return line;
}

}  // namespace winze::ike
