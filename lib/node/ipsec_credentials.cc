#include "ipsec_credentials.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "winze/base/status.h"
#include "winze/proto/ike/identity.h"

namespace winze::node {
namespace {

namespace fs = std::filesystem;

absl::Status invalid(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(path + ": " + what);
}

std::optional<std::vector<std::uint8_t>> read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  return std::vector<std::uint8_t>(std::istreambuf_iterator<char>(in), {});
}

absl::Status read_all(const std::vector<fs::path>& files, std::vector<std::vector<std::uint8_t>>& out) {
  for (const fs::path& file : files) {
    auto bytes = read(file);
    if (!bytes) return absl::NotFoundError(file.string() + " cannot be read");
    out.push_back(std::move(*bytes));
  }
  return absl::OkStatus();
}

// In the order of their names.
std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error)) out.push_back(entry.path());
  }
  std::ranges::sort(out);
  return out;
}

absl::StatusOr<std::vector<Certificate>> read_certificates(const fs::path& file) {
  const auto bytes = read(file);
  if (!bytes) return absl::NotFoundError(file.string() + " cannot be read");
  auto out = parse_certificates(*bytes);
  if (!out.ok()) return absl::InvalidArgumentError(file.string() + ": " + std::string(message_of(out.status())));
  return out;
}

bool same(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) { return std::ranges::equal(a, b); }

}  // namespace

absl::StatusOr<IpsecCredentials> IpsecCredentials::load(const IpsecOptions& options) {
  IpsecCredentials out;
  out.directory_ = options.directory;
  if (absl::Status status = out.load_authorities(options); !status.ok()) return status;
  out.load_keys(options);
  return out;
}

absl::Status IpsecCredentials::load_authorities(const IpsecOptions& options) {
  const fs::path root(directory_);
  std::vector<fs::path> files = directory_.empty() ? std::vector<fs::path>() : files_in(root / "x509ca");
  for (const IpsecAuthority& authority : options.authorities) files.push_back(root / "x509ca" / authority.cacert);
  for (const fs::path& file : files) {
    auto found = read_certificates(file);
    if (!found.ok()) return found.status();
    authorities_.insert(authorities_.end(), found->begin(), found->end());
  }
  std::vector<fs::path> lists = directory_.empty() ? std::vector<fs::path>() : files_in(root / "x509crl");
  std::vector<fs::path> responses;
  const auto add = [](const std::vector<std::string>& uris, std::vector<fs::path>& out) {
    for (const std::string& uri : uris) out.emplace_back(uri.substr(std::string_view("file://").size()));
  };
  for (const IpsecAuthority& authority : options.authorities) {
    add(authority.crl_uris, lists);
    add(authority.ocsp_uris, responses);
    if (!authority.fetched && authority.crl_uris.empty() && authority.ocsp_uris.empty()) continue;
    auto found = read_certificates(root / "x509ca" / authority.cacert);
    if (!found.ok()) return found.status();
    informed_.insert(informed_.end(), found->begin(), found->end());
  }
  absl::Status status = read_all(lists, crls_);
  if (status.ok()) status = read_all(responses, ocsp_responses_);
  return status;
}

void IpsecCredentials::load_keys(const IpsecOptions& options) {
  if (directory_.empty() && options.keys.empty()) return;
  for (const char* folder : {"private", "rsa", "ecdsa", "pkcs8"}) {
    std::vector<fs::path> files = files_in(fs::path(directory_) / folder);
    for (const IpsecKeyFile& key : options.keys) {
      const fs::path file = fs::path(directory_) / folder / key.file;
      if (key.folder == folder && std::ranges::find(files, file) == files.end()) files.push_back(file);
    }
    for (const fs::path& file : files) {
      std::string_view passphrase;
      for (const IpsecKeyFile& key : options.keys) {
        if (key.folder != folder || fs::path(key.file).filename() != file.filename()) continue;
        const auto bytes = key.passphrase.span();
        passphrase = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
      }
      auto bytes = read(file);
      if (!bytes) {
        unread_ += "; " + file.string() + " cannot be read";
        continue;
      }
      auto key = parse_private_key(*bytes, passphrase);
      secure_wipe(*bytes);
      if (key.ok()) {
        keys_.push_back(std::move(*key));
      } else {
        unread_ += "; " + file.string() + ": " + std::string(message_of(key.status()));
      }
    }
  }
}

absl::StatusOr<std::vector<std::vector<Certificate>>> IpsecCredentials::candidates(const IpsecAuth& local,
                                                                                   const std::string& name) const {
  std::vector<std::vector<Certificate>> out;
  for (const std::string& file : local.certs) {
    auto chain = read_certificates(fs::path(directory_) / "x509" / file);
    if (!chain.ok()) return invalid(local.path + ".certs", std::string(message_of(chain.status())));
    out.push_back(std::move(*chain));
  }
  if (!local.certs.empty()) return out;
  const ike::Identity identity = ike::Identity::parse(name);
  const auto kind = ike::name_kind_of(identity.type);
  if (name.empty() || !kind) return invalid(local.path + ".certs", "a certificate is needed");
  for (const fs::path& file : files_in(fs::path(directory_) / "x509")) {
    auto chain = read_certificates(file);
    if (chain.ok() && chain->front().is_for(*kind, identity.bytes)) out.push_back(std::move(*chain));
  }
  if (out.empty()) return invalid(local.path + ".certs", "x509 has no certificate for " + name);
  return out;
}

absl::StatusOr<std::shared_ptr<const CertificateIdentity>> IpsecCredentials::identity(const IpsecAuth& local,
                                                                                      const std::string& name) const {
  auto chains = candidates(local, name);
  if (!chains.ok()) return chains.status();
  for (std::vector<Certificate>& chain : *chains) {
    // Up to the root, which the peer has.
    while (chain.size() < CertificateVerifier::kMaxPresented) {
      const Certificate& last = chain.back();
      const auto above = std::ranges::find_if(authorities_, [&](const Certificate& authority) {
        return same(authority.subject(), last.issuer()) && !authority.is_self_issued();
      });
      if (last.is_self_issued() || above == authorities_.end()) break;
      chain.push_back(*above);
    }
    for (const PrivateKeyPtr& key : keys_) {
      auto identity = CertificateIdentity::create(chain, key);
      if (identity.ok()) return std::make_shared<const CertificateIdentity>(std::move(*identity));
    }
  }
  const std::string which = local.certs.empty() ? "the certificate for " + name : local.certs.front();
  return invalid(local.path + ".certs", "there is no private key for " + which + unread_);
}

absl::StatusOr<PrivateKeyPtr> IpsecCredentials::bare_key(const IpsecAuth& local) const {
  const auto own = public_keys(local);
  if (!own.ok()) return own.status();
  const auto found = std::ranges::find(keys_, own->front(), [](const PrivateKeyPtr& key) { return key->public_key(); });
  if (found != keys_.end()) return *found;
  return invalid(local.path + ".pubkeys", "there is no private key for " + local.pubkeys.front() + unread_);
}

absl::StatusOr<std::vector<PublicKey>> IpsecCredentials::public_keys(const IpsecAuth& auth) const {
  std::vector<PublicKey> out;
  for (const std::string& name : auth.pubkeys) {
    const fs::path file = fs::path(directory_) / "pubkey" / name;
    const auto bytes = read(file);
    if (!bytes) return invalid(auth.path + ".pubkeys", file.string() + " cannot be read");
    auto key = PublicKey::parse(*bytes);
    if (!key.ok()) key = PublicKey::parse_pem({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
    if (!key.ok()) return invalid(auth.path + ".pubkeys", file.string() + ": " + std::string(message_of(key.status())));
    out.push_back(*std::move(key));
  }
  return out;
}

absl::StatusOr<std::shared_ptr<const CertificateVerifier>> IpsecCredentials::verifier(const IpsecAuth& remote) const {
  std::vector<Certificate> roots;
  for (const auto& [names, folder] : {std::pair(&remote.cacerts, "x509ca"), std::pair(&remote.certs, "x509")}) {
    for (const std::string& name : *names) {
      auto found = read_certificates(fs::path(directory_) / folder / name);
      if (!found.ok()) return invalid(remote.path, std::string(message_of(found.status())));
      roots.insert(roots.end(), found->begin(), found->end());
    }
  }
  if (roots.empty()) roots = authorities_;
  if (roots.empty()) return invalid(remote.path, "no authority is trusted: put its certificate into x509ca");
  auto out = std::make_shared<CertificateVerifier>(std::move(roots));
  absl::Status status;
  for (const auto& crl : crls_) status.Update(out->add_crl(crl));
  for (const auto& response : ocsp_responses_) status.Update(out->add_ocsp_response(response));
  if (!status.ok()) return invalid(remote.path, std::string(message_of(status)));
  for (const Certificate& authority : informed_) out->expect_revocation_of(authority);
  return out;
}

}  // namespace winze::node
