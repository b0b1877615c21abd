#include "redirect.h"

#include <algorithm>

namespace winze::ike {
namespace {

constexpr std::uint8_t kIpv4 = 1, kIpv6 = 2, kFqdn = 3;
constexpr std::size_t kLongestName = 253;

bool is_name_character(std::uint8_t c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.';
}

}  // namespace

std::vector<std::uint8_t> encode_gateway(const Gateway& gateway, Bytes nonce) {
  const Bytes who = gateway.name.empty() ? gateway.address.bytes() : as_bytes(gateway.name);
  const std::size_t size = std::min<std::size_t>(who.size(), 255);
  std::vector<std::uint8_t> out(2 + size + nonce.size());
  out[0] = !gateway.name.empty() ? kFqdn : gateway.address.is_v4() ? kIpv4 : kIpv6;
  out[1] = static_cast<std::uint8_t>(size);
  std::ranges::copy(nonce, std::ranges::copy(who.first(size), out.begin() + 2).out);
  return out;
}

std::optional<RedirectView> decode_gateway(Bytes data) {
  Reader in(data);
  const std::uint8_t type = in.u8();
  const std::size_t size = in.u8();
  const Bytes who = in.bytes(size);
  if (!in.ok()) return std::nullopt;
  RedirectView view{{}, in.rest()};
  if (type == kIpv4 && size == 4) {
    view.gateway.address = IpAddress::v4(who.first<4>());
  } else if (type == kIpv6 && size == 16) {
    view.gateway.address = IpAddress::v6(who.first<16>());
  } else if (type == kFqdn && size != 0 && size <= kLongestName && std::ranges::all_of(who, is_name_character)) {
    view.gateway.name = as_text(who);
  } else {
    return std::nullopt;
  }
  return view;
}

}  // namespace winze::ike
