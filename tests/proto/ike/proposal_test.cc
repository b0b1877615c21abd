#include "winze/proto/ike/proposal.h"

#include <doctest/doctest.h>

#include <string>

namespace winze::ike {
namespace {

Proposal parsed(Protocol protocol, std::string_view text, bool legacy = false) {
  auto proposal = Proposal::parse(protocol, text, legacy);
  REQUIRE_MESSAGE(proposal.ok(), proposal.status().ToString());
  return *proposal;
}

TEST_CASE("ike proposals are read and printed as strongSwan's users know them") {
  struct Row {
    Protocol protocol;
    std::string_view text, printed;
  };
  const Row rows[] = {
      {Protocol::kIke, "aes256gcm16-prfsha384-ecp384", "aes256gcm16-prfsha384-ecp384"},
      {Protocol::kIke, "aes256gcm16-sha384-ecp384", "aes256gcm16-prfsha384-ecp384"},
      {Protocol::kIke, "aes128-sha256-modp3072", "aes128-prfsha256-sha256-modp3072"},
      {Protocol::kIke, "aes128gcm-prfsha256-curve25519", "aes128gcm16-prfsha256-x25519"},
      {Protocol::kIke, "x25519-aes256-aes-sha2_512", "aes256-aes128-prfsha512-sha512-x25519"},
      {Protocol::kIke, "aes256gcm16-prfsha256-x25519-ke1_ecp384-ke2_none",
       "aes256gcm16-prfsha256-x25519-ke1_ecp384-ke2_none"},
      {Protocol::kEsp, "aes256gcm16", "aes256gcm16-noesn"},
      {Protocol::kEsp, "aes128-sha1-modp2048-esn-noesn", "aes128-sha1-modp2048-esn-noesn"},
      {Protocol::kEsp, "null-sha256", "null-sha256-noesn"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const Proposal proposal = parsed(row.protocol, row.text);
    CHECK(proposal.to_string() == row.printed);
    CHECK(parsed(row.protocol, row.printed) == proposal);
  }
}

TEST_CASE("ike proposals that cannot be used are refused with the reason") {
  struct Row {
    Protocol protocol;
    std::string_view text, reason;
  };
  const Row rows[] = {
      {Protocol::kIke, "aes256gcm17-prfsha384-ecp384", "\"aes256gcm17\" is no transform"},
      {Protocol::kIke, "aes256gcm16-ecp384", "no PRF"},
      {Protocol::kIke, "aes256gcm16-prfsha256", "no key exchange"},
      {Protocol::kIke, "prfsha256-x25519", "no encryption"},
      {Protocol::kIke, "aes256-prfsha256-x25519", "no integrity"},
      {Protocol::kIke, "aes256-aes256gcm16-sha256-x25519", "need a proposal each"},
      {Protocol::kIke, "null-sha256-x25519", "no place in an IKE proposal"},
      {Protocol::kIke, "aes128-sha1-modp1024", "\"modp1024\" is legacy"},
      {Protocol::kEsp, "3des-sha1", "\"3des\" is legacy"},
      {Protocol::kEsp, "aes256gcm16-sha256", "an AEAD has no integrity"},
      {Protocol::kEsp, "", "\"\" is no transform"},
      {Protocol::kIke, "aes256gcm16-prfsha256-x25519-ke1_x25519", "have to differ"},
      {Protocol::kEsp, "aes256gcm16-x25519-ke1_ecp384-ke2_ecp384", "have to differ"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const auto proposal = Proposal::parse(row.protocol, row.text);
    REQUIRE(!proposal.ok());
    CHECK(std::string(proposal.status().message()).find(row.reason) != std::string::npos);
  }
  CHECK(Proposal::parse(Protocol::kIke, "aes128-sha1-modp1024", true).ok());
}

TEST_CASE("ike proposal lists") {
  auto list = parse_proposals(Protocol::kEsp, "aes128gcm16-ecp256, default");
  REQUIRE(list.ok());
  CHECK(list->size() == 1 + default_proposals(Protocol::kEsp).size());
  CHECK(to_string(std::span(*list).first(1)) == "aes128gcm16-ecp256-noesn");
  CHECK(!parse_proposals(Protocol::kEsp, "aes128gcm16,").ok());
  for (const bool legacy : {false, true}) {
    for (const Protocol protocol : {Protocol::kIke, Protocol::kEsp}) {
      for (const Proposal& proposal : default_proposals(protocol, legacy)) CHECK(!proposal.transforms.empty());
    }
  }
}

// What is chosen of two lists, as text; "" for nothing.
std::string chosen(Protocol protocol, std::string_view ours, std::string_view theirs, KeyExchangeRule rule) {
  auto a = parse_proposals(protocol, ours, true), b = parse_proposals(protocol, theirs, true);
  REQUIRE(a.ok());
  REQUIRE(b.ok());
  std::size_t index = 0;
  const auto found = choose(*a, *b, rule, index);
  return found ? found->to_string() : "";
}

TEST_CASE("ike proposals: the first of ours that the peer has") {
  struct Row {
    Protocol protocol;
    std::string_view ours, theirs;
    KeyExchangeRule rule;
    std::string_view result;
  };
  constexpr auto kRequired = KeyExchangeRule::kRequired;
  constexpr auto kOptional = KeyExchangeRule::kOptional;
  constexpr auto kIgnored = KeyExchangeRule::kIgnored;
  const Row rows[] = {
      {Protocol::kIke, "aes256gcm16-aes128gcm16-prfsha256-x25519-ecp256", "aes128gcm16-prfsha256-ecp256-x25519",
       kRequired, "aes128gcm16-prfsha256-x25519"},
      {Protocol::kIke, "aes256-sha256-x25519, aes128-sha1-modp1024", "aes128-sha1-modp1024, aes256-sha256-x25519",
       kRequired, "aes256-prfsha256-sha256-x25519"},
      {Protocol::kIke, "aes256-sha256-x25519", "aes256-sha256-ecp256", kRequired, ""},
      {Protocol::kIke, "aes256-sha256-x25519", "aes128-sha256-x25519", kRequired, ""},
      // RFC 9370: a further exchange that one side alone wants; "none" makes it optional.
      {Protocol::kIke, "aes256-sha256-x25519", "aes256-sha256-x25519-ke1_ecp384", kRequired, ""},
      {Protocol::kIke, "aes256-sha256-x25519", "aes256-sha256-x25519-ke1_ecp384-ke1_none", kRequired,
       "aes256-prfsha256-sha256-x25519"},
      {Protocol::kIke, "aes256-sha256-x25519-ke1_ecp384", "aes256-sha256-x25519", kRequired, ""},
      // And none is taken twice, whatever stands first in the lists; the better one goes where it is asked for first.
      {Protocol::kIke, "aes256-sha256-x25519-ke1_x25519-ke1_ecp384", "aes256-sha256-x25519-ke1_ecp384-ke1_x25519",
       kRequired, "aes256-prfsha256-sha256-x25519-ke1_ecp384"},
      {Protocol::kIke, "aes256-sha256-x25519-ecp256-ke1_x25519", "aes256-sha256-x25519-ecp256-ke1_x25519", kRequired,
       "aes256-prfsha256-sha256-ecp256-ke1_x25519"},
      {Protocol::kIke, "aes256-sha256-x25519-ecp256-ke1_x25519-ke1_ecp256-ke2_ecp384-ke2_ecp256",
       "aes256-sha256-x25519-ecp256-ke1_x25519-ke1_ecp256-ke2_ecp256-ke2_modp2048", kRequired, ""},
      {Protocol::kIke, "aes256-sha256-x25519-ecp256-ke1_x25519-ke1_ecp256",
       "aes256-sha256-x25519-ke1_ecp256-ke1_x25519", kRequired, "aes256-prfsha256-sha256-x25519-ke1_ecp256"},
      {Protocol::kIke, "aes256-sha256-x25519-ke1_ecp384-ke2_ecp256-ke2_none",
       "aes256-sha256-x25519-ke1_ecp384-ke2_ecp384-ke2_none", kRequired,
       "aes256-prfsha256-sha256-x25519-ke1_ecp384-ke2_none"},
      {Protocol::kEsp, "aes256gcm16-x25519-ecp256-ke1_x25519", "aes256gcm16-x25519-ecp256-ke1_x25519", kOptional,
       "aes256gcm16-ecp256-noesn-ke1_x25519"},
      {Protocol::kEsp, "aes256gcm16-x25519", "aes256gcm16", kIgnored, "aes256gcm16-noesn"},
      // A rekey without Diffie-Hellman (Apple, Windows), and one with it where our list has none.
      {Protocol::kEsp, "aes256gcm16-x25519", "aes256gcm16", kOptional, "aes256gcm16-noesn"},
      {Protocol::kEsp, "aes256gcm16", "aes256gcm16-modp1024-ecp256", kOptional, "aes256gcm16-ecp256-noesn"},
      {Protocol::kEsp, "aes256gcm16", "aes256gcm16-modp1024", kOptional, ""},
      {Protocol::kEsp, "aes256gcm16-x25519", "aes256gcm16-ecp256", kOptional, ""},
      {Protocol::kEsp, "aes256gcm16-esn-noesn", "aes256gcm16-noesn", kIgnored, "aes256gcm16-noesn"},
      {Protocol::kEsp, "aes256gcm16-esn", "aes256gcm16-noesn", kIgnored, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.ours);
    CAPTURE(row.theirs);
    CHECK(chosen(row.protocol, row.ours, row.theirs, row.rule) == row.result);
  }
}

TEST_CASE("ike proposals of a peer that are odd but legal choose nothing, and harm nothing") {
  const ProposalList ours = default_proposals(Protocol::kIke, true);
  const Proposal good = ours.front();
  for (unsigned type = 0; type < 256; ++type) {
    for (const unsigned key_bits : {0u, 1u, 65535u}) {
      Proposal odd = good;
      odd.transforms.push_back({static_cast<TransformType>(type), 0x7777, static_cast<std::uint16_t>(key_bits)});
      std::size_t index = 0;
      const ProposalList theirs{odd};
      const auto found = choose(ours, theirs, KeyExchangeRule::kRequired, index);
      // A further choice within a known type is passed over; a type of its own cannot be met.
      CHECK(found.has_value() == (type >= 1 && type <= 4 && type != 3));
    }
  }
  for (const TransformType missing : {TransformType::kEncryption, TransformType::kPrf, TransformType::kKeyExchange}) {
    Proposal odd = good;
    std::erase_if(odd.transforms, [&](const Transform& t) { return t.type == missing; });
    std::size_t index = 0;
    const ProposalList theirs{odd};
    CHECK(!choose(ours, theirs, KeyExchangeRule::kRequired, index));
  }
}

}  // namespace
}  // namespace winze::ike
