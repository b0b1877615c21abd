// The options of a SIP003 plugin, as SS_PLUGIN_OPTIONS and a link's or configuration's "pluginOpts" have them.
//
//   KEY=VALUE;KEY;KEY=VALUE      a backslash takes the next character as it is: "path=/a\;b" says /a;b
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace winze::config {

// A key without a value stands for "1". An error says which option is wrong: one that has no key or is there twice, or
// a backslash with nothing behind it.
absl::StatusOr<std::map<std::string, std::string>> parse_plugin_options(std::string_view text);

// What the clients of a server with this plugin run, as links have it: "PROGRAM;OPTIONS". Known of v2ray-plugin (also
// as Debian calls it), simple-obfs and `winze`; none for others. `host`: the name of a server with TLS whose options do
// not say it.
std::optional<std::string> client_plugin(std::string_view program, std::string_view server_options,
                                         std::string_view host);

}  // namespace winze::config
