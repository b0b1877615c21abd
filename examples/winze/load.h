// Configuration files to NodeOptions that the tool can run, with the messages printed.
#pragma once

#include <optional>

#include "commands.h"
#include "winze/node/options.h"

namespace winze::tool {

std::optional<node::NodeOptions> load(const ConfigFiles& files);

}  // namespace winze::tool
