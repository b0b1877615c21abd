#include "winze/tunnel/tun_network.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>
#include <variant>

namespace winze::tunnel {
namespace {

// Holds the routes of all traps: no child has this number.
constexpr ike::ChildId kTraps{};

// The smallest prefix around a selector's addresses. What else is in it the policies drop.
Prefix around(const ip::Selector& selector) {
  const auto first = selector.first.bytes(), last = selector.last.bytes();
  std::uint8_t bits = 0;
  for (std::size_t i = 0; i < first.size(); ++i, bits += 8) {
    const auto differs = static_cast<std::uint8_t>(first[i] ^ last[i]);
    if (differs == 0) continue;
    bits = static_cast<std::uint8_t>(bits + std::countl_zero(differs));
    break;
  }
  return {selector.first, bits};
}

// An address of ours that the selectors cover.
std::optional<IpAddress> source_for(const std::vector<ip::Selector>& local, bool v6,
                                    const std::vector<IpAddress>& candidates) {
  for (const IpAddress& address : candidates) {
    if (address.is_v6() != v6) continue;
    if (std::ranges::any_of(local, [&](const ip::Selector& s) { return s.covers(address); })) return address;
  }
  return std::nullopt;
}

}  // namespace

TunNetwork::TunNetwork(std::string interface, const TunNetworkOptions& options)
    : interface_(std::move(interface)), options_(options) {
  for (const bool v6 : {false, true}) {
    const std::error_code error =
        add_rule({.v6 = v6, .not_mark = options.mark, .table = options.table, .priority = options.priority});
    if (error && error != std::errc::file_exists && !(v6 && error == std::errc::address_family_not_supported))
      rules_ = error;
  }
}

TunNetwork::~TunNetwork() {
  while (!routes_.empty()) remove(routes_.begin()->first);
  while (!addresses_.empty()) remove(addresses_.begin()->first);
  for (const bool v6 : {false, true}) {
    (void)remove_rule({.v6 = v6, .not_mark = options_.mark, .table = options_.table, .priority = options_.priority});
  }
}

std::error_code TunNetwork::on_event(const ike::Event& event) {
  if (const auto* up = std::get_if<ike::Up>(&event)) return add(*up);
  if (const auto* child = std::get_if<ike::ChildUp>(&event)) return add(*child);
  if (const auto* moved = std::get_if<ike::Migrated>(&event)) return follow(*moved);
  if (const auto* down = std::get_if<ike::ChildDown>(&event)) {
    hosts_.erase(down->child);
    remove(down->child);
  }
  if (const auto* closed = std::get_if<ike::Closed>(&event)) remove(closed->sa);
  return {};
}

std::error_code TunNetwork::add(const ike::Up& event) {
  std::error_code error = rules_;
  if (event.initiator) {
    for (const Prefix& address : event.configuration.addresses) {
      const Prefix alone{address.address, static_cast<std::uint8_t>(address.address.is_v6() ? 128 : 32)};
      addresses_[event.sa].push_back(alone);
      if (address_holders_[alone]++ != 0) continue;
      const std::error_code added = add_address(interface_, alone);
      if (added && added != std::errc::file_exists && !error) error = added;
    }
  }
  if (event.replaces != ike::SaId{}) remove(event.replaces);
  return error;
}

std::error_code TunNetwork::add(const ike::ChildUp& event) {
  std::vector<IpAddress> candidates;
  if (const auto own = addresses_.find(event.sa); own != addresses_.end()) {
    for (const Prefix& address : own->second) candidates.push_back(address.address);
  }
  for (const IpAddress& address : local_addresses()) candidates.push_back(address);
  if (event.how.mode == esp::Mode::kTransport) {
    hosts_[event.child] = {event.selectors, event.how.local, event.how.remote};
  }
  return add(event.child, event.selectors, candidates);
}

std::error_code TunNetwork::follow(const ike::Migrated& event) {
  std::error_code error;
  for (const ike::Migrated::Child& moved : event.children) {
    const auto found = hosts_.find(moved.child);
    if (found == hosts_.end()) continue;
    Hosts& hosts = found->second;
    ip::move_host(hosts.selectors.local, hosts.local, moved.how.local);
    ip::move_host(hosts.selectors.remote, hosts.remote, moved.how.remote);
    hosts.local = moved.how.local;
    hosts.remote = moved.how.remote;
    remove(moved.child);
    const std::error_code added = add(moved.child, hosts.selectors, local_addresses());
    if (added && !error) error = added;
  }
  return error;
}

std::error_code TunNetwork::trap(const ip::SelectorPair& selectors) {
  const std::error_code error = add(kTraps, selectors, local_addresses());
  return rules_ ? rules_ : error;
}

std::error_code TunNetwork::add(ike::ChildId child, const ip::SelectorPair& selectors,
                                const std::vector<IpAddress>& sources) {
  std::error_code error;
  for (const ip::Selector& remote : selectors.remote) {
    const Route route{.to = around(remote),
                      .source = source_for(selectors.local, remote.first.is_v6(), sources),
                      .table = options_.table};
    auto& routes = routes_[child];
    if (std::ranges::find(routes, route.to, &Route::to) != routes.end()) continue;
    routes.push_back(route);
    if (route_holders_[route.to]++ != 0) continue;
    const std::error_code added = add_route(interface_, route);
    if (added && added != std::errc::file_exists && !error) error = added;
  }
  return error;
}

void TunNetwork::remove(ike::ChildId child) {
  const auto routes = routes_.find(child);
  if (routes == routes_.end()) return;
  for (const Route& route : routes->second) {
    const auto holders = route_holders_.find(route.to);
    if (--holders->second != 0) continue;
    (void)remove_route(interface_, route);
    route_holders_.erase(holders);
  }
  routes_.erase(routes);
}

void TunNetwork::remove(ike::SaId sa) {
  const auto addresses = addresses_.find(sa);
  if (addresses == addresses_.end()) return;
  for (const Prefix& address : addresses->second) {
    const auto holders = address_holders_.find(address);
    if (--holders->second != 0) continue;
    (void)remove_address(interface_, address);
    address_holders_.erase(holders);
  }
  addresses_.erase(addresses);
}

}  // namespace winze::tunnel
