#include "tls_record.h"

#include <openssl/hkdf.h>

#include <cstring>
#include <string_view>

#include "winze/base/bytes.h"
#include "winze/layer/tls.h"

namespace winze::tls {
namespace {

// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
void expand_label(const EVP_MD* digest, std::span<const std::uint8_t> secret, std::string_view label,
                  std::span<std::uint8_t> out) {
  Buffer info(64);
  Writer w(info);
  w.u16(static_cast<std::uint16_t>(out.size()));
  w.u8(static_cast<std::uint8_t>(6 + label.size()));
  w.text("tls13 ");
  w.text(label);
  w.u8(0);
  HKDF_expand(out.data(), out.size(), digest, secret.data(), secret.size(), info.data(), info.size());
}

}  // namespace

RecordKey::~RecordKey() {
  if (ready_) EVP_AEAD_CTX_cleanup(&context_);
  secure_wipe(iv_);
}

bool RecordKey::init(std::uint16_t cipher, std::span<const std::uint8_t> secret, std::uint64_t sequence) {
  switch (cipher) {
    case 0x1301:
      aead_ = EVP_aead_aes_128_gcm();
      digest_ = EVP_sha256();
      break;
    case 0x1302:
      aead_ = EVP_aead_aes_256_gcm();
      digest_ = EVP_sha384();
      break;
    case 0x1303:
      aead_ = EVP_aead_chacha20_poly1305();
      digest_ = EVP_sha256();
      break;
    default:
      return false;
  }
  secret_ = Secret(secret);
  derive();
  sequence_ = sequence;
  return true;
}

void RecordKey::derive() {
  std::array<std::uint8_t, 32> key;
  const std::span<std::uint8_t> used(key.data(), EVP_AEAD_key_length(aead_));
  expand_label(digest_, secret_.span(), "key", used);
  expand_label(digest_, secret_.span(), "iv", iv_);
  if (ready_) EVP_AEAD_CTX_cleanup(&context_);
  EVP_AEAD_CTX_init(&context_, aead_, used.data(), used.size(), kTagSize, nullptr);
  secure_wipe(key);
  ready_ = true;
}

void RecordKey::update() {
  Secret next(secret_.size());
  expand_label(digest_, secret_.span(), "traffic upd", next.span());
  secret_ = std::move(next);
  derive();
  sequence_ = 0;
}

std::array<std::uint8_t, 12> RecordKey::next_nonce() {
  std::array<std::uint8_t, 12> nonce = iv_;
  std::uint8_t counter[8];
  store_u64(counter, sequence_++);
  for (std::size_t i = 0; i < sizeof counter; ++i) nonce[4 + i] ^= counter[i];
  return nonce;
}

void RecordKey::seal(ContentType type, std::span<const std::uint8_t> content, std::uint8_t* out) {
  const std::size_t length = content.size() + 1 + kTagSize;
  out[0] = kApplicationData;
  store_u16(out + 1, 0x0303);
  store_u16(out + 3, static_cast<std::uint16_t>(length));
  const auto nonce = next_nonce();
  const std::uint8_t inner_type = type;
  std::size_t tag_length;
  std::uint8_t* body = out + kHeaderSize;
  EVP_AEAD_CTX_seal_scatter(&context_, body, body + content.size(), &tag_length, 1 + kTagSize, nonce.data(),
                            nonce.size(), content.data(), content.size(), &inner_type, 1, out, kHeaderSize);
}

std::error_code RecordKey::open(std::span<const std::uint8_t> record, std::uint8_t* out, ContentType& type,
                                std::size_t& length) {
  if (record[0] != kApplicationData) return Errc::kUnexpectedMessage;
  const auto nonce = next_nonce();
  const std::span<const std::uint8_t> body = record.subspan(kHeaderSize);
  if (EVP_AEAD_CTX_open(&context_, out, &length, body.size(), nonce.data(), nonce.size(), body.data(), body.size(),
                        record.data(), kHeaderSize) != 1) {
    return Errc::kBadRecord;
  }
  // The content type is the last byte that is not zero; behind it is padding.
  while (length > 0 && out[length - 1] == 0) --length;
  if (length == 0) return Errc::kUnexpectedMessage;
  type = static_cast<ContentType>(out[--length]);
  if (length > kMaxContent) return Errc::kBadRecord;
  return {};
}

}  // namespace winze::tls
