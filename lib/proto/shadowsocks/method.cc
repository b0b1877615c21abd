#include "winze/proto/shadowsocks/method.h"

#include <absl/status/status.h>

#include <algorithm>
#include <string>

#include "winze/base/ascii.h"
#include "winze/base/base64.h"
#include "winze/base/bytes.h"
#include "winze/crypto/blake3.h"
#include "winze/crypto/mac.h"

namespace winze::shadowsocks {
namespace {

// The first of each method is its name.
constexpr struct {
  std::string_view name;
  Method method;
} kNames[] = {
    {"aes-128-gcm", Method::kAes128Gcm},
    {"aes-256-gcm", Method::kAes256Gcm},
    {"chacha20-ietf-poly1305", Method::kChaCha20Poly1305},
    {"xchacha20-ietf-poly1305", Method::kXChaCha20Poly1305},
    {"2022-blake3-aes-128-gcm", Method::k2022Aes128Gcm},
    {"2022-blake3-aes-256-gcm", Method::k2022Aes256Gcm},
    {"2022-blake3-chacha20-poly1305", Method::k2022ChaCha20Poly1305},
    {"aead_aes_128_gcm", Method::kAes128Gcm},
    {"aead_aes_256_gcm", Method::kAes256Gcm},
    {"chacha20-poly1305", Method::kChaCha20Poly1305},
    {"aead_chacha20_poly1305", Method::kChaCha20Poly1305},
    {"xchacha20-poly1305", Method::kXChaCha20Poly1305},
    {"aead_xchacha20_poly1305", Method::kXChaCha20Poly1305},
};

// OpenSSL's EVP_BytesToKey with MD5, without salt: D(1) = MD5(password), D(i) = MD5(D(i-1) | password).
Secret stretch(std::string_view password, std::size_t size) {
  Secret key(size);
  std::array<std::uint8_t, kMaxHashSize> digest{};
  for (std::size_t at = 0; at < size; at += 16) {
    const std::span<const std::uint8_t> previous(digest.data(), at == 0 ? 0 : 16);
    digest = hash_of(HashAlgorithm::kMd5, {previous, as_bytes(password)});
    std::copy_n(digest.begin(), 16, key.span().begin() + static_cast<std::ptrdiff_t>(at));
  }
  secure_wipe(digest);
  return key;
}

absl::StatusOr<Secret> decode_key(Method method, std::string_view text) {
  const std::string wanted = std::string(name_of(method)) + " takes Base64 of " + std::to_string(key_size(method)) +
                             " random bytes, as \"openssl rand -base64 " + std::to_string(key_size(method)) +
                             "\" prints them";
  auto bytes = base64_decode(text);
  if (!bytes) return absl::InvalidArgumentError(wanted + "; this is no Base64");
  Secret key{std::span<const std::uint8_t>(*bytes)};
  secure_wipe(*bytes);
  if (key.size() == key_size(method)) return key;
  return absl::InvalidArgumentError(wanted + "; these are " + std::to_string(key.size()) + " bytes");
}

}  // namespace

std::optional<Method> parse_method(std::string_view name) {
  const std::string small = lower(name);
  for (const auto& row : kNames) {
    if (row.name == small) return row.method;
  }
  return std::nullopt;
}

std::string_view name_of(Method method) {
  return std::ranges::find(kNames, method, [](const auto& row) { return row.method; })->name;
}

std::string_view method_names() {
  return "aes-128-gcm, aes-256-gcm, chacha20-ietf-poly1305, xchacha20-ietf-poly1305, 2022-blake3-aes-128-gcm, "
         "2022-blake3-aes-256-gcm, 2022-blake3-chacha20-poly1305";
}

absl::StatusOr<Keys> parse_keys(Method method, std::string_view password) {
  Keys keys{.method = method, .identity = {}, .user = {}};
  if (!is_2022(method)) {
    if (password.empty()) return absl::InvalidArgumentError("missing: the password");
    keys.user = stretch(password, key_size(method));
    return keys;
  }
  for (;;) {
    const std::size_t colon = password.find(':');
    auto key = decode_key(method, password.substr(0, colon));
    if (!key.ok()) return key.status();
    if (colon == password.npos) {
      keys.user = std::move(*key);
      break;
    }
    keys.identity.push_back(std::move(*key));
    password.remove_prefix(colon + 1);
  }
  if (keys.identity.empty() || has_identities(method)) return keys;
  return absl::InvalidArgumentError(std::string(name_of(method)) +
                                    " takes one key: identity headers exist with the AES methods of 2022 alone");
}

KeyName name_of_key(std::span<const std::uint8_t> key) {
  const auto hash = blake3(key);
  KeyName name;
  std::copy_n(hash.begin(), name.size(), name.begin());
  return name;
}

}  // namespace winze::shadowsocks
