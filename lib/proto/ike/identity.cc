#include "winze/proto/ike/identity.h"

#include <algorithm>
#include <array>
#include <utility>

#include "winze/base/ascii.h"
#include "winze/base/bytes.h"
#include "winze/crypto/certificate.h"

namespace winze::ike {
namespace {

bool same_text(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::vector<std::uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

// --- Distinguished names: SEQUENCE of SET of SEQUENCE { type, value } (X.501), as text "C=CH, O=Example, CN=gw".

struct AttributeRow {
  std::string_view name;
  std::string_view oid;  // DER content
};
constexpr AttributeRow kAttributes[] = {
    {"CN", "\x55\x04\x03"},
    {"SN", "\x55\x04\x05"},
    {"C", "\x55\x04\x06"},
    {"L", "\x55\x04\x07"},
    {"ST", "\x55\x04\x08"},
    {"STREET", "\x55\x04\x09"},
    {"O", "\x55\x04\x0a"},
    {"OU", "\x55\x04\x0b"},
    {"T", "\x55\x04\x0c"},
    {"D", "\x55\x04\x0d"},
    {"N", "\x55\x04\x29"},
    {"G", "\x55\x04\x2a"},
    {"S", "\x55\x04\x04"},
    {"I", "\x55\x04\x2b"},
    {"E", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"},
    {"emailAddress", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"},
    {"UID", "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01"},
    {"DC", "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"},
};
constexpr std::uint8_t kSequence = 0x30, kSet = 0x31, kObjectId = 0x06, kUtf8 = 0x0c, kPrintable = 0x13, kIa5 = 0x16;

void append_tlv(std::vector<std::uint8_t>& out, std::uint8_t tag, std::span<const std::uint8_t> content) {
  out.push_back(tag);
  const std::size_t size = content.size();
  if (size >= 256) {
    out.insert(out.end(), {0x82, static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)});
  } else if (size >= 128) {
    out.insert(out.end(), {0x81, static_cast<std::uint8_t>(size)});
  } else {
    out.push_back(static_cast<std::uint8_t>(size));
  }
  out.insert(out.end(), content.begin(), content.end());
}

std::optional<std::span<const std::uint8_t>> read_tlv(Reader& in, std::uint8_t& tag) {
  tag = in.u8();
  std::size_t size = in.u8();
  if (size == 0x81) {
    size = in.u8();
  } else if (size == 0x82) {
    size = in.u16();
  } else if (size > 0x80) {
    return std::nullopt;
  }
  const auto content = in.bytes(size);
  if (!in.ok()) return std::nullopt;
  return content;
}

bool is_printable(std::string_view value) {
  return std::ranges::all_of(value, [](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
           std::string_view(" '()+,-./:=?").find(c) != std::string_view::npos;
  });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::optional<std::vector<std::uint8_t>> encode_name(std::string_view text) {
  const char separator = text.starts_with('/') ? '/' : ',';
  if (separator == '/') text.remove_prefix(1);
  std::vector<std::uint8_t> content;
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    const std::string_view part = trimmed(text.substr(0, end));
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view name = trimmed(part.substr(0, equals)), value = trimmed(part.substr(equals + 1));
    const auto row = std::ranges::find_if(kAttributes, [&](const AttributeRow& r) { return same_text(r.name, name); });
    if (row == std::end(kAttributes) || value.size() > 1024) return std::nullopt;
    std::vector<std::uint8_t> pair, sequence, set;
    append_tlv(pair, kObjectId, as_bytes(row->oid));
    const bool ia5 = row->name == "E" || row->name == "emailAddress" || row->name == "DC";
    append_tlv(pair, ia5 ? kIa5 : is_printable(value) ? kPrintable : kUtf8, as_bytes(value));
    append_tlv(sequence, kSequence, pair);
    append_tlv(set, kSet, sequence);
    content.insert(content.end(), set.begin(), set.end());
    if (content.size() > 16384) return std::nullopt;
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  if (content.empty()) return std::nullopt;
  std::vector<std::uint8_t> out;
  append_tlv(out, kSequence, content);
  return out;
}

struct Attribute {
  std::string_view oid, value;
};
// False for what is no name of the plain form.
bool decode_name(std::span<const std::uint8_t> der, std::vector<Attribute>& attributes) {
  Reader outer(der);
  std::uint8_t tag = 0;
  const auto sets = read_tlv(outer, tag);
  if (!sets || tag != kSequence || outer.remaining() != 0) return false;
  Reader in(*sets);
  while (in.remaining() != 0) {
    const auto set = read_tlv(in, tag);
    if (!set || tag != kSet) return false;
    Reader members(*set);
    while (members.remaining() != 0) {
      const auto pair = read_tlv(members, tag);
      if (!pair || tag != kSequence) return false;
      Reader fields(*pair);
      const auto oid = read_tlv(fields, tag);
      if (!oid || tag != kObjectId) return false;
      const auto value = read_tlv(fields, tag);
      if (!value) return false;
      attributes.push_back({as_text(*oid), as_text(*value)});
    }
  }
  return true;
}

std::string name_text(std::span<const std::uint8_t> der) {
  std::vector<Attribute> attributes;
  if (!decode_name(der, attributes)) return "(malformed name)";
  std::string text;
  for (const Attribute& attribute : attributes) {
    const auto row = std::ranges::find(kAttributes, attribute.oid, &AttributeRow::oid);
    if (!text.empty()) text += ", ";
    text += row == std::end(kAttributes) ? "?" : row->name;
    text += '=';
    text += attribute.value;
  }
  return text;
}

// Attribute by attribute, letters whatever their case; "*" on the left takes any value.
bool names_match(std::span<const std::uint8_t> pattern, std::span<const std::uint8_t> name) {
  std::vector<Attribute> a, b;
  if (!decode_name(pattern, a) || !decode_name(name, b)) return std::ranges::equal(pattern, name);
  return std::ranges::equal(a, b, [](const Attribute& x, const Attribute& y) {
    return x.oid == y.oid && (x.value == "*" || same_text(x.value, y.value));
  });
}

std::string hex_text(std::span<const std::uint8_t> bytes) {
  std::string text = "@#";
  for (const std::uint8_t b : bytes) {
    text += "0123456789abcdef"[b >> 4];
    text += "0123456789abcdef"[b & 15];
  }
  return text;
}

bool is_plain(std::span<const std::uint8_t> bytes) {
  return !bytes.empty() && std::ranges::all_of(bytes, [](std::uint8_t b) { return b >= 0x20 && b < 0x7f; });
}

}  // namespace

std::optional<NameKind> name_kind_of(IdentityType type) {
  switch (type) {
    case IdentityType::kFqdn:
      return NameKind::kDns;
    case IdentityType::kEmail:
      return NameKind::kEmail;
    case IdentityType::kIpv4:
    case IdentityType::kIpv6:
      return NameKind::kAddress;
    case IdentityType::kDistinguishedName:
      return NameKind::kDistinguished;
    default:
      return std::nullopt;
  }
}

Identity Identity::of(const IpAddress& address) {
  const auto bytes = address.bytes();
  return {address.is_v4() ? IdentityType::kIpv4 : IdentityType::kIpv6, {bytes.begin(), bytes.end()}};
}

Identity Identity::parse(std::string_view text) {
  if (const auto address = IpAddress::parse(text)) return of(*address);
  if (text.starts_with("@#")) {
    std::vector<std::uint8_t> bytes;
    int high = -1;
    bool ok = true;
    for (const char c : text.substr(2)) {
      const int digit = hex_digit(c);
      ok = ok && digit >= 0;
      if (high < 0) {
        high = digit;
      } else {
        bytes.push_back(static_cast<std::uint8_t>(high << 4 | digit));
        high = -1;
      }
    }
    if (ok && high < 0) return {IdentityType::kKeyId, std::move(bytes)};
  }
  if (text.starts_with('@')) return {IdentityType::kFqdn, bytes_of(text.substr(1))};
  if (text.find('=') != std::string_view::npos) {
    if (auto name = encode_name(text)) return {IdentityType::kDistinguishedName, *std::move(name)};
    return {IdentityType::kKeyId, bytes_of(text)};
  }
  if (text.find('@') != std::string_view::npos) return {IdentityType::kEmail, bytes_of(text)};
  if (!text.empty() && text.find(' ') == std::string_view::npos) return {IdentityType::kFqdn, bytes_of(text)};
  return {IdentityType::kKeyId, bytes_of(text)};
}

std::string Identity::to_string() const {
  const std::span<const std::uint8_t> all = bytes;
  switch (type) {
    case IdentityType::kIpv4:
      if (all.size() == 4) return IpAddress::v4(all.first<4>()).to_string();
      break;
    case IdentityType::kIpv6:
      if (all.size() == 16) return IpAddress::v6(all.first<16>()).to_string();
      break;
    case IdentityType::kFqdn:
    case IdentityType::kEmail:
      if (is_plain(all)) return std::string(as_text(all));
      break;
    case IdentityType::kDistinguishedName:
      return name_text(all);
    case IdentityType::kGeneralName:
    case IdentityType::kKeyId:
      break;
  }
  return hex_text(all);
}

IdentityPattern::IdentityPattern(std::string_view text) {
  if (text.empty() || text == "%any" || text == "*") return;
  identity_ = Identity::parse(text);
  const bool name = identity_->type == IdentityType::kDistinguishedName;
  wildcard_ = name ? text.find('*') != std::string_view::npos : text.starts_with('*');
}

bool IdentityPattern::matches(const Identity& identity) const noexcept {
  if (!identity_) return true;
  if (identity_->type != identity.type) return false;
  switch (identity.type) {
    case IdentityType::kDistinguishedName:
      return names_match(identity_->bytes, identity.bytes);
    case IdentityType::kFqdn:
    case IdentityType::kEmail: {
      const std::string_view pattern = as_text(identity_->bytes), text = as_text(identity.bytes);
      if (!wildcard_) return same_text(pattern, text);
      const std::string_view end = pattern.substr(1);
      return text.size() > end.size() && same_text(text.substr(text.size() - end.size()), end);
    }
    default:
      return identity_->bytes == identity.bytes;
  }
}

std::string IdentityPattern::to_string() const { return identity_ ? identity_->to_string() : "%any"; }

}  // namespace winze::ike
