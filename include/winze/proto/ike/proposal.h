// What two peers agree on: transforms, grouped into proposals, in lists with the best first (RFC 7296 section 3.3).
//
// A proposal is written as strongSwan's users know it, transforms joined by hyphens: "aes256gcm16-prfsha384-ecp384".
//
//   encryption    aes128 aes192 aes256 (CBC), aes256ctr, aes256gcm16 gcm12 gcm8 (also 128, 192), aes256ccm16 ... (ESP),
//                 chacha20poly1305, null (ESP), 3des (legacy)
//   integrity     sha1 sha256 sha384 sha512 aesxcbc aescmac; md5, sha256_96 (legacy)
//   prf           prfsha1 prfsha256 prfsha384 prfsha512 prfaesxcbc prfaescmac; prfmd5 (legacy)
//   key exchange  x25519 ecp256 ecp384 ecp521 modp2048 modp3072 modp4096 modp6144 modp8192; modp1536, modp1024
//   (legacy);
//                 mlkem768, mlkem1024; ke1_mlkem768 for a further exchange (RFC 9370), ke1_none for none
//   ESN           esn noesn (ESP)
//
// An IKE proposal that names no PRF takes those of its integrity algorithms; one of an AEAD has to name it. The key
// exchanges that are chosen differ from each other (RFC 9370 section 2.2.1), so a proposal has to leave a way to that.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace winze::ike {

enum class Protocol : std::uint8_t { kNone = 0, kIke = 1, kAh = 2, kEsp = 3 };

enum class TransformType : std::uint8_t {
  kEncryption = 1,
  kPrf = 2,
  kIntegrity = 3,
  kKeyExchange = 4,
  kEsn = 5,
  kAdditionalKeyExchange1 = 6,  // to 12: RFC 9370
  kAdditionalKeyExchange7 = 12,
};

struct Transform {
  TransformType type{};
  std::uint16_t id = 0;        // IANA's number of the type
  std::uint16_t key_bits = 0;  // 0: the algorithm has one size only

  friend bool operator==(const Transform&, const Transform&) = default;
};
// "aes256gcm16"; for what this library does not know, "encryption 26/256".
std::string to_string(const Transform& transform);

struct Proposal {
  Protocol protocol = Protocol::kIke;
  std::vector<Transform> transforms;  // of each type any number, the best first

  // Fails with a sentence that names what is unknown, missing, or legacy without `legacy`.
  static absl::StatusOr<Proposal> parse(Protocol protocol, std::string_view text, bool legacy = false);
  std::string to_string() const;

  // The first transform of a type; null when there is none.
  const Transform* find(TransformType type) const noexcept;
  bool has(const Transform& transform) const noexcept;

  friend bool operator==(const Proposal&, const Proposal&) = default;
};

using ProposalList = std::vector<Proposal>;

// Proposals parted by commas; "default" stands for default_proposals().
absl::StatusOr<ProposalList> parse_proposals(Protocol protocol, std::string_view text, bool legacy = false);
std::string to_string(std::span<const Proposal> proposals);

// Modern algorithms with authenticated encryption before the others; with `legacy` then those that Windows and old
// phones need: 3DES, groups 2 and 5.
ProposalList default_proposals(Protocol protocol, bool legacy = false);

// What choose() asks of the key exchange in a proposal for a child SA.
enum class KeyExchangeRule : std::uint8_t {
  kRequired,  // IKE SAs: as listed
  // Child SAs: a peer that offers none gets none, as Apple and Windows do not when they rekey; one that offers groups
  // where our list names none gets one that this library would choose itself.
  kOptional,
  kIgnored,  // the first child SA, which has the IKE SA's keys (RFC 7296 section 1.2)
};

// The first of `ours` that one of `theirs` meets, with one transform of each type: of several ways, the one that is
// earlier in ours. `index`: which of theirs it was.
// A proposal of theirs with a transform type that ours does not know is none we can take.
std::optional<Proposal> choose(std::span<const Proposal> ours, std::span<const Proposal> theirs, KeyExchangeRule rule,
                               std::size_t& index);

// Whether the transform may be used only where `legacy` allows it, and whether this build can use it at all.
bool is_legacy(const Transform& transform) noexcept;
bool is_supported(const Transform& transform) noexcept;

}  // namespace winze::ike
