#include "load.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>

#include "winze/base/status.h"
#include "winze/config/v2ray_json.h"

namespace winze::tool {

namespace {

std::optional<std::string> variable(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

}  // namespace

std::optional<std::vector<config::Source>> read_sources(const std::vector<std::string>& names) {
  std::vector<config::Source> sources;
  for (const std::string& name : names) {
    std::ifstream file;
    if (name != "-") file.open(name, std::ios::binary);
    std::istream& in = name == "-" ? std::cin : file;
    if (!in) {
      std::fprintf(stderr, "winze: %s: %s\n", name.c_str(), std::strerror(errno));
      return std::nullopt;
    }
    sources.push_back({name, std::string(std::istreambuf_iterator<char>(in), {})});
  }
  return sources;
}

std::optional<node::NodeOptions> load(const ConfigFiles& files) {
  const auto sources = read_sources(files.names);
  if (!sources) return std::nullopt;
  auto config = config::read_v2ray_json(*sources, {.lenient = files.lenient, .environment = variable});
  if (!config.ok()) {
    std::fprintf(stderr, "winze: %s\n", std::string(message_of(config.status())).c_str());
    return std::nullopt;
  }
  for (const std::string& warning : config->warnings) std::fprintf(stderr, "winze: warning: %s\n", warning.c_str());
  // A host may want the outbounds alone; here they would serve nobody.
  if (config->options.inbounds.empty() && config->options.ipsec.empty()) {
    std::fprintf(stderr, "winze: inbounds: there is none, and no connection of ipsec, so there is nothing to do\n");
    return std::nullopt;
  }
  return std::move(config->options);
}

}  // namespace winze::tool
