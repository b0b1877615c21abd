// Traffic selectors as two peers settle on them (RFC 7296 section 2.9).
#pragma once

#include <span>
#include <vector>

#include "winze/proto/ike/config.h"
#include "winze/proto/ip/selector.h"

namespace winze::ike {

using Selectors = std::vector<ip::Selector>;

// What both cover, without what is covered twice.
Selectors intersect(std::span<const ip::Selector> a, std::span<const ip::Selector> b);
// Whether `all` covers each of `some`, each within one of its own.
bool covers(std::span<const ip::Selector> all, std::span<const ip::Selector> some);
// The first address of each end, of one version.
ip::SelectorPair first_pair(const ip::SelectorPair& all);
// What `traffic` stands for where "dynamic" is these addresses.
Selectors resolve(const Traffic& traffic, std::span<const IpAddress> addresses);

}  // namespace winze::ike
