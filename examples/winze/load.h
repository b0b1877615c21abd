// Configuration files to NodeOptions that the tool can run, with the messages printed.
#pragma once

#include <optional>

#include "commands.h"
#include "winze/config/v2ray_json.h"
#include "winze/node/options.h"

namespace winze::tool {

// Nothing when a file cannot be read. "-" is standard input.
std::optional<std::vector<config::Source>> read_sources(const std::vector<std::string>& names);
std::optional<node::NodeOptions> load(const ConfigFiles& files);

}  // namespace winze::tool
