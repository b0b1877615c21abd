// Key exchanges that differ: a responder takes none twice (RFC 9370 section 2.2.1).
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "winze/proto/ike/proposal.h"

namespace winze::ike {

// What one key exchange of a proposal may be, the best first; null: nothing that the answer names.
using ExchangeOptions = std::vector<std::optional<Transform>>;

// An option of each list, no method twice; of several ways the one whose earlier lists have their better options.
// "None" may come as often as it likes.
std::optional<ExchangeOptions> pick_distinct(std::span<const ExchangeOptions> lists);

}  // namespace winze::ike
