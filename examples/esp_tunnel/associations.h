// Security associations, selectors and prefixes from the command line's texts. The errors are to be shown as they are.
#pragma once

#include <absl/status/statusor.h>
#include <winze/io/environment.h>
#include <winze/proto/esp/database.h>

#include <string>
#include <utility>
#include <vector>

#include "parameters.h"

namespace esp_tunnel {

std::vector<std::string> suite_names();

struct Associations {
  winze::esp::OutboundSa outbound;
  winze::esp::InboundSa inbound;
};
// Those of one thread.
absl::StatusOr<Associations> make_associations(const Parameters& parameters, unsigned thread, winze::Random& random);

// No texts: everything.
absl::StatusOr<winze::ip::SelectorPair> read_selectors(const Parameters& parameters);
absl::StatusOr<std::vector<winze::Prefix>> read_prefixes(const std::vector<std::string>& texts);

}  // namespace esp_tunnel
