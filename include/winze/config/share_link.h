// Share links: an outbound in one line, as clients pass it on.
//
//   vless://ID@HOST:PORT?encryption=none&security=tls&sni=NAME&type=ws&path=%2Fray#NAME
//   trojan://PASSWORD@HOST:PORT?security=tls&type=tcp#NAME
//   vmess://ID@HOST:PORT?encryption=auto&type=tcp#NAME      the standard form
//   vmess://BASE64({"v":"2","ps":NAME,"add":HOST,"port":PORT,"id":ID,...})      v2rayN's
//   ss://BASE64URL(METHOD:PASSWORD)@HOST:PORT/?plugin=PROGRAM%3BOPTIONS#NAME    SIP002; for 2022 methods
//   percent-encoded ss://BASE64(METHOD:PASSWORD@HOST:PORT)#NAME             its forerunner
//
// Reading is strict: a parameter that is unknown, or asks for what is not there (security=reality, type=kcp), is an
// error that says which, and what is accepted; never does a link come out weaker or different than it was meant.
// A link becomes an outbound of a configuration in V2Ray's JSON, so that there is one reader of outbounds.
#pragma once

#include <absl/status/statusor.h>

#include <span>
#include <string>
#include <string_view>

#include "winze/config/v2ray_json.h"
#include "winze/node/options.h"

namespace winze::config {

// The outbound that a link means, as JSON: {"tag": NAME, "protocol": ..., "settings": ..., "streamSettings": ...}.
// White space around the link is taken away. Errors begin with the part that is wrong ("security: ...").
absl::StatusOr<std::string> share_link_to_json(std::string_view link);
// The same, read: with it what this build does not support is refused too.
absl::StatusOr<node::OutboundOptions> read_share_link(std::string_view link);

// Which of the two vmess:// forms is written: all clients read v2rayN's, which is longer.
enum class VmessForm { kV2rayN, kStandard };

// The link of an outbound in JSON, whose tag becomes the name. What a link cannot say, and a client would need, is an
// error.
absl::StatusOr<std::string> json_to_share_link(std::string_view outbound, VmessForm vmess = VmessForm::kV2rayN);

struct ShareOptions {
  std::string tag;  // of an outbound, or of an inbound
  VmessForm vmess = VmessForm::kV2rayN;
  // For an inbound:
  std::string user;         // by e-mail address, id or account name; empty: the only one
  std::string host;         // where clients find the server
  std::string server_name;  // of its certificate; empty: `host`
  // What clients of a Shadowsocks with a plugin run, "PROGRAM;OPTIONS"; empty: as client_plugin() has it.
  std::string plugin;
};
// The link of an outbound of a configuration, or for a user of an inbound.
absl::StatusOr<std::string> share_from_config(std::span<const Source> sources, const ShareOptions& options);

}  // namespace winze::config
