#include "winze/proto/vless/datagram.h"

#include "winze/base/bytes.h"

namespace winze::vless {

bool encode_datagram(Buffer& datagram) {
  const std::size_t size = datagram.size();
  if (size == 0 || size > kMaxDatagramSize) return false;
  store_u16(datagram.prepend(2), static_cast<std::uint16_t>(size));
  return true;
}

std::optional<std::span<const std::uint8_t>> decode_datagram(std::span<const std::uint8_t>& bytes) {
  while (bytes.size() >= 2) {
    const std::size_t size = load_u16(bytes.data());
    if (bytes.size() - 2 < size) return std::nullopt;
    const auto datagram = bytes.subspan(2, size);
    bytes = bytes.subspan(2 + size);
    if (size != 0) return datagram;
  }
  return std::nullopt;
}

}  // namespace winze::vless
