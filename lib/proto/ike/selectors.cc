#include "selectors.h"

#include <algorithm>
#include <optional>

namespace winze::ike {
namespace {

constexpr std::size_t kMost = 255;  // a TS payload holds no more

std::optional<ip::Selector> common(const ip::Selector& a, const ip::Selector& b) {
  if (a.first.is_v4() != b.first.is_v4()) return std::nullopt;
  if (a.protocol != b.protocol && a.protocol != ip::Selector::kAnyProtocol &&
      b.protocol != ip::Selector::kAnyProtocol) {
    return std::nullopt;
  }
  ip::Selector both;
  both.first = std::max(a.first, b.first);
  both.last = std::min(a.last, b.last);
  both.protocol = a.protocol == ip::Selector::kAnyProtocol ? b.protocol : a.protocol;
  both.first_port = std::max(a.first_port, b.first_port);
  both.last_port = std::min(a.last_port, b.last_port);
  if (both.first > both.last || both.first_port > both.last_port) return std::nullopt;
  return both;
}

}  // namespace

Selectors intersect(std::span<const ip::Selector> a, std::span<const ip::Selector> b) {
  Selectors result;
  for (const ip::Selector& x : a) {
    for (const ip::Selector& y : b) {
      const auto both = common(x, y);
      if (!both || covers(result, {&*both, 1})) continue;
      std::erase_if(result, [&](const ip::Selector& known) { return covers({&*both, 1}, {&known, 1}); });
      if (result.size() < kMost) result.push_back(*both);
    }
  }
  return result;
}

bool covers(std::span<const ip::Selector> all, std::span<const ip::Selector> some) {
  return std::ranges::all_of(some, [&](const ip::Selector& one) {
    return std::ranges::any_of(all, [&](const ip::Selector& wide) { return common(wide, one) == one; });
  });
}

ip::SelectorPair first_pair(const ip::SelectorPair& all) {
  for (ip::Selector local : all.local) {
    for (ip::Selector remote : all.remote) {
      if (local.first.is_v4() != remote.first.is_v4()) continue;
      local.last = local.first;
      remote.last = remote.first;
      return {{local}, {remote}};
    }
  }
  return all;
}

Selectors resolve(const Traffic& traffic, std::span<const IpAddress> addresses) {
  Selectors result = traffic.selectors;
  if (!traffic.dynamic) return result;
  for (const IpAddress& address : addresses)
    result.push_back(ip::Selector::prefix(address, address.is_v4() ? 32 : 128));
  return result;
}

}  // namespace winze::ike
