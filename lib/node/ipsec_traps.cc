#include "ipsec_traps.h"

#include <absl/status/status.h>

#include <algorithm>
#include <utility>

namespace winze::node {
namespace {

using Start = IpsecChild::Start;

// An attempt is given so long before traffic begins another.
constexpr Duration kPause{std::chrono::seconds(5)};

absl::Status invalid(const std::string& path, std::string_view what) {
  return absl::InvalidArgumentError(path + ": " + std::string(what));
}

absl::StatusOr<ip::SelectorPair> selectors_of(const IpsecConnection& connection, const IpsecChild& child) {
  ip::SelectorPair out;
  for (const IpsecSelector& local : child.local_ts) {
    if (local.dynamic && !connection.vips.empty()) {
      return invalid(child.path + ".start_action", "a trap does not go with vips: nothing is sent before there is one");
    }
    if (!local.dynamic) out.local.push_back(local.selector);
  }
  if (out.local.empty()) out.local = {ip::Selector::any(false), ip::Selector::any(true)};
  for (const IpsecSelector& remote : child.remote_ts) {
    if (!remote.dynamic) {
      out.remote.push_back(remote.selector);
      continue;
    }
    for (const std::string& text : connection.remote_addrs) {
      if (const auto address = IpAddress::parse(text)) {
        out.remote.push_back(ip::Selector::prefix(*address, address->is_v6() ? 128 : 32));
      }
    }
  }
  if (out.remote.empty())
    return invalid(child.path + ".remote_ts", "a trap needs to know the addresses behind the peer");
  return out;
}

}  // namespace

absl::StatusOr<const IpsecTraps::Trap*> IpsecTraps::add(const IpsecConnection& connection, const IpsecChild& child) {
  const bool known = std::ranges::any_of(
      traps_, [&](const Trap& trap) { return trap.connection == connection.name && trap.child == child.name; });
  if (known) return nullptr;
  auto selectors = selectors_of(connection, child);
  if (!selectors.ok()) return selectors.status();
  traps_.push_back({.connection = connection.name, .child = child.name, .selectors = std::move(*selectors)});
  return &traps_.back();
}

const IpsecTraps::Trap* IpsecTraps::spring(const ip::Flow& flow, TimePoint now) {
  for (Trap& trap : traps_) {
    if (!trap.selectors.covers_outbound(flow)) continue;
    if (trap.sprung != TimePoint{} && now < trap.sprung + kPause) return nullptr;
    trap.sprung = now;
    return &trap;
  }
  return nullptr;
}

void IpsecTraps::came_up(std::string_view connection, std::string_view child) {
  for (Trap& trap : traps_) {
    if (trap.connection == connection && trap.child == child) trap.sprung = {};
  }
}

Start after_end(const IpsecChild& child, bool lost, bool keep) {
  const auto& said = lost ? child.dpd_action : child.close_action;
  if (said) return *said;
  if (child.start_action == Start::kTrap) return Start::kTrap;
  return keep ? Start::kStart : Start::kNone;
}

Start after_end(const IpsecConnection& connection, bool lost, bool keep) {
  Start most = connection.children.empty() && keep ? Start::kStart : Start::kNone;
  for (const IpsecChild& child : connection.children) most = std::max(most, after_end(child, lost, keep));
  return most;
}

}  // namespace winze::node
