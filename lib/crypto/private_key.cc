#include "winze/crypto/private_key.h"

#include <absl/status/status.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/pkcs8.h>
#include <openssl/x509.h>

#include <string>
#include <utility>

#include "key_state.h"
#include "pem.h"

namespace winze {
namespace {

class SoftwareKey final : public PrivateKey {
 public:
  SoftwareKey(bssl::UniquePtr<EVP_PKEY> key, PublicKey its_public)
      : key_(std::move(key)), public_(std::move(its_public)) {}

  const PublicKey& public_key() const override { return public_; }

  void sign(SignatureScheme scheme, std::span<const std::uint8_t> message, SignHandler done) override {
    done(signature(scheme, message));
  }

 private:
  absl::StatusOr<std::vector<std::uint8_t>> signature(SignatureScheme scheme, std::span<const std::uint8_t> message) {
    if (!public_.can(scheme)) {
      return absl::InvalidArgumentError("key: " + public_.to_string() + " cannot sign by " +
                                        std::string(winze::to_string(scheme)));
    }
    bssl::ScopedEVP_MD_CTX context;
    std::vector<std::uint8_t> out(static_cast<std::size_t>(EVP_PKEY_size(key_.get())));
    std::size_t size = out.size();
    if (!begin_signature(context.get(), SignatureUse::kSign, scheme, key_.get()) ||
        EVP_DigestSign(context.get(), out.data(), &size, message.data(), message.size()) != 1) {
      ERR_clear_error();
      return absl::InternalError("key: signing failed; the key may be too small for the hash");
    }
    out.resize(size);
    return out;
  }

  bssl::UniquePtr<EVP_PKEY> key_;
  PublicKey public_;
};

// BoringSSL's callback for the passphrase of a PEM file.
int give_passphrase(char* out, int size, int, void* user) {
  const auto& passphrase = *static_cast<const std::string_view*>(user);
  if (passphrase.empty() || passphrase.size() > static_cast<std::size_t>(size)) return -1;
  passphrase.copy(out, passphrase.size());
  return static_cast<int>(passphrase.size());
}

bssl::UniquePtr<EVP_PKEY> read_der(std::span<const std::uint8_t> der, std::string_view passphrase) {
  CBS in;
  CBS_init(&in, der.data(), der.size());
  if (bssl::UniquePtr<EVP_PKEY> plain{EVP_parse_private_key(&in)}) return plain;
  const std::uint8_t* at = der.data();
  if (bssl::UniquePtr<EVP_PKEY> other{d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(der.size()))}) return other;
  CBS_init(&in, der.data(), der.size());
  if (passphrase.empty()) return nullptr;
  return bssl::UniquePtr<EVP_PKEY>(PKCS8_parse_encrypted_private_key(&in, passphrase.data(), passphrase.size()));
}

}  // namespace

absl::StatusOr<PrivateKeyPtr> parse_private_key(std::span<const std::uint8_t> pem_or_der, std::string_view passphrase) {
  const bool is_pem = as_text(pem_or_der).find("-----BEGIN") != std::string_view::npos;
  bssl::UniquePtr<EVP_PKEY> key;
  if (is_pem) {
    auto bio = memory_bio(pem_or_der);
    key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, give_passphrase, &passphrase));
  } else {
    key = read_der(pem_or_der, passphrase);
  }
  ERR_clear_error();
  if (!key) {
    const bool encrypted = as_text(pem_or_der).find("ENCRYPTED") != std::string_view::npos;
    if (encrypted && passphrase.empty()) {
      return absl::InvalidArgumentError("key: it is encrypted, and no passphrase was given");
    }
    if (encrypted) return absl::InvalidArgumentError("key: the passphrase does not open it");
    return absl::InvalidArgumentError(is_pem ? "key: no PEM private key found" : "key: not a DER private key");
  }
  bssl::UniquePtr<EVP_PKEY> same = bssl::UpRef(key);
  auto its_public = wrap_public_key(std::move(same));
  if (!its_public.ok()) return its_public.status();
  return std::make_shared<SoftwareKey>(std::move(key), *std::move(its_public));
}

}  // namespace winze
