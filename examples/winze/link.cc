// `winze link`: share links to configurations and back.
#include <cstdio>
#include <string>

#include "commands.h"
#include "load.h"
#include "winze/base/address.h"
#include "winze/base/status.h"
#include "winze/config/share_link.h"

namespace winze::tool {
namespace {

int fail(const absl::Status& status) {
  std::fprintf(stderr, "winze: %s\n", std::string(message_of(status)).c_str());
  return 1;
}

// Tells what this build does not support now, and not only when the configuration is run.
int to_config(const LinkOptions& options) {
  const auto outbound = config::read_share_link(options.link);
  if (!outbound.ok()) return fail(outbound.status());
  const std::string json = *config::share_link_to_json(options.link);
  if (options.outbound_only) {
    std::printf("%s\n", json.c_str());
    return 0;
  }
  const auto listen = Endpoint::parse(options.listen);
  if (!listen)
    return fail(absl::InvalidArgumentError("--listen: expected ADDRESS:PORT, found \"" + options.listen + "\""));
  std::printf(
      "{\n\"inbounds\": [{\"listen\": \"%s\", \"port\": %u, \"protocol\": \"mixed\", \"settings\": {\"udp\": true}}],\n"
      "\"outbounds\": [%s]\n}\n",
      listen->address.to_string().c_str(), listen->port, json.c_str());
  return 0;
}

int from_config(const LinkOptions& options) {
  const auto sources = read_sources(options.from);
  if (!sources) return 1;
  const auto link = config::share_from_config(
      *sources, {.tag = options.tag,
                 .vmess = options.standard_vmess ? config::VmessForm::kStandard : config::VmessForm::kV2rayN,
                 .user = options.user,
                 .host = options.host,
                 .server_name = options.server_name,
                 .plugin = options.plugin});
  if (!link.ok()) return fail(link.status());
  std::printf("%s\n", link->c_str());
  return 0;
}

}  // namespace

int link(const LinkOptions& options) { return options.from.empty() ? to_config(options) : from_config(options); }

}  // namespace winze::tool
