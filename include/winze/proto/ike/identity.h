// Who a peer says it is (RFC 7296 section 3.5), and patterns of whom we take.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/address.h"

namespace winze {
enum class NameKind : std::uint8_t;
}

namespace winze::ike {

enum class IdentityType : std::uint8_t {
  kIpv4 = 1,
  kFqdn = 2,
  kEmail = 3,
  kIpv6 = 5,
  kDistinguishedName = 9,  // DER of an X.501 Name
  kGeneralName = 10,
  kKeyId = 11,
};

// The names in certificates that say the same; none for key ids.
std::optional<NameKind> name_kind_of(IdentityType type);

struct Identity {
  IdentityType type = IdentityType::kKeyId;
  std::vector<std::uint8_t> bytes;

  // As in swanctl.conf: "192.0.2.1" and "2001:db8::1" are addresses, "a@example.org" an email address, "gw.example.org"
  // and "@gw.example.org" names, "@#0a0b0c" a key id in hex, "C=CH, O=Example, CN=gw" a distinguished name; anything
  // else is a key id.
  static Identity parse(std::string_view text);
  static Identity of(const IpAddress& address);
  // The same text back, where the bytes have one.
  std::string to_string() const;

  friend auto operator<=>(const Identity&, const Identity&) = default;
};

// "%any" for everyone; "*.example.org", "*@example.org": all that end so; "C=CH, O=*, CN=*": all with any value there;
// else one identity. Letters of names and email addresses match whatever their case is.
class IdentityPattern {
 public:
  IdentityPattern() = default;  // everyone
  explicit IdentityPattern(std::string_view text);

  bool matches(const Identity& identity) const noexcept;
  bool any() const noexcept { return !identity_; }
  // The identity where the pattern names exactly one, to be asked of a peer (IDr).
  const Identity* exact() const noexcept { return identity_ && !wildcard_ ? &*identity_ : nullptr; }
  std::string to_string() const;

 private:
  std::optional<Identity> identity_;
  bool wildcard_ = false;
};

}  // namespace winze::ike
