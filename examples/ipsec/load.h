// The IPsec part of a configuration file: swanctl.conf, or the "ipsec" section of winze's JSON.
#pragma once

#include <absl/status/statusor.h>
#include <winze/node/options.h>

#include <string>

namespace ipsec_example {

absl::StatusOr<winze::node::NodeOptions> load(const std::string& file);

}  // namespace ipsec_example
