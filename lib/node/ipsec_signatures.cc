#include "ipsec_signatures.h"

#include <absl/status/status.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

namespace winze::node {
namespace {

using enum SignatureScheme;

struct Kind {
  std::string_view word;
  // By sha1, sha256, sha384, sha512, identity.
  std::vector<SignatureScheme> schemes[5];
};

// As strongSwan has it, PSS is only what is called so.
const Kind kKinds[] = {
    {"pubkey",
     {{kRsaPkcs1Sha1},
      {kEcdsaSha256, kRsaPkcs1Sha256},
      {kEcdsaSha384, kRsaPkcs1Sha384},
      {kEcdsaSha512, kRsaPkcs1Sha512},
      {kEd25519}}},
    {"rsa", {{kRsaPkcs1Sha1}, {kRsaPkcs1Sha256}, {kRsaPkcs1Sha384}, {kRsaPkcs1Sha512}, {}}},
    {"rsa/pss", {{}, {kRsaPssSha256}, {kRsaPssSha384}, {kRsaPssSha512}, {}}},
    {"ecdsa", {{}, {kEcdsaSha256}, {kEcdsaSha384}, {kEcdsaSha512}, {}}},
    {"ed25519", {{}, {}, {}, {}, {kEd25519}}},
};

std::optional<std::size_t> hash_of(std::string_view word) {
  static constexpr std::string_view kWords[] = {"sha1", "sha256", "sha384", "sha512", "identity"};
  const auto found = std::ranges::find(kWords, word);
  return found == std::end(kWords) ? std::nullopt : std::optional<std::size_t>(found - std::begin(kWords));
}

// One kind of key with the hashes that stand behind it.
struct Group {
  bool add(std::size_t hash) {
    const auto& schemes = kind->schemes[hash];
    chosen.insert(chosen.end(), schemes.begin(), schemes.end());
    return !schemes.empty();
  }
  bool is_rsa() const { return kind->word.starts_with("rsa"); }
  bool is_ecdsa() const { return kind->word == "ecdsa"; }
  bool limits() const { return !chosen.empty() || kind->word != "pubkey"; }
  // Without hashes all but SHA-1.
  std::vector<SignatureScheme> schemes() const {
    if (!chosen.empty()) return chosen;
    std::vector<SignatureScheme> all;
    for (std::size_t hash = 1; hash < std::size(kind->schemes); ++hash) {
      all.insert(all.end(), kind->schemes[hash].begin(), kind->schemes[hash].end());
    }
    return all;
  }

  const Kind* kind;
  std::vector<SignatureScheme> chosen;
};

}  // namespace

absl::StatusOr<SignatureLimits> parse_signatures(std::string_view text) {
  SignatureLimits out;
  const bool of_ike = text.starts_with("ike:");
  std::string_view rest = of_ike ? text.substr(4) : text;
  std::optional<Group> group;
  bool limited = false;
  std::vector<SignatureScheme> schemes;
  const auto finish = [&] {
    if (!group) return;
    limited = limited || group->limits();
    const auto of_group = group->schemes();
    schemes.insert(schemes.end(), of_group.begin(), of_group.end());
  };
  const auto wrong = [&](std::string_view word) {
    return absl::InvalidArgumentError("\"" + std::string(word) + "\" says nothing of signatures here: \"pubkey\", " +
                                      "\"rsa\", \"rsa/pss\", \"ecdsa\" or \"ed25519\" is wanted, then perhaps the " +
                                      "least size of keys and hashes, as in \"rsa-3072-sha256-sha512\"");
  };
  for (bool more = true; more;) {
    const std::size_t dash = rest.find('-');
    const std::string_view word = rest.substr(0, dash);
    more = dash != rest.npos;
    if (more) rest.remove_prefix(dash + 1);
    const auto kind = std::ranges::find(kKinds, word, &Kind::word);
    unsigned bits = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), bits);
    if (kind != std::end(kKinds)) {
      finish();
      group = Group{kind, {}};
    } else if (!group) {
      return wrong(word);
    } else if (error == std::errc() && end == word.data() + word.size() && (group->is_rsa() || group->is_ecdsa())) {
      (group->is_rsa() ? out.min_rsa_bits : out.min_ecdsa_bits) = bits;
    } else if (const auto hash = hash_of(word); !hash || !group->add(*hash)) {
      return wrong(word);
    }
  }
  finish();
  if (!limited) return out;
  out.schemes = schemes;
  if (!of_ike) out.chain_schemes = std::move(schemes);
  return out;
}

}  // namespace winze::node
