#include "winze/proto/port_address.h"

#include <algorithm>

namespace winze {
namespace {

enum Type : std::uint8_t { kIpv4 = 1, kName = 2, kIpv6 = 3 };

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, is_name_character);
}

PortAddressError decode_name(Reader& in, std::uint16_t port, Destination& out) {
  const std::string_view text = in.text(in.u8());
  if (!in.ok()) return PortAddressError::kShort;
  // Some clients send an address as text; Destination makes an address of it.
  Destination decoded(text, port, out.network);
  if (decoded.is_name() && !is_name(text)) return PortAddressError::kBadName;
  out = std::move(decoded);
  return PortAddressError::kNone;
}

}  // namespace

bool encode_port_address(const Destination& destination, Buffer& out) {
  if (destination.is_name() && !is_name(*destination.name())) return false;
  Writer writer(out);
  writer.u16(destination.port);
  if (const std::string* name = destination.name()) {
    writer.u8(kName);
    writer.u8(static_cast<std::uint8_t>(name->size()));
    writer.text(*name);
  } else {
    writer.u8(destination.address()->is_v4() ? kIpv4 : kIpv6);
    writer.bytes(destination.address()->bytes());
  }
  return true;
}

PortAddressError decode_port_address(Reader& in, Destination& out) {
  const std::uint16_t port = in.u16();
  const std::uint8_t type = in.u8();
  if (!in.ok()) return PortAddressError::kShort;
  if (type == kName) return decode_name(in, port, out);
  if (type != kIpv4 && type != kIpv6) return PortAddressError::kUnknownType;
  const auto bytes = in.bytes(type == kIpv4 ? 4 : 16);
  if (!in.ok()) return PortAddressError::kShort;
  out = Destination(type == kIpv4 ? IpAddress::v4(bytes.first<4>()) : IpAddress::v6(bytes.first<16>()), port,
                    out.network);
  return PortAddressError::kNone;
}

}  // namespace winze
