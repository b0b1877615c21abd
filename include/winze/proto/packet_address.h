// Datagrams to and from any address in one request for UDP ("packetaddr" of v2fly v5 and sing-box): it names a host
// that is nobody's, and each datagram says whom it is for, or comes from. Addresses only; there are no names here.
//
//   u8 type (1 IPv4, 2 IPv6) | address | u16 port | payload
#pragma once

#include <string_view>

#include "winze/base/address.h"
#include "winze/base/buffer.h"

namespace winze {

inline constexpr std::string_view kPacketAddressHost = "sp.packet-addr.v2fly.arpa";
inline constexpr std::size_t kMaxPacketAddressSize = 1 + 16 + 2;

// What such a request asks for.
inline Destination packet_address_destination() { return Destination(kPacketAddressHost, 0, Network::kUdp); }
bool is_packet_address(const Destination& destination);

// Puts the address in front of a datagram. False, and nothing done, for a host name.
[[nodiscard]] bool encode_packet_address(const Destination& peer, Buffer& datagram);
// Takes it off. False for what is malformed.
[[nodiscard]] bool decode_packet_address(Buffer& datagram, Destination& peer);

}  // namespace winze
