// The options of a SIP003 plugin, as SS_PLUGIN_OPTIONS and a link's or configuration's "pluginOpts" have them.
//
//   KEY=VALUE;KEY;KEY=VALUE      a backslash takes the next character as it is: "path=/a\;b" says /a;b
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <string>
#include <string_view>

namespace winze::config {

// A key without a value stands for "1". An error says which option is wrong: one that has no key or is there twice, or
// a backslash with nothing behind it.
absl::StatusOr<std::map<std::string, std::string>> parse_plugin_options(std::string_view text);

}  // namespace winze::config
