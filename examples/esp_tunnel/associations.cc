#include "associations.h"

#include <map>
#include <optional>

#include "winze/base/ascii.h"

namespace esp_tunnel {
namespace {

using namespace winze;
using esp::Encryption;
using esp::Integrity;

const std::map<std::string, std::pair<Encryption, Integrity>> kSuites = {
    {"aes-gcm", {Encryption::kAesGcm, Integrity::kNone}},
    {"aes-ccm", {Encryption::kAesCcm, Integrity::kNone}},
    {"chacha20-poly1305", {Encryption::kChaCha20Poly1305, Integrity::kNone}},
    {"aes-gmac", {Encryption::kAesGmac, Integrity::kNone}},
    {"aes-cbc-sha1", {Encryption::kAesCbc, Integrity::kHmacSha1_96}},
    {"aes-cbc-sha256", {Encryption::kAesCbc, Integrity::kHmacSha2_256_128}},
    {"aes-cbc-sha384", {Encryption::kAesCbc, Integrity::kHmacSha2_384_192}},
    {"aes-cbc-sha512", {Encryption::kAesCbc, Integrity::kHmacSha2_512_256}},
    {"aes-cbc-xcbc", {Encryption::kAesCbc, Integrity::kAesXcbc_96}},
    {"aes-cbc-cmac", {Encryption::kAesCbc, Integrity::kAesCmac_96}},
    {"aes-cbc-md5", {Encryption::kAesCbc, Integrity::kHmacMd5_96}},
    {"aes-cbc-sha256-96", {Encryption::kAesCbc, Integrity::kHmacSha2_256_96}},
    {"3des-cbc-sha1", {Encryption::kTripleDesCbc, Integrity::kHmacSha1_96}},
    {"aes-ctr-sha256", {Encryption::kAesCtr, Integrity::kHmacSha2_256_128}},
    {"null-sha256", {Encryption::kNull, Integrity::kHmacSha2_256_128}},
};

absl::StatusOr<Secret> key_of(const std::vector<std::string>& texts, unsigned thread, const char* option) {
  if (texts.empty()) return Secret();
  const std::string& text = texts[thread];
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    const int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) break;
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  if (bytes.size() * 2 != text.size()) {
    return absl::InvalidArgumentError(std::string(option) + ": an even number of hexadecimal digits is wanted");
  }
  return Secret(std::string_view(bytes));
}

absl::StatusOr<esp::SaConfig> config_of(const Parameters& p, unsigned thread, bool out) {
  auto key = key_of(out ? p.out_keys : p.in_keys, thread, out ? "--out-key" : "--in-key");
  auto auth = key_of(out ? p.out_auths : p.in_auths, thread, out ? "--out-auth" : "--in-auth");
  for (const absl::Status& status : {key.status(), auth.status()}) {
    if (!status.ok()) return status;
  }
  const auto& [encryption, integrity] = kSuites.at(p.suite);
  esp::SaConfig config{.spi = (out ? p.out_spi : p.in_spi) + thread, .esn = p.esn, .replay_window = p.replay_window};
  config.algorithms.encryption = encryption;
  config.algorithms.integrity = integrity;
  config.algorithms.icv_size = p.icv;
  config.algorithms.legacy = p.legacy;
  config.algorithms.encryption_key = std::move(*key);
  config.algorithms.integrity_key = std::move(*auth);
  return config;
}

absl::Status add_selectors(const std::vector<std::string>& texts, std::vector<ip::Selector>& out) {
  if (!texts.empty()) out.clear();
  for (const std::string& text : texts) {
    const auto selector = ip::Selector::parse(text);
    if (!selector) {
      return absl::InvalidArgumentError(text +
                                        " is no selector: ADDRESS, ADDRESS/BITS or ADDRESS-ADDRESS, then perhaps "
                                        "[PROTOCOL] or [PROTOCOL/PORT]");
    }
    out.push_back(*selector);
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> suite_names() {
  std::vector<std::string> names;
  for (const auto& [name, suite] : kSuites) names.push_back(name);
  return names;
}

absl::StatusOr<Associations> make_associations(const Parameters& p, unsigned thread, Random& random) {
  auto out = config_of(p, thread, true), in = config_of(p, thread, false);
  for (const absl::Status& status : {out.status(), in.status()}) {
    if (!status.ok()) return status;
  }
  auto outbound = esp::OutboundSa::create(*out, random);
  if (!outbound.ok()) return outbound.status();
  auto inbound = esp::InboundSa::create(*in);
  if (!inbound.ok()) return inbound.status();
  return Associations{std::move(*outbound), std::move(*inbound)};
}

absl::StatusOr<ip::SelectorPair> read_selectors(const Parameters& p) {
  ip::SelectorPair out = ip::SelectorPair::any();
  for (const auto& [texts, list] : {std::pair(&p.here, &out.local), std::pair(&p.there, &out.remote)}) {
    if (const absl::Status status = add_selectors(*texts, *list); !status.ok()) return status;
  }
  return out;
}

absl::StatusOr<std::vector<Prefix>> read_prefixes(const std::vector<std::string>& texts) {
  std::vector<Prefix> out;
  for (const std::string& text : texts) {
    const auto prefix = Prefix::parse(text);
    if (!prefix) return absl::InvalidArgumentError(text + " is no ADDRESS/BITS");
    out.push_back(*prefix);
  }
  return out;
}

}  // namespace esp_tunnel
