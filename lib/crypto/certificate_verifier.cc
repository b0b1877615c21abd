#include <absl/status/status.h>
#include <openssl/err.h>
#include <openssl/obj.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "crypto/certificate_list.h"
#include "crypto/ocsp.h"
#include "crypto/x509.h"

namespace winze {

struct CertificateVerifier::Store {
  bssl::UniquePtr<X509_STORE> roots{X509_STORE_new()};
  std::vector<CertificateList> lists;
  std::vector<OcspResponse> responses;
  std::vector<Certificate> informed;  // authorities
};

namespace {

using Path = std::vector<Certificate>;

// The longest chain: no site needs more, and each link costs a signature.
constexpr int kMaxDepth = 8;

absl::Status refuse(const Certificate& certificate, std::string_view why) {
  return absl::PermissionDeniedError("certificate \"" + certificate.subject_text() + "\": " + std::string(why));
}

// --- The path, by BoringSSL: signatures, validity, basic and name constraints, critical extensions.

std::string_view why_not(int error) {
  switch (error) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
      return "it does not lead to a trusted root";
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "it has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "it is not valid yet";
    case X509_V_ERR_INVALID_CA:
      return "it is no CA, but has issued a certificate";
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
    case X509_V_ERR_SUBTREE_MINMAX:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX:
    case X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
      return "the name constraints of a CA above forbid it";
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return "the chain above it is too long";
    default:
      return X509_verify_cert_error_string(error);
  }
}

// The certificate that BoringSSL names: one of those it was given, which need not be read again.
const Certificate& given(const X509* x509, std::span<const Certificate> presented, std::span<const Certificate> roots) {
  for (const auto known : {presented, roots}) {
    const auto found = std::ranges::find(known, x509, [](const Certificate& one) { return one.state().x509.get(); });
    if (found != known.end()) return *found;
  }
  return presented.front();
}

absl::StatusOr<Path> find_path(X509_STORE* store, std::span<const Certificate> roots,
                               std::span<const Certificate> presented, UnixTime now) {
  bssl::UniquePtr<STACK_OF(X509)> others(sk_X509_new_null());
  for (const Certificate& one : presented.subspan(1)) {
    bssl::PushToStack(others.get(), bssl::UpRef(one.state().x509.get()));
  }
  bssl::UniquePtr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(context.get(), store, presented.front().state().x509.get(), others.get()) != 1) {
    return absl::ResourceExhaustedError("certificate: out of memory");
  }
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(param, static_cast<std::time_t>(now));
  X509_VERIFY_PARAM_set_depth(param, kMaxDepth);
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
  const bool good = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (!good) {
    const int error = X509_STORE_CTX_get_error(context.get());
    return refuse(given(X509_STORE_CTX_get_current_cert(context.get()), presented, roots), why_not(error));
  }
  Path path;
  const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context.get());
  for (std::size_t i = 0; i < sk_X509_num(chain); ++i) {
    path.push_back(given(sk_X509_value(chain, i), presented, roots));
  }
  return path;
}

// --- Our own policy on the path that was found.

struct Purpose {
  std::vector<std::uint8_t> oid;
  std::optional<CertificateUse> use;  // none: for both
};
const Purpose kPurposes[] = {
    {{0x2b, 6, 1, 5, 5, 7, 3, 1}, CertificateUse::kServer},  // serverAuth
    {{0x2b, 6, 1, 5, 5, 7, 3, 2}, CertificateUse::kClient},  // clientAuth
    {{0x2b, 6, 1, 5, 5, 7, 3, 17}, std::nullopt},            // id-kp-ipsecIKE (RFC 4945 section 5.1.3.12)
    {{0x2b, 6, 1, 5, 5, 8, 2, 2}, std::nullopt},             // ikeIntermediate
    {{0x55, 0x1d, 0x25, 0}, std::nullopt},                   // anyExtendedKeyUsage
};

bool is_purpose(const ASN1_OBJECT* oid, CertificateUse use) {
  const std::span<const std::uint8_t> bytes(OBJ_get0_data(oid), OBJ_length(oid));
  return std::ranges::any_of(kPurposes, [&](const Purpose& purpose) {
    return std::ranges::equal(purpose.oid, bytes) && purpose.use.value_or(use) == use;
  });
}

absl::Status check_usage(const Certificate& certificate, CertificateUse use, bool own) {
  X509* x509 = certificate.state().x509.get();
  const std::uint32_t flags = X509_get_extension_flags(x509);
  if (own && (flags & EXFLAG_KUSAGE) != 0 &&
      (X509_get_key_usage(x509) & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) == 0) {
    return refuse(certificate, "its key usage does not allow it to sign");
  }
  if ((flags & EXFLAG_XKUSAGE) == 0) return absl::OkStatus();
  bssl::UniquePtr<EXTENDED_KEY_USAGE> usage(
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(x509, NID_ext_key_usage, nullptr, nullptr)));
  for (std::size_t i = 0; usage && i < sk_ASN1_OBJECT_num(usage.get()); ++i) {
    if (is_purpose(sk_ASN1_OBJECT_value(usage.get(), i), use)) return absl::OkStatus();
  }
  return refuse(certificate,
                use == CertificateUse::kServer
                    ? "its extended key usage is none of a server's (serverAuth, ipsecIKE, ikeIntermediate)"
                    : "its extended key usage is none of a client's (clientAuth, ipsecIKE, ikeIntermediate)");
}

bool is_ecdsa(const PublicKey& key) {
  return key.type() == KeyType::kEcdsaP256 || key.type() == KeyType::kEcdsaP384 || key.type() == KeyType::kEcdsaP521;
}

// What a certificate is signed by; of RSA-PSS, whose parameters do not show, all that it may be.
std::vector<SignatureScheme> schemes_of(int nid) {
  using enum SignatureScheme;
  switch (nid) {
    case NID_sha1WithRSAEncryption:
      return {kRsaPkcs1Sha1};
    case NID_sha256WithRSAEncryption:
      return {kRsaPkcs1Sha256};
    case NID_sha384WithRSAEncryption:
      return {kRsaPkcs1Sha384};
    case NID_sha512WithRSAEncryption:
      return {kRsaPkcs1Sha512};
    case NID_rsassaPss:
      return {kRsaPssSha256, kRsaPssSha384, kRsaPssSha512};
    case NID_ecdsa_with_SHA256:
      return {kEcdsaSha256};
    case NID_ecdsa_with_SHA384:
      return {kEcdsaSha384};
    case NID_ecdsa_with_SHA512:
      return {kEcdsaSha512};
    case NID_ED25519:
      return {kEd25519};
    default:
      return {};
  }
}

absl::Status check_strength(const Certificate& certificate, const ChainPolicy& policy, bool is_root) {
  const bool smaller = policy.legacy && policy.min_rsa_bits <= ChainPolicy().min_rsa_bits;
  const unsigned least = smaller ? std::min(policy.min_rsa_bits, 1024u) : policy.min_rsa_bits;
  const PublicKey& key = certificate.public_key();
  if (key.type() == KeyType::kRsa && key.bits() < least) {
    return refuse(certificate, "its RSA key has " + std::to_string(key.bits()) + " bits, " + std::to_string(least) +
                                   " are the least");
  }
  if (is_ecdsa(key) && key.bits() < policy.min_ecdsa_bits) {
    return refuse(certificate, "its key is " + key.to_string() + ", " + std::to_string(policy.min_ecdsa_bits) +
                                   " bits are the least");
  }
  // A root's own signature proves nothing.
  if (is_root) return absl::OkStatus();
  const int nid = X509_get_signature_nid(certificate.state().x509.get());
  const auto made = schemes_of(nid);
  const bool sha1 = nid == NID_sha1WithRSAEncryption || nid == NID_ecdsa_with_SHA1;
  if (sha1 ? !policy.legacy : made.empty()) {
    return refuse(certificate, "it is signed with a hash that is too weak");
  }
  const auto taken = [&](SignatureScheme scheme) {
    return std::ranges::find(policy.schemes, scheme) != policy.schemes.end();
  };
  if (!policy.schemes.empty() && std::ranges::none_of(made, taken)) {
    return refuse(certificate, "it is signed by another scheme than is taken here");
  }
  return absl::OkStatus();
}

// Whether a certificate says where to ask about it.
bool names_source(const Certificate& certificate) {
  const X509* x509 = certificate.state().x509.get();
  if (X509_get_ext_by_NID(x509, NID_crl_distribution_points, -1) >= 0) return true;
  bssl::UniquePtr<AUTHORITY_INFO_ACCESS> access(
      static_cast<AUTHORITY_INFO_ACCESS*>(X509_get_ext_d2i(x509, NID_info_access, nullptr, nullptr)));
  for (std::size_t i = 0; access && i < sk_ACCESS_DESCRIPTION_num(access.get()); ++i) {
    if (OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(access.get(), i)->method) == NID_ad_OCSP) return true;
  }
  return false;
}

absl::Status check_revocation(const Path& path, std::span<const CertificateList> lists,
                              std::span<const OcspResponse> responses, std::span<const Certificate> informed,
                              const ChainPolicy& policy) {
  const auto look = [&](const auto& sources, std::size_t i, bool& good) {
    return std::ranges::any_of(sources, [&](const auto& source) {
      const auto answer = source.about(path[i], path[i + 1], policy.now, policy.legacy);
      good |= answer == RevocationAnswer::kGood;
      return answer == RevocationAnswer::kRevoked;
    });
  };
  // The root is trusted for what it is.
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    bool good = false;
    if (look(lists, i, good) || look(responses, i, good)) return refuse(path[i], "it is revoked");
    const bool needed = policy.revocation == Revocation::kStrict ||
                        (policy.revocation == Revocation::kIfUri &&
                         (names_source(path[i]) || std::ranges::find(informed, path[i + 1]) != informed.end()));
    if (!good && needed) {
      return refuse(path[i], "no fresh CRL or OCSP response says that it is not revoked");
    }
  }
  return absl::OkStatus();
}

}  // namespace

CertificateVerifier::CertificateVerifier(std::vector<Certificate> roots)
    : roots_(std::move(roots)), store_(std::make_unique<Store>()) {
  for (const Certificate& root : roots_) X509_STORE_add_cert(store_->roots.get(), root.state().x509.get());
  ERR_clear_error();  // a root given twice
}
CertificateVerifier::CertificateVerifier(CertificateVerifier&&) noexcept = default;
CertificateVerifier& CertificateVerifier::operator=(CertificateVerifier&&) noexcept = default;
CertificateVerifier::~CertificateVerifier() = default;

absl::Status CertificateVerifier::add_crl(std::span<const std::uint8_t> pem_or_der) {
  auto list = CertificateList::parse(pem_or_der);
  if (!list.ok()) return list.status();
  const auto same = std::ranges::find_if(store_->lists, [&](const auto& other) { return other.same_source(*list); });
  if (same == store_->lists.end()) {
    store_->lists.push_back(*std::move(list));
  } else if (same->this_update() <= list->this_update()) {
    *same = *std::move(list);
  }
  return absl::OkStatus();
}

absl::Status CertificateVerifier::add_ocsp_response(std::span<const std::uint8_t> der) {
  auto response = OcspResponse::parse(der);
  if (!response.ok()) return response.status();
  store_->responses.push_back(*std::move(response));
  return absl::OkStatus();
}

void CertificateVerifier::expect_revocation_of(const Certificate& authority) { store_->informed.push_back(authority); }

absl::StatusOr<std::vector<Certificate>> CertificateVerifier::verify(std::span<const Certificate> presented,
                                                                     const ChainPolicy& policy) const {
  if (presented.empty()) return absl::PermissionDeniedError("certificate: the peer has shown none");
  if (presented.size() > kMaxPresented) {
    return absl::PermissionDeniedError("certificate: the peer has shown " + std::to_string(presented.size()) + ", " +
                                       std::to_string(kMaxPresented) + " are the most");
  }
  auto path = find_path(store_->roots.get(), roots_, presented, policy.now);
  if (!path.ok()) return path.status();
  for (std::size_t i = 0; i < path->size(); ++i) {
    const bool is_root = i + 1 == path->size() && path->size() > 1;
    if (auto status = check_strength((*path)[i], policy, is_root); !status.ok()) return status;
    if (auto status = check_usage((*path)[i], policy.use, i == 0); !is_root && !status.ok()) return status;
  }
  if (policy.revocation != Revocation::kIgnored) {
    auto status = check_revocation(*path, store_->lists, store_->responses, store_->informed, policy);
    if (!status.ok()) return status;
  }
  return path;
}

}  // namespace winze
