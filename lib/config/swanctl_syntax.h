// The syntax of strongSwan's configuration files (man 5 strongswan.conf):
//
//   section [: reference, ...] {       the section also has what those have and it has not
//     key = value                      up to the end of the line or }, words joined by one space
//     key = "quoted, with \" \n \t"
//   }
//   include pattern                    # comment
//
// The result is the tree that JSON gives too, so that both are read by one schema. All values are strings; an empty one
// is null: it takes away what a reference would bring. A section or key that is there again is merged: the last counts.
#pragma once

#include <absl/status/status.h>

#include <vector>

#include "json_value.h"
#include "winze/config/swanctl.h"

namespace winze::config {

// Appends to `sources` what is included. `referenced`: the sections at the top that others refer to.
absl::Status parse_swanctl(std::vector<Source>& sources, const IncludeReader& include, JsonValue& root,
                           std::vector<std::string>& referenced);

}  // namespace winze::config
