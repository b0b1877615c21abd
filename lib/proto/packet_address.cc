#include "winze/proto/packet_address.h"

#include <algorithm>

#include "winze/base/bytes.h"

namespace winze {
namespace {

enum Type : std::uint8_t { kIpv4 = 1, kIpv6 = 2 };

}  // namespace

bool is_packet_address(const Destination& destination) {
  return destination.network == Network::kUdp && destination.is_name() && *destination.name() == kPacketAddressHost;
}

bool encode_packet_address(const Destination& peer, Buffer& datagram) {
  const IpAddress* address = peer.address();
  if (address == nullptr) return false;
  const auto bytes = address->bytes();
  std::uint8_t* at = datagram.prepend(1 + bytes.size() + 2);
  *at++ = address->is_v4() ? kIpv4 : kIpv6;
  at = std::ranges::copy(bytes, at).out;
  store_u16(at, peer.port);
  return true;
}

bool decode_packet_address(Buffer& datagram, Destination& peer) {
  Reader reader(datagram.span());
  const std::uint8_t type = reader.u8();
  if (type != kIpv4 && type != kIpv6) return false;
  const auto bytes = reader.bytes(type == kIpv4 ? 4 : 16);
  const std::uint16_t port = reader.u16();
  if (!reader.ok()) return false;
  peer = Destination(type == kIpv4 ? IpAddress::v4(bytes.first<4>()) : IpAddress::v6(bytes.first<16>()), port,
                     Network::kUdp);
  datagram.trim_front(reader.consumed());
  return true;
}

}  // namespace winze
