#include "winze/proto/ike/proposal.h"

#include <absl/status/status.h>

#include <algorithm>
#include <map>

#include "distinct.h"
#include "transforms.h"

namespace winze::ike {
namespace {

constexpr unsigned kTypes = 13;  // 1 to 12

absl::Status unusable(std::string_view proposal, std::string_view why) {
  return absl::InvalidArgumentError("proposal \"" + std::string(proposal) + "\": " + std::string(why));
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Calls `take` with each part; stops when it fails.
template <typename F>
absl::Status each_part(std::string_view text, char separator, F take) {
  for (;;) {
    const std::size_t end = text.find(separator);
    if (absl::Status status = take(trimmed(text.substr(0, end))); !status.ok()) return status;
    if (end == std::string_view::npos) return absl::OkStatus();
    text.remove_prefix(end + 1);
  }
}

// "ke1_mlkem768" -> 1, "mlkem768"; else 0.
unsigned additional_of(std::string_view& name) {
  if (name.size() < 5 || !name.starts_with("ke") || name[3] != '_' || name[2] < '1' || name[2] > '7') return 0;
  const unsigned number = static_cast<unsigned>(name[2] - '0');
  name.remove_prefix(4);
  return number;
}

absl::StatusOr<Transform> parse_transform(Protocol protocol, std::string_view name, std::string_view proposal,
                                          bool legacy) {
  std::string_view bare = name;
  const unsigned additional = additional_of(bare);
  const auto rows = transform_rows();
  const auto row = std::ranges::find_if(rows, [&](const TransformRow& r) {
    return r.name == bare && (additional == 0 || r.transform.type == TransformType::kKeyExchange);
  });
  const std::string quoted = "\"" + std::string(name) + "\" ";
  if (row == rows.end()) return unusable(proposal, quoted + "is no transform that this library has");
  if (row->use == Use::kEspOnly && protocol == Protocol::kIke) {
    return unusable(proposal, quoted + "has no place in an IKE proposal");
  }
  if (row->legacy && !legacy) return unusable(proposal, quoted + "is legacy, and legacy is not allowed");
  if (!is_supported(row->transform)) return unusable(proposal, quoted + "needs a newer BoringSSL than is linked");
  Transform transform = row->transform;
  if (additional != 0) {
    transform.type =
        static_cast<TransformType>(static_cast<unsigned>(TransformType::kAdditionalKeyExchange1) + additional - 1);
  }
  return transform;
}

// An IKE proposal without a PRF takes those of its integrity algorithms, as strongSwan does.
void add_inferred_prfs(Proposal& proposal) {
  static constexpr std::pair<std::uint16_t, std::uint16_t> kPrfs[] = {
      {id::kHmacSha256, id::kPrfHmacSha256}, {id::kHmacSha384, id::kPrfHmacSha384},
      {id::kHmacSha512, id::kPrfHmacSha512}, {id::kHmacSha1, id::kPrfHmacSha1},
      {id::kAesXcbc, id::kPrfAesXcbc},       {id::kAesCmac, id::kPrfAesCmac},
      {id::kHmacMd5, id::kPrfHmacMd5},
  };
  const std::vector<Transform> given = proposal.transforms;
  for (const Transform& transform : given) {
    if (transform.type != TransformType::kIntegrity) continue;
    for (const auto& [integrity, prf] : kPrfs) {
      if (transform.id == integrity) proposal.transforms.push_back({TransformType::kPrf, prf, 0});
    }
  }
}

bool is_exchange(TransformType type) noexcept {
  return type == TransformType::kKeyExchange ||
         (type >= TransformType::kAdditionalKeyExchange1 && type <= TransformType::kAdditionalKeyExchange7);
}

// Whether its key exchanges can all be different ones.
bool has_distinct_exchanges(const Proposal& proposal) {
  std::map<TransformType, ExchangeOptions> lists;
  for (const Transform& transform : proposal.transforms) {
    if (is_exchange(transform.type)) lists[transform.type].emplace_back(transform);
  }
  std::vector<ExchangeOptions> all;
  for (auto& [type, options] : lists) all.push_back(std::move(options));
  return pick_distinct(all).has_value();
}

absl::Status complete(Proposal& proposal, std::string_view text) {
  bool aead = false, plain = false;
  for (const Transform& transform : proposal.transforms) {
    if (transform.type == TransformType::kEncryption) (is_aead(transform) ? aead : plain) = true;
  }
  const bool integrity = proposal.find(TransformType::kIntegrity) != nullptr;
  if (!aead && !plain) return unusable(text, "no encryption algorithm");
  if (aead && plain) return unusable(text, "an AEAD and an encryption without authentication need a proposal each");
  if (plain && !integrity) return unusable(text, "no integrity algorithm");
  if (aead && integrity) {
    if (proposal.protocol != Protocol::kIke || proposal.find(TransformType::kPrf) != nullptr) {
      return unusable(text, "an AEAD has no integrity algorithm");
    }
    // "aes256gcm16-sha384-ecp384" names the hash for the PRF.
    add_inferred_prfs(proposal);
    std::erase_if(proposal.transforms, [](const Transform& t) { return t.type == TransformType::kIntegrity; });
  }
  if (proposal.protocol == Protocol::kIke) {
    if (proposal.find(TransformType::kPrf) == nullptr) add_inferred_prfs(proposal);
    if (proposal.find(TransformType::kPrf) == nullptr) return unusable(text, "no PRF");
    const Transform* const group = proposal.find(TransformType::kKeyExchange);
    if (group == nullptr || group->id == id::kNoKeyExchange) return unusable(text, "no key exchange");
  } else if (proposal.find(TransformType::kEsn) == nullptr) {
    proposal.transforms.push_back({TransformType::kEsn, id::kNoEsn, 0});
  }
  if (!has_distinct_exchanges(proposal)) return unusable(text, "its key exchanges have to differ from each other");
  // Type by type, as on the wire; the order within one is the host's.
  std::ranges::stable_sort(proposal.transforms, {}, &Transform::type);
  return absl::OkStatus();
}

Proposal must_parse(Protocol protocol, std::string_view text, bool legacy) {
  auto proposal = Proposal::parse(protocol, text, legacy);
  return proposal.ok() ? *std::move(proposal) : Proposal{};
}

}  // namespace

std::string to_string(const Transform& transform) {
  if (const TransformRow* row = row_of(transform)) {
    const unsigned type = static_cast<unsigned>(transform.type);
    constexpr unsigned kFirst = static_cast<unsigned>(TransformType::kAdditionalKeyExchange1);
    if (type < kFirst) return std::string(row->name);
    return "ke" + std::to_string(type - kFirst + 1) + "_" + std::string(row->name);
  }
  static constexpr std::string_view kTypeNames[] = {"type 0", "encryption", "prf", "integrity", "group", "esn"};
  const unsigned type = static_cast<unsigned>(transform.type);
  std::string text = type < std::size(kTypeNames) ? std::string(kTypeNames[type]) : "type " + std::to_string(type);
  text += " " + std::to_string(transform.id);
  if (transform.key_bits != 0) text += "/" + std::to_string(transform.key_bits);
  return text;
}

absl::StatusOr<Proposal> Proposal::parse(Protocol protocol, std::string_view text, bool legacy) {
  Proposal proposal{protocol, {}};
  absl::Status status = each_part(text, '-', [&](std::string_view name) -> absl::Status {
    auto transform = parse_transform(protocol, name, text, legacy);
    if (!transform.ok()) return transform.status();
    if (!proposal.has(*transform)) proposal.transforms.push_back(*transform);
    return absl::OkStatus();
  });
  if (status.ok()) status = complete(proposal, text);
  if (!status.ok()) return status;
  return proposal;
}

std::string Proposal::to_string() const {
  std::string text;
  for (const Transform& transform : transforms) {
    if (!text.empty()) text += '-';
    text += ike::to_string(transform);
  }
  return text;
}

const Transform* Proposal::find(TransformType type) const noexcept {
  const auto found = std::ranges::find(transforms, type, &Transform::type);
  return found == transforms.end() ? nullptr : &*found;
}

bool Proposal::has(const Transform& transform) const noexcept {
  return std::ranges::find(transforms, transform) != transforms.end();
}

absl::StatusOr<ProposalList> parse_proposals(Protocol protocol, std::string_view text, bool legacy) {
  ProposalList list;
  const absl::Status status = each_part(text, ',', [&](std::string_view part) -> absl::Status {
    if (part == "default") {
      for (Proposal& proposal : default_proposals(protocol, legacy)) list.push_back(std::move(proposal));
      return absl::OkStatus();
    }
    auto proposal = Proposal::parse(protocol, part, legacy);
    if (!proposal.ok()) return proposal.status();
    list.push_back(*std::move(proposal));
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return list;
}

std::string to_string(std::span<const Proposal> proposals) {
  std::string text;
  for (const Proposal& proposal : proposals) {
    if (!text.empty()) text += ", ";
    text += proposal.to_string();
  }
  return text;
}

ProposalList default_proposals(Protocol protocol, bool legacy) {
  ProposalList list;
  const auto add = [&](std::string_view text) { list.push_back(must_parse(protocol, text, legacy)); };
  if (protocol == Protocol::kIke) {
    // Key exchanges in one order everywhere: a responder that likes another one answers INVALID_KE_PAYLOAD.
    const std::string groups = "x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048";
    add("aes256gcm16-aes128gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-" + groups);
    add("aes256-aes128-sha256-sha384-sha512-" + groups);
    add("aes256ctr-aes128ctr-sha256-sha384-sha512-aesxcbc-aescmac-" + groups);
    if (legacy) {
      add("aes256-aes128-sha256-sha384-sha1-modp1536-modp1024");
      add("aes256-aes128-3des-sha256-sha384-sha1-modp2048-modp1536-modp1024");
    }
  } else {
    add("aes256gcm16-aes128gcm16-chacha20poly1305-esn-noesn");
    add("aes256-aes128-sha256-sha384-sha512-esn-noesn");
    // Windows knows no better than SHA-1 here unless it is told to, and as HMAC it still stands.
    add("aes256-aes128-sha1-esn-noesn");
    if (legacy) add("3des-sha256-sha1-noesn");
  }
  return list;
}

namespace {

// The transform of `type` that both have, the first of ours.
const Transform* common(const Proposal& ours, const Proposal& theirs, TransformType type) {
  for (const Transform& transform : ours.transforms) {
    if (transform.type == type && is_supported(transform) && theirs.has(transform)) return &transform;
  }
  return nullptr;
}

bool has_type(const Proposal& proposal, TransformType type) { return proposal.find(type) != nullptr; }

// What a key exchange of both proposals may be, the best first. Empty: they do not meet.
ExchangeOptions exchange_options(const Proposal& ours, const Proposal& theirs, TransformType type,
                                 KeyExchangeRule rule) {
  ExchangeOptions options;
  for (const Transform& transform : ours.transforms) {
    if (transform.type == type && is_supported(transform) && theirs.has(transform)) options.emplace_back(transform);
  }
  if (!options.empty()) return options;
  const bool we = has_type(ours, type), they = has_type(theirs, type);
  const Transform none{type, id::kNoKeyExchange, 0};
  if (type == TransformType::kKeyExchange && rule == KeyExchangeRule::kOptional) {
    if (!they || theirs.has(none)) return {std::nullopt};
    if (we) return {};
    for (const Transform& transform : theirs.transforms) {
      if (transform.type == type && is_supported(transform) && !is_legacy(transform)) options.emplace_back(transform);
    }
    return options;
  }
  // "None" on one side meets nothing on the other.
  if ((!we && theirs.has(none)) || (!they && ours.has(none))) return {std::nullopt};
  return {};
}

bool choose_type(const Proposal& ours, const Proposal& theirs, TransformType type, Proposal& chosen) {
  const bool we = has_type(ours, type), they = has_type(theirs, type);
  if (!we && !they) return true;
  if (const Transform* found = common(ours, theirs, type)) {
    chosen.transforms.push_back(*found);
    return true;
  }
  const Transform none{type, 0, 0};
  // RFC 7296 section 3.3.2: integrity 0 beside an AEAD.
  if (type == TransformType::kIntegrity) return (!we && theirs.has(none)) || (!they && ours.has(none));
  // RFC 7296 section 3.3.2: ESN is mandatory in ESP, but some leave it out and mean "no".
  if (type == TransformType::kEsn && !they && ours.has({type, id::kNoEsn, 0})) {
    chosen.transforms.push_back({type, id::kNoEsn, 0});
    return true;
  }
  return false;
}

std::optional<Proposal> meet(const Proposal& ours, const Proposal& theirs, KeyExchangeRule rule) {
  if (ours.protocol != theirs.protocol) return std::nullopt;
  for (const Transform& transform : theirs.transforms) {
    const unsigned type = static_cast<unsigned>(transform.type);
    if (type == 0 || type >= kTypes) return std::nullopt;
  }
  Proposal chosen{ours.protocol, {}};
  std::vector<ExchangeOptions> exchanges;
  for (unsigned number = 1; number < kTypes; ++number) {
    const auto type = static_cast<TransformType>(number);
    if (is_exchange(type)) {
      const bool matters = rule != KeyExchangeRule::kIgnored && (has_type(ours, type) || has_type(theirs, type));
      if (matters) exchanges.push_back(exchange_options(ours, theirs, type, rule));
    } else if (!choose_type(ours, theirs, type, chosen)) {
      return std::nullopt;
    }
  }
  const auto picked = pick_distinct(exchanges);
  if (!picked) return std::nullopt;
  for (const auto& transform : *picked) {
    if (transform) chosen.transforms.push_back(*transform);
  }
  std::ranges::stable_sort(chosen.transforms, {}, &Transform::type);
  return chosen;
}

// Where in `ours` each transform stands: of two choices the one that is earlier there is the better one.
std::vector<std::size_t> rank_in(const Proposal& ours, const Proposal& chosen) {
  std::vector<std::size_t> ranks;
  for (const Transform& transform : chosen.transforms) {
    ranks.push_back(static_cast<std::size_t>(std::ranges::find(ours.transforms, transform) - ours.transforms.begin()));
  }
  return ranks;
}

}  // namespace

std::optional<Proposal> choose(std::span<const Proposal> ours, std::span<const Proposal> theirs, KeyExchangeRule rule,
                               std::size_t& index) {
  for (const Proposal& own : ours) {
    std::optional<Proposal> best;
    std::vector<std::size_t> best_rank;
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      auto chosen = meet(own, theirs[i], rule);
      if (!chosen) continue;
      auto rank = rank_in(own, *chosen);
      if (best && best_rank <= rank) continue;
      best = std::move(chosen);
      best_rank = std::move(rank);
      index = i;
    }
    if (best) return best;
  }
  return std::nullopt;
}

}  // namespace winze::ike
