// Reads strongSwan's swanctl.conf into IpsecOptions, so that a gateway's file works as it stands. The same keys are the
// "ipsec" section of the JSON configuration (winze/config/v2ray_json.h).
//
// What is not known, or known and not supported here, is an error that says where and what would be accepted:
//
//   connections.home.children.net.mode: expected one of "tunnel", "transport", "beet", found the string "pass"
//   (swanctl.conf:12:14)
//
// IKEv1, XAuth and what only concerns strongSwan's kernel interface are refused; winze's own keys are listed at the end
// of the structs in winze/node/ipsec_options.h.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "winze/config/v2ray_json.h"
#include "winze/node/ipsec_options.h"

namespace winze::config {

// The files that `include pattern` stands for, in `from`, a source's name. None: such lines are errors.
using IncludeReader =
    std::function<absl::StatusOr<std::vector<Source>>(std::string_view pattern, std::string_view from)>;

struct SwanctlConfig {
  node::IpsecOptions options;
  std::vector<std::string> warnings;
};

// `lenient`: unknown keys become warnings.
absl::StatusOr<SwanctlConfig> read_swanctl(Source source, const IncludeReader& include = nullptr, bool lenient = false);

// The same for a file and what it includes ("conf.d/*.conf", from the file's folder). Its folder is the directory of
// the certificates and keys.
absl::StatusOr<SwanctlConfig> read_swanctl_file(const std::string& file, bool lenient = false);

}  // namespace winze::config
