// Reads V2Ray's and Xray's JSON configuration into NodeOptions.
//
// JSON with //, # and /* */ comments; key names in any case, as Go's decoder has it. What is not known, or known and
// not supported here, is an error that says where and what would be accepted:
//
//   outbounds[0].streamSettings.tlsSettings.serverNme: unknown key; did you mean "serverName"? (client.json:12:9)
// Beyond V2Ray's keys, the users of inbounds (clients, accounts) take
//
//   "expiry": "2027-01-31T12:00:00Z"   also a date, or seconds since 1970
//   "limits": {"up": "1MiB", "down": "1MiB",    bytes per second, of all connections of the user together
//              "quota": "100GB",                bytes both ways together, since the start
//              "connections": 32,               at a time
//              "addresses": 3}                  that they come from at a time; quiet ones give way (chain/user_terms.h)
//
// Traffic is counted by user and by tag always: "stats" and the "stats..." keys of "policy" are read, and mean nothing.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "winze/node/options.h"

namespace winze::config {

struct Source {
  std::string name;  // for messages, and for the order of merging
  std::string text;
};

struct ReadOptions {
  bool lenient = false;  // unknown keys, and keys given twice, become warnings
  // Looks up the variables of ports written as "env:NAME"; none: such ports are errors.
  std::function<std::optional<std::string>(std::string_view name)> environment;
};

struct Config {
  node::NodeOptions options;
  std::vector<std::string> warnings;
};

// Several sources merge as Xray and V2Ray 5 have it: top-level objects replace earlier ones; inbounds and outbounds
// replace those of the same tag, other inbounds are appended, other outbounds are put in front unless the source's name
// contains "tail" (in any case).
absl::StatusOr<Config> read_v2ray_json(std::span<const Source> sources, const ReadOptions& options = {});

}  // namespace winze::config
