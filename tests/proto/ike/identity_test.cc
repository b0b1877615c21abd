#include "winze/proto/ike/identity.h"

#include <doctest/doctest.h>

namespace winze::ike {
namespace {

TEST_CASE("ike identities are told apart by how they are written") {
  struct Row {
    std::string_view text;
    IdentityType type;
    std::string_view printed;
  };
  const Row rows[] = {
      {"192.0.2.1", IdentityType::kIpv4, "192.0.2.1"},
      {"2001:db8::1", IdentityType::kIpv6, "2001:db8::1"},
      {"gw.example.org", IdentityType::kFqdn, "gw.example.org"},
      {"@gw", IdentityType::kFqdn, "gw"},
      {"carol@example.org", IdentityType::kEmail, "carol@example.org"},
      {"@#0aFF", IdentityType::kKeyId, "@#0aff"},
      {"two words", IdentityType::kKeyId, "@#74776f20776f726473"},
      {"C=CH, O=Linux strongSwan, CN=moon.strongswan.org", IdentityType::kDistinguishedName,
       "C=CH, O=Linux strongSwan, CN=moon.strongswan.org"},
      {"/C=CH/CN=a", IdentityType::kDistinguishedName, "C=CH, CN=a"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const Identity identity = Identity::parse(row.text);
    CHECK(identity.type == row.type);
    CHECK(identity.to_string() == row.printed);
  }
}

TEST_CASE("ike identity patterns") {
  struct Row {
    std::string_view pattern, identity;
    bool matches;
  };
  const Row rows[] = {
      {"%any", "anyone", true},
      {"gw.example.org", "GW.example.org", true},
      {"gw.example.org", "gw.example.com", false},
      {"*.example.org", "a.example.org", true},
      {"*.example.org", "example.org", false},
      {"*.example.org", ".example.org", false},
      {"*@example.org", "carol@EXAMPLE.org", true},
      {"*@example.org", "carol.example.org", false},
      {"192.0.2.1", "192.0.2.1", true},
      {"192.0.2.1", "192.0.2.2", false},
      {"C=CH, O=*, CN=*", "C=CH, O=Linux, CN=moon", true},
      {"C=CH, O=Linux, CN=moon", "C=ch, O=LINUX, CN=moon", true},
      {"C=CH, O=*, CN=*", "C=CH, CN=moon", false},
      {"C=CH, CN=moon", "C=CH, CN=sun", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pattern);
    CAPTURE(row.identity);
    CHECK(IdentityPattern(row.pattern).matches(Identity::parse(row.identity)) == row.matches);
  }
  CHECK(IdentityPattern("gw.example.org").exact() != nullptr);
  CHECK(IdentityPattern("*.example.org").exact() == nullptr);
  CHECK(IdentityPattern().exact() == nullptr);
  // Bytes that are no name match only themselves.
  const Identity broken{IdentityType::kDistinguishedName, {0x30, 0x84, 1, 2}};
  CHECK(!IdentityPattern("C=CH, O=*, CN=*").matches(broken));
  CHECK(broken.to_string() == "(malformed name)");
}

}  // namespace
}  // namespace winze::ike
