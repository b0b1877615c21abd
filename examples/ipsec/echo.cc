#include "echo.h"

#include <winze/base/bytes.h>
#include <winze/base/checksum.h>
#include <winze/proto/ip/header.h>

#include <algorithm>
#include <utility>

namespace ipsec_example {
namespace {

using namespace winze;

constexpr std::uint8_t kIcmp = 1, kIcmp6 = 58;
constexpr std::size_t kEchoHeader = 8;

std::uint8_t request_type(bool v6) { return v6 ? 128 : 8; }
std::uint8_t reply_type(bool v6) { return v6 ? 129 : 0; }

// Of an ICMP message that fills the packet behind its header; the addresses stand in it already.
void put_checksum(Buffer& packet, const ip::Header& header) {
  const auto message = packet.span().subspan(header.header_size, header.size - header.header_size);
  message[2] = message[3] = 0;
  InternetChecksum sum;
  if (header.v6) {
    sum.add(ip::source_bytes(packet.span())).add(ip::destination_bytes(packet.span()));
    sum.add_field(static_cast<std::uint16_t>(message.size())).add_field(kIcmp6);
  }
  sum.add(message).store(&message[2]);
}

// The header of an echo message of that type.
std::optional<ip::Header> echo_of(std::span<const std::uint8_t> packet, bool reply) {
  const auto header = ip::parse(packet);
  if (!header || header->is_fragment() || header->protocol != (header->v6 ? kIcmp6 : kIcmp)) return std::nullopt;
  if (header->size < header->header_size + kEchoHeader) return std::nullopt;
  const std::uint8_t type = reply ? reply_type(header->v6) : request_type(header->v6);
  return packet[header->header_size] == type ? header : std::nullopt;
}

}  // namespace

Buffer make_echo_request(const IpAddress& from, const IpAddress& to, std::uint16_t sequence, std::size_t size) {
  const bool v6 = from.is_v6();
  const std::size_t head = v6 ? 40 : 20, total = head + kEchoHeader + size;
  Buffer out(total + 128, 64);  // room for what a tunnel adds
  std::uint8_t* const bytes = out.append(total);
  std::fill_n(bytes, total, std::uint8_t{0});
  if (v6) {
    bytes[0] = 0x60;
    store_u16(bytes + 4, static_cast<std::uint16_t>(total - head));
    bytes[6] = kIcmp6;
    bytes[7] = 64;
  } else {
    bytes[0] = 0x45;
    store_u16(bytes + 2, static_cast<std::uint16_t>(total));
    bytes[8] = 64;
    bytes[9] = kIcmp;
  }
  std::ranges::copy(from.bytes(), bytes + (v6 ? 8 : 12));
  std::ranges::copy(to.bytes(), bytes + (v6 ? 24 : 16));
  if (!v6) InternetChecksum().add({bytes, head}).store(bytes + 10);
  bytes[head] = request_type(v6);
  store_u16(bytes + head + 6, sequence);
  for (std::size_t i = 0; i < size; ++i) bytes[head + kEchoHeader + i] = static_cast<std::uint8_t>(i);
  put_checksum(out, *ip::parse(out.span()));
  return out;
}

std::optional<std::uint16_t> echo_reply_of(const Buffer& packet) {
  const auto header = echo_of(packet.span(), true);
  return header ? std::optional(load_u16(packet.data() + header->header_size + 6)) : std::nullopt;
}

bool answer_echo(Buffer& packet) {
  const auto header = echo_of(std::as_const(packet).span(), false);
  if (!header) return false;
  const std::size_t at = header->v6 ? 8 : 12, size = header->v6 ? 16 : 4;
  std::swap_ranges(packet.data() + at, packet.data() + at + size, packet.data() + at + size);
  packet.data()[header->header_size] = reply_type(header->v6);
  put_checksum(packet, *header);
  return true;
}

}  // namespace ipsec_example
