#include "winze/proto/esp/database.h"

#include <algorithm>
#include <utility>

#include "winze/base/bytes.h"

namespace winze::esp {

Drop Child::seal(Buffer& packet, const ip::Header& header, Outer& outer) {
  return outbound_ ? esp::seal(*outbound_, how_, packet, header, outer) : Drop::kNoPolicy;
}

Child& Database::add(const ChildConfig& config) {
  std::unique_ptr<Child> child(new Child(config));
  Child* const at = child.get();
  at->policy_ = policies_.add(config.selectors, config.order, at);
  policies_with_ports_ += config.selectors.needs_ports() ? 1 : 0;
  children_.emplace(at, std::move(child));
  return *at;
}

void Database::remove(Child& child) {
  for (const std::uint32_t spi : child.inbound_) by_spi_.erase(spi);
  policies_.remove(child.policy_, child.selectors_);
  policies_with_ports_ -= child.selectors_.needs_ports() ? 1 : 0;
  children_.erase(&child);
}

void Database::set_selectors(Child& child, const ip::SelectorPair& selectors, std::uint32_t order) {
  policies_.remove(child.policy_, child.selectors_);
  policies_with_ports_ -= child.selectors_.needs_ports() ? 1 : 0;
  child.selectors_ = selectors;
  child.policy_ = policies_.add(selectors, order, &child);
  policies_with_ports_ += selectors.needs_ports() ? 1 : 0;
}

void Database::discard(const ip::SelectorPair& selectors, std::uint32_t order) {
  policies_.add(selectors, order, nullptr);
  policies_with_ports_ += selectors.needs_ports() ? 1 : 0;
}

bool Database::add_inbound(Child& child, InboundSa sa) {
  const std::uint32_t spi = sa.spi();
  if (by_spi_.contains(spi)) return false;
  by_spi_.emplace(spi, std::make_unique<Entry>(&child, std::move(sa)));
  child.inbound_.push_back(spi);
  return true;
}

bool Database::remove_inbound(std::uint32_t spi) {
  const auto found = by_spi_.find(spi);
  if (found == by_spi_.end()) return false;
  std::erase(found->second->child->inbound_, spi);
  by_spi_.erase(found);
  return true;
}

InboundSa* Database::inbound(std::uint32_t spi) noexcept {
  const auto found = by_spi_.find(spi);
  return found == by_spi_.end() ? nullptr : &found->second->sa;
}

Child* Database::select(const ip::Flow& flow, Drop& why) const {
  const auto found = policies_.find_outbound(flow);
  if (!found || *found == nullptr) why = found ? Drop::kDiscarded : Drop::kNoPolicy;
  return found.value_or(nullptr);
}

Child* Database::select(Buffer& packet, ip::Header& header, TimePoint now, Overhead room, Drop& why) {
  if (header.is_fragment() && policies_with_ports_ != 0 && !join(packet, header, now, room, nullptr)) {
    why = Drop::kHeld;
    return nullptr;
  }
  return select(ip::flow_of(packet.span(), header), why);
}

// False while the packet is not whole. An IPv6 packet that its sender cut may be cut again.
bool Database::join(Buffer& packet, ip::Header& header, TimePoint now, Overhead room, const void* owner) {
  auto whole = fragments_.add(packet.span(), header, now, room, owner);
  const auto joined = whole ? ip::parse(std::as_const(*whole).span()) : std::nullopt;
  if (!joined) return false;
  const std::uint32_t identification = header.identification;
  packet = std::move(*whole);
  header = *joined;
  if (header.v6) {
    header.dont_fragment = false;
    header.identification = identification;
  }
  return true;
}

Drop Database::open(Buffer& packet, const Outer& outer, TimePoint now, Opened& opened, ip::Header& inner,
                    Child*& child) {
  child = nullptr;
  if (packet.size() < 4) return Drop::kMalformed;
  const auto found = by_spi_.find(load_u32(packet.data()));
  if (found == by_spi_.end()) return Drop::kUnknownSpi;
  Entry& entry = *found->second;
  child = entry.child;
  const Drop drop = esp::open(entry.sa, child->how(), packet, outer, opened, inner);
  if (drop != Drop::kNone) return drop;
  const ip::SelectorPair& selectors = child->selectors();
  ip::Flow flow = ip::flow_of(packet.span(), inner);
  if (inner.is_fragment() && selectors.needs_ports() && selectors.covers_inbound_but_ports(flow)) {
    if (!join(packet, inner, now, {}, child)) {
      opened.drop = entry.sa.count(Drop::kHeld);
      return opened.drop;
    }
    flow = ip::flow_of(packet.span(), inner);
  }
  if (!selectors.covers_inbound(flow)) {
    opened.drop = entry.sa.count(Drop::kSelectorMismatch);
    return opened.drop;
  }
  return Drop::kNone;
}

}  // namespace winze::esp
