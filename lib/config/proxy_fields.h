// What the settings of several proxy protocols have in common, and those of protocols with a file of their own.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "object_reader.h"
#include "winze/node/options.h"

namespace winze::config {

std::uint32_t read_level(ObjectReader& object, std::string_view key = "userLevel");
// "address" and "port".
Destination read_server(ObjectReader& object);
// Xray's flat form, or V2Ray's list with one server, which stands at the key `list`.
void with_server(ObjectReader& object, std::string_view list, const std::function<void(ObjectReader&)>& read);
std::vector<node::FallbackEntry> read_fallbacks(ObjectReader& object);

node::TrojanInbound read_trojan_inbound(ObjectReader object);
node::TrojanOutbound read_trojan_outbound(ObjectReader object);
node::ShadowsocksInbound read_shadowsocks_inbound(ObjectReader object);
node::ShadowsocksOutbound read_shadowsocks_outbound(ObjectReader object);

node::VmessInbound read_vmess_inbound(ObjectReader object);
node::VmessOutbound read_vmess_outbound(ObjectReader object);

}  // namespace winze::config
