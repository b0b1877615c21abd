#include "immutable.h"

#include <algorithm>
#include <cstring>

#include "winze/base/bytes.h"
#include "winze/proto/ip/header.h"

namespace winze::ah {
namespace {

constexpr std::uint8_t kEndOfOptions = 0;
constexpr std::uint8_t kNoOperation = 1;
constexpr std::uint8_t kLooseSourceRoute = 131;
constexpr std::uint8_t kStrictSourceRoute = 137;

// RFC 4302 appendix A1: those that nobody changes.
bool is_immutable_v4(std::uint8_t option) {
  constexpr std::uint8_t kKinds[] = {130, 133, 134, 148, 149};
  return std::ranges::find(kKinds, option) != std::end(kKinds);
}

bool make_immutable_v4(std::span<std::uint8_t> head) {
  std::uint8_t* const p = head.data();
  p[1] = 0;                  // DSCP, ECN
  std::memset(p + 6, 0, 3);  // flags, offset, TTL
  std::memset(p + 10, 0, 2);
  for (std::size_t at = ip::kIpv4HeaderSize; at < head.size();) {
    if (p[at] == kEndOfOptions) break;
    if (p[at] == kNoOperation) {
      ++at;
      continue;
    }
    if (at + 2 > head.size() || p[at + 1] < 2 || at + p[at + 1] > head.size()) return false;
    const std::size_t size = p[at + 1];
    if ((p[at] == kLooseSourceRoute || p[at] == kStrictSourceRoute) && size >= 7 && p[at + 2] <= size) {
      std::memcpy(p + 16, p + at + size - 4, 4);  // the last hop is the destination
    }
    if (!is_immutable_v4(p[at])) std::memset(p + at, 0, size);
    at += size;
  }
  return true;
}

// Options whose type says that they change en route keep type and length (RFC 8200 section 4.2).
bool blank_options(std::span<std::uint8_t> header) {
  for (std::size_t at = 2; at < header.size();) {
    if (header[at] == 0) {
      ++at;
      continue;
    }
    if (at + 2 > header.size() || at + 2 + header[at + 1] > header.size()) return false;
    if ((header[at] & 0x20) != 0) std::memset(header.data() + at + 2, 0, header[at + 1]);
    at += std::size_t{2} + header[at + 1];
  }
  return true;
}

// Types 0 and 2 (RFC 2460 section 4.4, RFC 6275 section 6.4): as they arrive at the last of the addresses.
bool follow_route(std::span<std::uint8_t> header, std::uint8_t* destination) {
  const std::size_t left = header[3];
  if (left == 0) return true;
  const std::size_t count = (header.size() - 8) / 16;
  if ((header[2] != 0 && header[2] != 2) || left > count) return false;
  std::uint8_t* const addresses = header.data() + 8;
  std::uint8_t last[16];
  std::memcpy(last, addresses + (count - 1) * 16, 16);
  std::uint8_t* const next = addresses + (count - left) * 16;
  std::memmove(next + 16, next, (left - 1) * 16);
  std::memcpy(next, destination, 16);
  std::memcpy(destination, last, 16);
  header[3] = 0;
  return true;
}

bool make_immutable_v6(std::span<std::uint8_t> head) {
  std::uint8_t* const p = head.data();
  store_u32(p, 0x60000000);  // traffic class, flow label
  p[7] = 0;
  std::uint8_t kind = p[6];
  for (std::size_t at = ip::kIpv6HeaderSize; at < head.size();) {
    const std::span<std::uint8_t> header = head.subspan(at, (std::size_t{p[at + 1]} + 1) * 8);
    if (kind == ip::kRouting ? !follow_route(header, p + 24) : !blank_options(header)) return false;
    kind = header[0];
    at += header.size();
  }
  return true;
}

}  // namespace

bool make_immutable(std::span<std::uint8_t> head) noexcept {
  return ip::version_of(head) == 4 ? make_immutable_v4(head) : make_immutable_v6(head);
}

}  // namespace winze::ah
