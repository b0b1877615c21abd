#include "winze/proto/trojan/datagram.h"

#include <cstring>
#include <string_view>
#include <utility>

#include "winze/base/bytes.h"
#include "winze/proto/trojan/error.h"

namespace winze::trojan {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

}  // namespace

bool encode_datagram(Buffer& datagram, const Destination& peer) {
  const std::size_t size = datagram.size();
  if (size == 0 || size > kMaxDatagramSize || !socks::is_encodable(peer)) return false;
  std::memcpy(datagram.prepend(kLineEnd.size()), kLineEnd.data(), kLineEnd.size());
  store_u16(datagram.prepend(2), static_cast<std::uint16_t>(size));
  socks::prepend_address(peer, datagram);
  return true;
}

std::optional<std::span<const std::uint8_t>> decode_datagram(std::span<const std::uint8_t>& bytes, Destination& peer,
                                                             std::error_code& error) {
  for (;;) {
    Reader reader(bytes);
    Destination from;
    from.network = Network::kUdp;
    switch (socks::decode_address(reader, from)) {
      case socks::AddressResult::kMore:
        return std::nullopt;
      case socks::AddressResult::kUnknownType:
      case socks::AddressResult::kBadName:
        error = Errc::kBadAddress;
        return std::nullopt;
      case socks::AddressResult::kDone:
        break;
    }
    const std::size_t size = reader.u16();
    const std::string_view end = reader.text(kLineEnd.size());
    if (!reader.ok()) return std::nullopt;
    if (end != kLineEnd) {
      error = Errc::kBadDatagram;
      return std::nullopt;
    }
    const auto datagram = reader.bytes(size);
    if (!reader.ok()) return std::nullopt;
    bytes = bytes.subspan(reader.consumed());
    if (size == 0) continue;
    peer = std::move(from);
    return datagram;
  }
}

}  // namespace winze::trojan
