#include "winze/crypto/certificate.h"

#include <absl/status/status.h>
#include <openssl/err.h>
#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "crypto/key_state.h"
#include "crypto/x509.h"
#include "winze/base/ascii.h"

namespace winze {
namespace {

// "*.example.org" is for one label before ".example.org".
bool dns_matches(std::string_view pattern, std::string_view name) {
  if (pattern == name) return true;
  const std::size_t dot = name.find('.');
  return pattern.starts_with("*.") && dot != name.npos && dot > 0 && name.substr(dot) == pattern.substr(1);
}

// The part before the @ is the mailbox's own affair (RFC 5280 section 7.5).
bool email_matches(std::string_view mine, std::string_view wanted) {
  const std::size_t at = mine.rfind('@'), there = wanted.rfind('@');
  return at != mine.npos && there != wanted.npos && mine.substr(0, at) == wanted.substr(0, there) &&
         lower(mine.substr(at)) == lower(wanted.substr(there));
}

bool name_equals(const X509_NAME* mine, std::span<const std::uint8_t> der) {
  const std::uint8_t* at = der.data();
  bssl::UniquePtr<X509_NAME> wanted(d2i_X509_NAME(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  return wanted && at == der.data() + der.size() && X509_NAME_cmp(mine, wanted.get()) == 0;
}

std::span<const std::uint8_t> der_of(X509_NAME* name) {
  const std::uint8_t* der = nullptr;
  std::size_t size = 0;
  if (X509_NAME_get0_der(name, &der, &size) != 1) return {};
  return {der, size};
}

}  // namespace

AlternativeNames names_of(X509* x509) {
  AlternativeNames out;
  bssl::UniquePtr<GENERAL_NAMES> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)));
  for (std::size_t i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      out.dns.push_back(lower(as_text(bytes_of(name->d.dNSName))));
    } else if (name->type == GEN_EMAIL) {
      out.emails.emplace_back(as_text(bytes_of(name->d.rfc822Name)));
    } else if (name->type == GEN_IPADD) {
      const auto bytes = bytes_of(name->d.iPAddress);
      if (bytes.size() == 4) out.addresses.push_back(IpAddress::v4(bytes.first<4>()));
      if (bytes.size() == 16) out.addresses.push_back(IpAddress::v6(bytes.first<16>()));
    }
  }
  ERR_clear_error();
  return out;
}

std::optional<UnixTime> unix_time(const ASN1_TIME* time) {
  bssl::UniquePtr<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0, seconds = 0;
  if (time == nullptr || !epoch || ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  return UnixTime{days} * 86400 + seconds;
}

std::string text_of(const X509_NAME* name) {
  bssl::UniquePtr<BIO> out(BIO_new(BIO_s_mem()));
  // UTF-8 as it is; control characters and separators escaped.
  constexpr unsigned long kFlags = XN_FLAG_ONELINE & ~(XN_FLAG_SPC_EQ | ASN1_STRFLGS_ESC_MSB);
  X509_NAME_print_ex(out.get(), name, 0, kFlags);
  const std::uint8_t* text = nullptr;
  std::size_t size = 0;
  BIO_mem_contents(out.get(), &text, &size);
  return std::string(as_text({text, size}));
}

std::vector<bssl::UniquePtr<X509>> read_certificates(std::string_view pem) {
  std::vector<bssl::UniquePtr<X509>> out;
  auto bio = memory_bio(as_bytes(pem));
  while (X509* x509 = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) out.emplace_back(x509);
  ERR_clear_error();  // the end of the text counts as an error
  return out;
}

absl::StatusOr<Certificate> wrap_certificate(bssl::UniquePtr<X509> x509) {
  auto state = std::make_shared<Certificate::State>();
  const auto fail = [&](std::string_view why) {
    const std::string who = text_of(X509_get_subject_name(x509.get()));
    ERR_clear_error();
    return absl::InvalidArgumentError("certificate \"" + who + "\": " + std::string(why));
  };
  bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(x509.get()));
  ERR_clear_error();
  if (!key) return fail("its key cannot be read");
  auto wrapped = wrap_public_key(std::move(key));
  if (!wrapped.ok()) return fail("its key is of no known kind");
  state->key = *std::move(wrapped);
  const auto from = unix_time(X509_get0_notBefore(x509.get())), to = unix_time(X509_get0_notAfter(x509.get()));
  if (!from || !to) return fail("its validity is malformed");
  state->not_before = *from;
  state->not_after = *to;
  std::uint8_t* der = nullptr;
  const int size = i2d_X509(x509.get(), &der);
  bssl::UniquePtr<std::uint8_t> owned(der);
  if (size > 0) state->der.assign(der, der + size);
  state->names = names_of(x509.get());
  state->x509 = std::move(x509);
  return Certificate(std::move(state));
}

absl::StatusOr<Certificate> Certificate::parse(std::span<const std::uint8_t> der) {
  const std::uint8_t* at = der.data();
  bssl::UniquePtr<X509> x509(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (!x509 || at != der.data() + der.size()) return absl::InvalidArgumentError("certificate: malformed");
  return wrap_certificate(std::move(x509));
}

std::span<const std::uint8_t> Certificate::der() const noexcept { return state_->der; }
std::span<const std::uint8_t> Certificate::subject() const noexcept {
  return der_of(X509_get_subject_name(state_->x509.get()));
}
std::span<const std::uint8_t> Certificate::issuer() const noexcept {
  return der_of(X509_get_issuer_name(state_->x509.get()));
}
std::string Certificate::subject_text() const { return text_of(X509_get_subject_name(state_->x509.get())); }
std::string Certificate::issuer_text() const { return text_of(X509_get_issuer_name(state_->x509.get())); }
const PublicKey& Certificate::public_key() const noexcept { return *state_->key; }
UnixTime Certificate::not_before() const noexcept { return state_->not_before; }
UnixTime Certificate::not_after() const noexcept { return state_->not_after; }
bool Certificate::is_ca() const noexcept { return X509_check_ca(state_->x509.get()) == 1; }
bool Certificate::is_self_issued() const noexcept {
  return X509_NAME_cmp(X509_get_subject_name(state_->x509.get()), X509_get_issuer_name(state_->x509.get())) == 0;
}

std::array<std::uint8_t, 20> Certificate::key_id() const noexcept {
  std::array<std::uint8_t, 20> out;
  const auto spki = public_key().spki();
  SHA1(spki.data(), spki.size(), out.data());
  return out;
}

const std::vector<std::string>& Certificate::dns_names() const noexcept { return state_->names.dns; }
const std::vector<std::string>& Certificate::emails() const noexcept { return state_->names.emails; }
const std::vector<IpAddress>& Certificate::addresses() const noexcept { return state_->names.addresses; }

bool Certificate::is_for(NameKind kind, std::span<const std::uint8_t> name) const {
  switch (kind) {
    case NameKind::kDns: {
      const std::string wanted = lower(as_text(name));
      return !wanted.empty() &&
             std::ranges::any_of(state_->names.dns, [&](const std::string& mine) { return dns_matches(mine, wanted); });
    }
    case NameKind::kEmail:
      return std::ranges::any_of(state_->names.emails,
                                 [&](const std::string& mine) { return email_matches(mine, as_text(name)); });
    case NameKind::kAddress:
      return std::ranges::any_of(state_->names.addresses,
                                 [&](const IpAddress& mine) { return std::ranges::equal(mine.bytes(), name); });
    case NameKind::kDistinguished:
      return name_equals(X509_get_subject_name(state_->x509.get()), name);
  }
  return false;
}

std::string Certificate::names_text() const {
  constexpr std::size_t kMost = 8;
  std::vector<std::string> names;
  for (const std::string& dns : state_->names.dns) names.push_back("DNS:" + dns);
  for (const std::string& email : state_->names.emails) names.push_back("email:" + email);
  for (const IpAddress& address : state_->names.addresses) names.push_back("IP:" + address.to_string());
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < kMost; ++i) out += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kMost) out += ", ...";
  return subject_text() + (out.empty() ? "" : " (" + out + ")");
}

bool operator==(const Certificate& a, const Certificate& b) { return a.state_->der == b.state_->der; }

absl::StatusOr<std::vector<Certificate>> parse_certificates(std::span<const std::uint8_t> pem_or_der) {
  std::vector<Certificate> out;
  if (as_text(pem_or_der).find("-----BEGIN") == std::string_view::npos) {
    auto one = Certificate::parse(pem_or_der);
    if (!one.ok()) return one.status();
    out.push_back(*std::move(one));
    return out;
  }
  for (auto& x509 : read_certificates(as_text(pem_or_der))) {
    auto one = wrap_certificate(std::move(x509));
    if (!one.ok()) return one.status();
    out.push_back(*std::move(one));
  }
  if (out.empty()) return absl::InvalidArgumentError("certificate: no PEM certificate found");
  return out;
}

absl::StatusOr<CertificateIdentity> CertificateIdentity::create(std::vector<Certificate> chain, PrivateKeyPtr key) {
  if (chain.empty()) return absl::InvalidArgumentError("certificate: none given");
  if (!key) return absl::InvalidArgumentError("certificate: no private key given");
  if (!(chain.front().public_key() == key->public_key())) {
    return absl::InvalidArgumentError("certificate \"" + chain.front().subject_text() +
                                      "\": the private key belongs to another certificate");
  }
  return CertificateIdentity{std::move(chain), std::move(key)};
}

}  // namespace winze
