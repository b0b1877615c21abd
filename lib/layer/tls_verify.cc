// Certificates: parsing identities, verifying chains, names and pins.
#include <openssl/err.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "crypto/x509.h"
#include "tls_context.h"
#include "winze/base/address.h"
#include "winze/base/ascii.h"
#include "winze/base/bytes.h"

namespace winze::tls {
namespace {

using X509Ptr = bssl::UniquePtr<X509>;

bssl::UniquePtr<CRYPTO_BUFFER> to_buffer(X509* certificate) {
  std::uint8_t* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  bssl::UniquePtr<std::uint8_t> owned(der);
  return bssl::UniquePtr<CRYPTO_BUFFER>(size <= 0 ? nullptr
                                                  : CRYPTO_BUFFER_new(der, static_cast<std::size_t>(size), nullptr));
}

// The DNS names and addresses a certificate is for, as text.
std::vector<std::string> texts_of(X509* certificate) {
  AlternativeNames names = names_of(certificate);
  for (const IpAddress& address : names.addresses) names.dns.push_back(address.to_string());
  return std::move(names.dns);
}

Sha256 digest(std::span<const std::uint8_t> bytes) {
  Sha256 out;
  SHA256(bytes.data(), bytes.size(), out.data());
  return out;
}

Sha256 spki_digest(X509* certificate) {
  std::uint8_t* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
  bssl::UniquePtr<std::uint8_t> owned(der);
  return digest({der, size > 0 ? static_cast<std::size_t>(size) : 0});
}

std::error_code translate(int x509_error) {
  switch (x509_error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return Errc::kCertificateExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Errc::kCertificateNotYetValid;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return Errc::kWrongHost;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
      return Errc::kUnknownCa;
    default:
      return Errc::kBadCertificate;
  }
}

struct Chain {
  X509Ptr leaf;
  bssl::UniquePtr<STACK_OF(X509)> rest;
};

bool parse_chain(const STACK_OF(CRYPTO_BUFFER) * buffers, Chain& out) {
  out.rest.reset(sk_X509_new_null());
  for (std::size_t i = 0; buffers != nullptr && i < sk_CRYPTO_BUFFER_num(buffers); ++i) {
    X509Ptr certificate(X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(buffers, i)));
    if (!certificate) return false;
    if (i == 0) {
      out.leaf = std::move(certificate);
    } else if (!bssl::PushToStack(out.rest.get(), std::move(certificate))) {
      return false;
    }
  }
  return out.leaf != nullptr;
}

struct Expect {
  std::string_view name;  // empty: no name check
  const char* purpose;    // "ssl_server" or "ssl_client"
  const std::vector<Sha256>* spki = nullptr;
};

bool any_spki_fits(X509_STORE_CTX* context, const std::vector<Sha256>& pins) {
  const STACK_OF(X509)* path = X509_STORE_CTX_get0_chain(context);
  for (std::size_t i = 0; i < sk_X509_num(path); ++i) {
    if (std::ranges::find(pins, spki_digest(sk_X509_value(path, i))) != pins.end()) return true;
  }
  return false;
}

std::string describe(X509* leaf, const Expect& expect, int x509_error) {
  if (translate(x509_error) != Errc::kWrongHost) return X509_verify_cert_error_string(x509_error);
  std::string text = "certificate is for ";
  const auto names = texts_of(leaf);
  for (std::size_t i = 0; i < names.size() && i < 8; ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (names.empty()) text += "no name";
  return text + ", wanted " + std::string(expect.name);
}

Verdict verify(X509_STORE* store, const Chain& chain, const Expect& expect) {
  bssl::UniquePtr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  if (!context || !X509_STORE_CTX_init(context.get(), store, chain.leaf.get(), chain.rest.get()) ||
      !X509_STORE_CTX_set_default(context.get(), expect.purpose)) {
    return {Errc::kBadCertificate, "out of memory"};
  }
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  if (!expect.name.empty()) {
    if (const auto address = IpAddress::parse(expect.name)) {
      X509_VERIFY_PARAM_set1_ip(param, address->bytes().data(), address->bytes().size());
    } else {
      X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
      X509_VERIFY_PARAM_set1_host(param, expect.name.data(), expect.name.size());
    }
  }
  if (X509_verify_cert(context.get()) != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    ERR_clear_error();
    return {translate(error), describe(chain.leaf.get(), expect, error)};
  }
  if (expect.spki != nullptr && !expect.spki->empty() && !any_spki_fits(context.get(), *expect.spki)) {
    return {Errc::kPinMismatch, "no certificate of the chain has a pinned public key"};
  }
  return {};
}

// The first bundle that is there, and Android's folder.
bssl::UniquePtr<X509_STORE> read_system_store() {
  static constexpr const char* kBundles[] = {
      "/etc/ssl/certs/ca-certificates.crt",
      "/etc/pki/tls/certs/ca-bundle.crt",
      "/etc/ssl/ca-bundle.pem",
      "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
      "/etc/ssl/cert.pem",
  };
  bssl::UniquePtr<X509_STORE> store(X509_STORE_new());
  for (const char* bundle : kBundles) {
    if (X509_STORE_load_locations(store.get(), bundle, nullptr) == 1) break;
  }
  X509_STORE_load_locations(store.get(), nullptr, "/system/etc/security/cacerts");
  ERR_clear_error();
  return store;
}

}  // namespace

Verdict verify_server(ClientContext::Parts& context, const STACK_OF(CRYPTO_BUFFER) * buffers, std::string_view name) {
  Chain chain;
  if (!parse_chain(buffers, chain)) {
    ERR_clear_error();
    return {Errc::kBadCertificate, "malformed certificate"};
  }
  const ClientOptions& options = context.options;
  if (!options.certificate_sha256.empty()) {
    const CRYPTO_BUFFER* leaf = sk_CRYPTO_BUFFER_value(buffers, 0);
    const Sha256 hash = digest({CRYPTO_BUFFER_data(leaf), CRYPTO_BUFFER_len(leaf)});
    const bool known = std::ranges::find(options.certificate_sha256, hash) != options.certificate_sha256.end();
    if (known) return {};
    return {Errc::kPinMismatch, "the certificate is not a pinned one"};
  }
  const Expect expect{.name = name, .purpose = "ssl_server", .spki = &options.spki_sha256};
  Verdict verdict{Errc::kUnknownCa, "no root certificates given"};
  if (context.roots) verdict = verify(context.roots.get(), chain, expect);
  // The system's store is large: it is read only when the given roots do not lead there.
  if (verdict.error == Errc::kUnknownCa && options.system_roots) {
    std::call_once(context.system_roots_read, [&] { context.system_roots = read_system_store(); });
    verdict = verify(context.system_roots.get(), chain, expect);
  }
  return verdict;
}

Verdict verify_client(ServerContext::Parts& context, const STACK_OF(CRYPTO_BUFFER) * buffers) {
  Chain chain;
  if (!parse_chain(buffers, chain)) return {Errc::kBadCertificate, "malformed certificate"};
  return verify(context.client_roots.get(), chain, {.name = {}, .purpose = "ssl_client"});
}

absl::StatusOr<bssl::UniquePtr<X509_STORE>> make_store(const std::vector<std::string>& pems) {
  if (pems.empty()) return nullptr;
  bssl::UniquePtr<X509_STORE> store(X509_STORE_new());
  for (const std::string& pem : pems) {
    const auto certificates = read_certificates(pem);
    if (certificates.empty()) return absl::InvalidArgumentError("no PEM certificate found among the given roots");
    for (const X509Ptr& certificate : certificates) X509_STORE_add_cert(store.get(), certificate.get());
  }
  ERR_clear_error();  // a root given twice
  return store;
}

absl::StatusOr<Credential> parse_identity(const Identity& identity) {
  Credential out;
  const auto certificates = read_certificates(identity.chain_pem);
  if (certificates.empty()) return absl::InvalidArgumentError("no PEM certificate found");
  for (const X509Ptr& certificate : certificates) out.chain.push_back(to_buffer(certificate.get()));
  out.names = texts_of(certificates.front().get());
  auto bio = memory_bio(identity.key_pem.span());
  out.key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  if (!out.key) return absl::InvalidArgumentError("no PEM private key found (encrypted keys are not supported)");
  if (X509_check_private_key(certificates.front().get(), out.key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the private key does not belong to the certificate");
  }
  return out;
}

bool Credential::fits(std::string_view name) const {
  const std::string wanted = lower(name);
  return std::ranges::any_of(names, [&](const std::string& mine) {
    if (mine == wanted) return true;
    // "*.example" stands for one label.
    const std::size_t dot = wanted.find('.');
    return mine.starts_with("*.") && dot != wanted.npos && dot > 0 && wanted.substr(dot) == mine.substr(1);
  });
}

bool Credential::use_in(SSL* ssl) const {
  std::vector<CRYPTO_BUFFER*> pointers;
  for (const auto& certificate : chain) pointers.push_back(certificate.get());
  return SSL_set_chain_and_key(ssl, pointers.data(), pointers.size(), key.get(), nullptr) == 1;
}

}  // namespace winze::tls
