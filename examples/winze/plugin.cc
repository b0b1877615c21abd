// `winze plugin`: a SIP003 plugin for any Shadowsocks, which carries its TCP connections by WebSocket, in TLS or not.
// It speaks as v2ray-plugin does. A Shadowsocks that starts `winze` as its plugin need not say "plugin".
// What to do is in the environment:
//
//   SS_LOCAL_HOST, SS_LOCAL_PORT     client: where Shadowsocks comes in; server: where it is
//   SS_REMOTE_HOST, SS_REMOTE_PORT   client: the server's plugin; server: where clients come in
//   SS_PLUGIN_OPTIONS                "key=value;key;..." of: server, tls, host=NAME, path=/PATH, cert=FILE, key=FILE,
//                                    ca=FILE (client: a further root to trust), mode=websocket,
//                                    mux=N: connections share others by mux.cool, N at once in each; 1: one after the
//                                    other (the default); 0: none do. To servers it says yes or no, as to their clients
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "commands.h"
#include "winze/base/address.h"
#include "winze/base/status.h"
#include "winze/config/plugin_options.h"
#include "winze/proto/mux/cool.h"

namespace winze::tool {
namespace {

using Words = std::map<std::string, std::string>;

std::optional<Destination> place(const char* host_name, const char* port_name) {
  const char* host = std::getenv(host_name);
  const char* port = std::getenv(port_name);
  if (host == nullptr || port == nullptr) return std::nullopt;
  // Some write several addresses, joined by '|'; IPv6 with brackets or without.
  const std::string_view first = std::string_view(host).substr(0, std::string_view(host).find('|'));
  const auto parsed = parse_host_port("x:" + std::string(port));
  if (!parsed || first.empty()) return std::nullopt;
  return Destination(first, parsed->port);
}

std::string take(Words& words, const std::string& key) {
  const auto found = words.find(key);
  if (found == words.end()) return {};
  std::string value = found->second;
  words.erase(found);
  return value;
}

constexpr std::uint32_t kMostStreams = 1024;

std::optional<std::uint32_t> parse_count(std::string_view text) {
  std::uint32_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && out <= kMostStreams ? std::optional(out) : std::nullopt;
}

struct Setup {
  bool is_server = false;
  std::uint32_t mux = 1;
  Destination local, remote;
  node::StreamSettings stream;
};

// Why not; empty when all is in order.
std::string read(Words words, Setup& out) {
  const auto local = place("SS_LOCAL_HOST", "SS_LOCAL_PORT"), remote = place("SS_REMOTE_HOST", "SS_REMOTE_PORT");
  if (!local || !remote) {
    return "SS_LOCAL_HOST, SS_LOCAL_PORT, SS_REMOTE_HOST and SS_REMOTE_PORT must say from where to where; a "
           "Shadowsocks "
           "that starts this as its plugin sets them";
  }
  out.local = *local;
  out.remote = *remote;
  out.is_server = !take(words, "server").empty();
  out.stream.network = node::StreamSettings::Network::kWebSocket;
  out.stream.ws.host = take(words, "host");
  if (const std::string path = take(words, "path"); !path.empty()) out.stream.ws.path = path;
  if (const std::string mode = take(words, "mode"); !mode.empty() && mode != "websocket") {
    return "mode=" + mode + ": \"websocket\" alone is supported";
  }
  if (const std::string mux = take(words, "mux"); !mux.empty()) {
    const auto count = parse_count(mux);
    if (!count) return "mux=" + mux + ": expected a number from 0 to " + std::to_string(kMostStreams);
    out.mux = *count;
  }
  const std::string certificate = take(words, "cert"), key = take(words, "key"), root = take(words, "ca");
  if (!take(words, "tls").empty()) {
    node::TlsOptions& tls = out.stream.tls.emplace();
    if (!out.is_server) {
      tls.server_name = out.stream.ws.host;
      if (!root.empty()) tls.roots.push_back({.file = root, .text = {}});
    } else if (certificate.empty() || key.empty()) {
      return "tls: a server needs cert=FILE and key=FILE";
    } else {
      tls.certificates.push_back({.chain = {.file = certificate, .text = {}}, .key = {.file = key, .text = {}}});
    }
  }
  // A server's host is its clients' affair.
  if (out.is_server) out.stream.ws.host.clear();
  for (std::string_view known : {"loglevel", "fast-open", "__android_vpn"}) take(words, std::string(known));
  return words.empty() ? "" : "unknown option \"" + words.begin()->first + "\"";
}

node::NodeOptions to_node(const Setup& setup) {
  const Destination& from = setup.is_server ? setup.remote : setup.local;
  const Destination& to = setup.is_server ? setup.local : setup.remote;
  node::NodeOptions out;
  out.log.access_file = "none";
  node::InboundOptions& in = out.inbounds.emplace_back();
  in.path = setup.is_server ? "SS_REMOTE_HOST" : "SS_LOCAL_HOST";
  in.tag = "in";
  in.listen = from.host_text();
  in.port_from = in.port_to = from.port;
  const bool takes_carriers = setup.is_server && setup.mux != 0;
  in.settings = node::DokodemoInbound{.destination = takes_carriers ? mux::cool_destination() : to};
  node::OutboundOptions& way_out = out.outbounds.emplace_back();
  way_out.path = "SS_PLUGIN_OPTIONS";
  way_out.tag = "out";
  // Whatever a carrier's client asks for.
  way_out.settings = node::FreedomOutbound{.redirect = {{to.host_text(), to.port}}};
  if (!setup.is_server && setup.mux != 0) way_out.mux = {.enabled = true, .concurrency = setup.mux};
  (setup.is_server ? in.stream : way_out.stream) = setup.stream;
  // Shadowsocks knows by itself how long a connection may be silent.
  out.policy_levels.emplace_back(0, node::PolicyLevel{.idle = std::chrono::hours(24)});
  return out;
}

}  // namespace

int plugin(const RunOptions& options) {
  const char* text = std::getenv("SS_PLUGIN_OPTIONS");
  auto words = config::parse_plugin_options(text != nullptr ? text : "");
  Setup setup;
  const std::string failure =
      words.ok() ? read(*std::move(words), setup) : "SS_PLUGIN_OPTIONS: " + std::string(message_of(words.status()));
  if (!failure.empty()) {
    std::fprintf(stderr, "winze plugin: %s\n", failure.c_str());
    return 1;
  }
  return run(to_node(setup), options);
}

}  // namespace winze::tool
