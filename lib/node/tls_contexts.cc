#include "winze/node/tls_contexts.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "winze/base/ascii.h"
#include "winze/base/base64.h"
#include "winze/base/status.h"

namespace winze::node {
namespace {

absl::Status at(const std::string& path, std::string_view message) {
  return absl::InvalidArgumentError(path + ".streamSettings.tlsSettings: " + std::string(message));
}

absl::StatusOr<std::string> read(const PemSource& source) {
  if (source.file.empty()) return source.text;
  std::ifstream file(source.file, std::ios::binary);
  std::stringstream text;
  if (!file || !(text << file.rdbuf())) return absl::NotFoundError(source.file + ": " + std::strerror(errno));
  return text.str();
}

absl::StatusOr<tls::Identity> read_identity(const TlsOptions::Certificate& certificate) {
  auto chain = read(certificate.chain);
  if (!chain.ok()) return chain.status();
  auto key = read(certificate.key);
  if (!key.ok()) return key.status();
  return tls::Identity{std::move(*chain), Secret(std::string_view(*key))};
}

absl::StatusOr<std::vector<tls::Identity>> read_identities(const std::vector<TlsOptions::Certificate>& certificates) {
  std::vector<tls::Identity> out;
  for (const auto& certificate : certificates) {
    auto identity = read_identity(certificate);
    if (!identity.ok()) return identity.status();
    out.push_back(std::move(*identity));
  }
  return out;
}

absl::StatusOr<std::vector<std::string>> read_roots(const std::vector<PemSource>& sources) {
  std::vector<std::string> out;
  for (const PemSource& source : sources) {
    auto text = read(source);
    if (!text.ok()) return text.status();
    out.push_back(std::move(*text));
  }
  return out;
}

// 64 hexadecimal digits, with or without colons, or base64.
absl::StatusOr<tls::Sha256> parse_hash(const std::string& text) {
  std::string digits = text;
  std::erase(digits, ':');
  tls::Sha256 out;
  if (digits.size() == 64 && std::ranges::all_of(digits, [](char c) { return hex_digit(c) >= 0; })) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<std::uint8_t>(hex_digit(digits[2 * i]) << 4 | hex_digit(digits[2 * i + 1]));
    }
    return out;
  }
  const auto bytes = base64_decode(text);
  if (!bytes || bytes->size() != out.size()) {
    return absl::InvalidArgumentError("\"" + text +
                                      "\" is not a SHA-256 hash: 64 hexadecimal digits, or base64 of 32 bytes");
  }
  std::ranges::copy(*bytes, out.begin());
  return out;
}

absl::StatusOr<std::vector<tls::Sha256>> parse_hashes(const std::vector<std::string>& texts) {
  std::vector<tls::Sha256> out;
  for (const std::string& text : texts) {
    auto hash = parse_hash(text);
    if (!hash.ok()) return hash.status();
    out.push_back(*hash);
  }
  return out;
}

absl::StatusOr<tls::Version> parse_version(const std::string& text, tls::Version otherwise) {
  if (text.empty()) return otherwise;
  if (text == "1.2") return tls::Version::kTls12;
  if (text == "1.3") return tls::Version::kTls13;
  return absl::InvalidArgumentError("version \"" + text + "\" is not one of \"1.2\", \"1.3\"");
}

// WebSocket and HTTPUpgrade are HTTP/1.1, whatever else may be said of it.
std::vector<std::string> alpn_of(const StreamSettings& stream) {
  if (stream.network != StreamSettings::Network::kTcp) return {"http/1.1"};
  if (stream.tls->alpn.empty()) return {"h2", "http/1.1"};
  return stream.tls->alpn;
}

absl::StatusOr<std::shared_ptr<tls::ServerContext>> make_server(const StreamSettings& stream) {
  const TlsOptions& options = *stream.tls;
  tls::ServerOptions out{.alpn = alpn_of(stream),
                         .reject_unknown_names = options.reject_unknown_sni,
                         .resume = options.session_resumption,
                         .key_log_file = options.key_log_file};
  auto identities = read_identities(options.certificates);
  if (!identities.ok()) return identities.status();
  out.identities = std::move(*identities);
  if (options.verify_client) {
    auto roots = read_roots(options.roots);
    if (!roots.ok()) return roots.status();
    if (roots->empty())
      return absl::InvalidArgumentError("verifying clients needs a certificate with usage \"verify\"");
    out.client_roots_pem = std::move(*roots);
  }
  auto min = parse_version(options.min_version, out.min_version);
  auto max = parse_version(options.max_version, out.max_version);
  if (!min.ok()) return min.status();
  if (!max.ok()) return max.status();
  out.min_version = *min;
  out.max_version = *max;
  return tls::ServerContext::create(out);
}

absl::StatusOr<std::shared_ptr<tls::ClientContext>> make_client(const StreamSettings& stream) {
  const TlsOptions& options = *stream.tls;
  tls::ClientOptions out{.alpn = alpn_of(stream),
                         .system_roots = !options.disable_system_root,
                         .resume = options.session_resumption,
                         .key_log_file = options.key_log_file};
  auto roots = read_roots(options.roots);
  if (!roots.ok()) return roots.status();
  out.roots_pem = std::move(*roots);
  auto leaves = parse_hashes(options.certificate_sha256);
  if (!leaves.ok()) return leaves.status();
  out.certificate_sha256 = std::move(*leaves);
  auto keys = parse_hashes(options.spki_sha256);
  if (!keys.ok()) return keys.status();
  out.spki_sha256 = std::move(*keys);
  if (!options.certificates.empty()) {
    auto identity = read_identity(options.certificates.front());
    if (!identity.ok()) return identity.status();
    out.identity = std::move(*identity);
  }
  auto min = parse_version(options.min_version, out.min_version);
  auto max = parse_version(options.max_version, out.max_version);
  if (!min.ok()) return min.status();
  if (!max.ok()) return max.status();
  out.min_version = *min;
  out.max_version = *max;
  return tls::ClientContext::create(out);
}

}  // namespace

absl::StatusOr<std::shared_ptr<TlsContexts>> TlsContexts::create(const NodeOptions& options) {
  auto out = std::make_shared<TlsContexts>();
  for (const InboundOptions& inbound : options.inbounds) {
    out->inbounds_.emplace_back();
    out->sources_.emplace_back();
    if (!inbound.stream.tls) continue;
    auto context = make_server(inbound.stream);
    if (!context.ok()) return at(inbound.path, message_of(context.status()));
    out->inbounds_.back() = std::move(*context);
    out->sources_.back() = {inbound.path, inbound.stream.tls->certificates};
  }
  for (const OutboundOptions& outbound : options.outbounds) {
    out->outbounds_.emplace_back();
    if (!outbound.stream.tls) continue;
    auto context = make_client(outbound.stream);
    if (!context.ok()) return at(outbound.path, message_of(context.status()));
    out->outbounds_.back() = std::move(*context);
  }
  return out;
}

absl::Status TlsContexts::reload() {
  std::string errors;
  for (std::size_t i = 0; i < inbounds_.size(); ++i) {
    if (!inbounds_[i]) continue;
    auto identities = read_identities(sources_[i].certificates);
    absl::Status status = identities.ok() ? inbounds_[i]->replace(*identities) : identities.status();
    if (status.ok()) continue;
    if (!errors.empty()) errors += "; ";
    errors += message_of(at(sources_[i].path, message_of(status)));
  }
  return errors.empty() ? absl::OkStatus() : absl::InvalidArgumentError(errors);
}

}  // namespace winze::node
