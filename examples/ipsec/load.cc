#include "load.h"

#include <winze/config/swanctl.h>
#include <winze/config/v2ray_json.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace ipsec_example {

using namespace winze;

absl::StatusOr<node::NodeOptions> load(const std::string& file) {
  node::NodeOptions out;
  std::vector<std::string> warnings;
  if (file.ends_with(".json")) {
    std::ifstream in(file, std::ios::binary);
    if (!in) return absl::NotFoundError(file + ": cannot be read");
    const config::Source source{file, std::string(std::istreambuf_iterator<char>(in), {})};
    auto config = config::read_v2ray_json(std::span(&source, 1));
    if (!config.ok()) return config.status();
    out = std::move(config->options);
    warnings = std::move(config->warnings);
    if (out.ipsec.directory.empty()) out.ipsec.directory = std::filesystem::path(file).parent_path().string();
  } else {
    auto config = config::read_swanctl_file(file);
    if (!config.ok()) return config.status();
    out.ipsec = std::move(config->options);
    warnings = std::move(config->warnings);
  }
  for (const std::string& warning : warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  if (out.ipsec.empty()) return absl::InvalidArgumentError(file + ": there is no connection in it");
  return out;
}

}  // namespace ipsec_example
