#include "winze/proto/socks/address.h"

#include <cstring>

#include "winze/proto/host_name.h"

namespace winze::socks {
namespace {

AddressResult decode_name(std::string_view text, Destination& out) {
  Destination decoded(text, 0);
  if (decoded.is_name() && !is_host_name(text)) return AddressResult::kBadName;
  out.host = std::move(decoded.host);
  return AddressResult::kDone;
}

}  // namespace

bool is_encodable(const Destination& destination) noexcept {
  const std::string* name = destination.name();
  return name == nullptr || (!name->empty() && name->size() <= 255);
}

void encode_address(const Destination& destination, Writer& out) {
  if (const std::string* name = destination.name()) {
    out.u8(kAtypName);
    out.u8(static_cast<std::uint8_t>(name->size()));
    out.text(*name);
  } else {
    const IpAddress& address = *destination.address();
    out.u8(address.is_v4() ? kAtypV4 : kAtypV6);
    out.bytes(address.bytes());
  }
  out.u16(destination.port);
}

void prepend_address(const Destination& destination, Buffer& data) {
  const auto put = [&](std::uint8_t type, std::span<const std::uint8_t> host, bool with_size) {
    store_u16(data.prepend(2), destination.port);
    std::memcpy(data.prepend(host.size()), host.data(), host.size());
    if (with_size) *data.prepend(1) = static_cast<std::uint8_t>(host.size());
    *data.prepend(1) = type;
  };
  if (const IpAddress* address = destination.address()) {
    put(address->is_v4() ? kAtypV4 : kAtypV6, address->bytes(), false);
  } else {
    put(kAtypName, as_bytes(*destination.name()), true);
  }
}

AddressResult decode_address(Reader& in, Destination& out) {
  if (in.remaining() == 0) return AddressResult::kMore;
  AddressResult result = AddressResult::kDone;
  switch (in.u8()) {
    case kAtypV4: {
      const auto bytes = in.bytes(4);
      if (in.ok()) out.host = IpAddress::v4(bytes.first<4>());
      break;
    }
    case kAtypV6: {
      const auto bytes = in.bytes(16);
      if (in.ok()) out.host = IpAddress::v6(bytes.first<16>());
      break;
    }
    case kAtypName: {
      const std::string_view name = in.text(in.u8());
      if (in.ok()) result = decode_name(name, out);
      break;
    }
    default:
      return AddressResult::kUnknownType;
  }
  out.port = in.u16();
  return in.ok() ? result : AddressResult::kMore;
}

Drop open_datagram(Buffer& datagram, Destination& peer) {
  Reader in(datagram.span());
  in.skip(2);
  const std::uint8_t fragment = in.u8();
  Destination decoded;
  decoded.network = Network::kUdp;
  if (decode_address(in, decoded) != AddressResult::kDone) return Drop::kMalformed;
  if (fragment != 0) return Drop::kFragment;
  if (in.remaining() == 0) return Drop::kEmpty;
  datagram.trim_front(in.consumed());
  peer = std::move(decoded);
  return Drop::kNone;
}

bool seal_datagram(Buffer& datagram, const Destination& peer) {
  if (!is_encodable(peer)) return false;
  prepend_address(peer, datagram);
  std::memset(datagram.prepend(3), 0, 3);
  return true;
}

}  // namespace winze::socks
