#include "child_table.h"

#include <algorithm>
#include <bit>

namespace winze::tunnel {
namespace {

// How many bits of its addresses a selector leaves open, IPv4's counted as wide as IPv6's: 0 to 128.
std::uint32_t openness(const ip::Selector& selector) {
  const auto first = selector.first.bytes(), last = selector.last.bytes();
  for (std::size_t i = 0; i < first.size(); ++i) {
    const auto differs = static_cast<std::uint8_t>(first[i] ^ last[i]);
    if (differs == 0) continue;
    const auto bits = static_cast<std::uint32_t>((first.size() - i - 1) * 8 + std::bit_width(differs));
    return selector.first.is_v4() ? bits * 4 : bits;
  }
  return 0;
}

// Narrower selectors come first, as in a routing table, and of equal ones the child that came last: a peer that begins
// anew is the one to talk to.
std::uint32_t order_of(const ip::SelectorPair& selectors, std::uint32_t number) {
  std::uint32_t open = 0;
  for (const ip::Selector& selector : selectors.remote) open = std::max(open, openness(selector));
  return open << 24 | (0xffffff - (number & 0xffffff));
}

}  // namespace

esp::Path ChildTable::path_of(const ike::Path& path, const esp::OutboundSa& sa, const esp::Encapsulation& how) const {
  esp::Path out{.peer = path.remote, .carrier = path.carrier, .local = path.local.address};
  const auto raw = path.remote.address.is_v6() ? raw_.v6 : raw_.v4;
  if (raw && how.remote_port == 0 && !path.stream) {
    out.carrier = *raw;
    out.peer->port = 0;
  }
  // A stream cuts what goes through it as it needs to.
  if (!path.stream) out.mtu = esp::inner_mtu(sa, how, path_mtu_);
  return out;
}

absl::Status ChildTable::add(const ike::ChildUp& up) {
  auto outbound = esp::OutboundSa::create(up.outbound, random_);
  if (!outbound.ok()) return outbound.status();
  auto inbound = esp::InboundSa::create(up.inbound);
  if (!inbound.ok()) return inbound.status();
  esp::Database& database = plane_.database();
  esp::Child& child = database.add({.how = up.how,
                                    .selectors = up.selectors,
                                    .order = order_of(up.selectors, added_++),
                                    .path = path_of(up.path, *outbound, up.how)});
  if (!database.add_inbound(child, std::move(*inbound))) {
    database.remove(child);
    return absl::AlreadyExistsError("the inbound SPI is taken");
  }
  by_outbound_spi_[outbound->spi()] = up.child;
  by_inbound_spi_[up.inbound.spi] = up.child;
  child.set_outbound(std::move(*outbound));
  children_[up.child] = {.sa = up.sa, .child = &child};
  of_sa_[up.sa].push_back(up.child);
  return absl::OkStatus();
}

absl::Status ChildTable::add_inbound(const ike::ChildInbound& event) {
  const auto entry = children_.find(event.child);
  if (entry == children_.end()) return absl::NotFoundError("no such child");
  auto sa = esp::InboundSa::create(event.inbound);
  if (!sa.ok()) return sa.status();
  if (!plane_.database().add_inbound(*entry->second.child, std::move(*sa))) {
    return absl::AlreadyExistsError("the inbound SPI is taken");
  }
  by_inbound_spi_[event.inbound.spi] = event.child;
  return absl::OkStatus();
}

absl::Status ChildTable::set_outbound(const ike::ChildOutbound& event) {
  const auto found = children_.find(event.child);
  if (found == children_.end()) return absl::NotFoundError("no such child");
  auto sa = esp::OutboundSa::create(event.outbound, random_);
  if (!sa.ok()) return sa.status();
  Entry& entry = found->second;
  if (const esp::OutboundSa* old = entry.child->outbound()) {
    entry.gone.packets_out += old->usage().packets();
    entry.gone.bytes_out += old->usage().bytes();
    by_outbound_spi_.erase(old->spi());
  }
  by_outbound_spi_[sa->spi()] = event.child;
  entry.child->set_outbound(std::move(*sa));
  return absl::OkStatus();
}

void ChildTable::remove_inbound(const ike::ChildInboundGone& event) {
  const auto entry = children_.find(event.child);
  const esp::InboundSa* const sa = plane_.database().inbound(event.spi);
  if (entry == children_.end() || sa == nullptr) return;
  entry->second.gone.packets_in += sa->usage().packets();
  entry->second.gone.bytes_in += sa->usage().bytes();
  by_inbound_spi_.erase(event.spi);
  (void)plane_.database().remove_inbound(event.spi);
}

void ChildTable::remove(ike::ChildId id) {
  const auto entry = children_.find(id);
  if (entry == children_.end()) return;
  esp::Child& child = *entry->second.child;
  if (const esp::OutboundSa* sa = child.outbound()) by_outbound_spi_.erase(sa->spi());
  for (const std::uint32_t spi : plane_.database().inbound_of(child)) by_inbound_spi_.erase(spi);
  const auto siblings = of_sa_.find(entry->second.sa);
  std::erase(siblings->second, id);
  if (siblings->second.empty()) of_sa_.erase(siblings);
  plane_.database().remove(child);
  children_.erase(entry);
}

void ChildTable::migrate(const ike::Migrated& event) {
  for (const ike::Migrated::Child& moved : event.children) {
    const auto entry = children_.find(moved.child);
    if (entry == children_.end()) continue;
    esp::Child& child = *entry->second.child;
    if (moved.how.mode == esp::Mode::kTransport) follow_hosts(child, moved.how);
    child.set_how(moved.how);
    const esp::OutboundSa* const sa = child.outbound();
    if (sa == nullptr) continue;
    const esp::Path before = child.path;
    child.path = path_of(event.path, *sa, moved.how);
    child.path.last_sent = before.last_sent;
    child.path.last_heard = before.last_heard;
  }
}

void ChildTable::follow_hosts(esp::Child& child, const esp::Encapsulation& now) {
  ip::SelectorPair selectors = child.selectors();
  ip::move_host(selectors.local, child.how().local, now.local);
  ip::move_host(selectors.remote, child.how().remote, now.remote);
  if (selectors != child.selectors()) plane_.database().set_selectors(child, selectors, order_of(selectors, added_++));
}

std::optional<ike::ChildId> ChildTable::find_current(std::uint32_t spi, bool inbound) const {
  const auto& map = inbound ? by_inbound_spi_ : by_outbound_spi_;
  const auto found = map.find(spi);
  if (found == map.end()) return std::nullopt;
  if (inbound) {
    const Entry& entry = children_.find(found->second)->second;
    if (plane_.database().inbound_of(*entry.child).back() != spi) return std::nullopt;
  }
  return found->second;
}

ChildCounters ChildTable::counters_of(const Entry& entry) const {
  ChildCounters out = entry.gone;
  if (const esp::OutboundSa* sa = std::as_const(*entry.child).outbound()) {
    out.packets_out += sa->usage().packets();
    out.bytes_out += sa->usage().bytes();
  }
  for (const std::uint32_t spi : plane_.database().inbound_of(*entry.child)) {
    const esp::Usage& usage = plane_.database().inbound(spi)->usage();
    out.packets_in += usage.packets();
    out.bytes_in += usage.bytes();
  }
  return out;
}

std::optional<ChildCounters> ChildTable::counters(ike::ChildId child) const {
  const auto entry = children_.find(child);
  return entry == children_.end() ? std::nullopt : std::optional(counters_of(entry->second));
}

TimePoint ChildTable::last_heard(ike::SaId sa) const {
  TimePoint last{};
  const auto children = of_sa_.find(sa);
  if (children == of_sa_.end()) return last;
  for (const ike::ChildId id : children->second) last = std::max(last, children_.at(id).child->path.last_heard);
  return last;
}

TimePoint ChildTable::last_traffic(ike::ChildId child) const {
  const auto entry = children_.find(child);
  if (entry == children_.end()) return {};
  const esp::Path& path = entry->second.child->path;
  return std::max(path.last_sent, path.last_heard);
}

}  // namespace winze::tunnel
