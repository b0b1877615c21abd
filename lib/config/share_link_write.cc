// From an outbound in JSON, or an inbound and one of its users, to a share link.
#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "json_value.h"
#include "uri.h"
#include "winze/base/ascii.h"
#include "winze/base/base64.h"
#include "winze/base/status.h"
#include "winze/config/plugin_options.h"
#include "winze/config/share_link.h"

namespace winze::config {
namespace {

// The value at a path of keys, in any case; null when there is none. Of an array the first.
const JsonValue* at(const JsonValue* from, std::initializer_list<std::string_view> path) {
  for (std::string_view key : path) {
    if (from != nullptr && from->kind == JsonValue::Kind::kArray)
      from = from->items.empty() ? nullptr : &from->items[0];
    if (from == nullptr) return nullptr;
    const JsonValue* found = nullptr;
    for (const JsonValue& member : from->members) {
      if (lower(member.name) == lower(key) && member.kind != JsonValue::Kind::kNull) found = &member;
    }
    from = found;
  }
  return from;
}

std::string text(const JsonValue* from, std::initializer_list<std::string_view> path) {
  const JsonValue* value = at(from, path);
  if (value == nullptr) return {};
  if (value->kind == JsonValue::Kind::kInteger) return std::to_string(value->integer);
  if (value->kind != JsonValue::Kind::kArray) return value->text;
  std::string out;
  for (const JsonValue& item : value->items) out += (out.empty() ? "" : ",") + item.text;
  return out;
}

absl::Status unsayable(const std::string& what) {
  return absl::InvalidArgumentError(what + ": a share link cannot say this");
}

// What all links are made from.
struct Shared {
  std::string protocol, name, host, port;
  std::string id;      // or the password
  std::string cipher;  // of VMess, or the method of Shadowsocks
  std::string flow;
  std::string plugin;
  std::string network = "tcp", path, http_host;
  bool tls = false;
  std::string server_name, alpn, fingerprint, pins;
};

absl::Status take_transport(const JsonValue* stream, Shared& out) {
  std::string network = lower(text(stream, {"network"}));
  if (network.empty() || network == "raw") network = "tcp";
  if (network == "websocket") network = "ws";
  out.network = network;
  if (network == "tcp") {
    const std::string header = text(stream, {"tcpSettings", "header", "type"});
    return header.empty() || header == "none" ? absl::OkStatus() : unsayable("streamSettings.tcpSettings.header");
  }
  if (network != "ws" && network != "httpupgrade") return unsayable("streamSettings.network: " + in_quotes(network));
  const std::string_view key = network == "ws" ? "wsSettings" : "httpupgradeSettings";
  const JsonValue* settings = at(stream, {key});
  out.path = text(settings, {"path"});
  if (!out.path.starts_with('/')) out.path.insert(0, "/");
  out.http_host = text(settings, {"host"});
  const JsonValue* headers = at(settings, {"headers"});
  if (headers != nullptr) {
    for (const JsonValue& header : headers->members) {
      if (lower(header.name) != "host") return unsayable("streamSettings." + std::string(key) + ".headers");
      if (out.http_host.empty()) out.http_host = header.text;
    }
  }
  for (std::string_view own : {"maxEarlyData", "halfClose"}) {
    const JsonValue* value = at(settings, {own});
    if (value != nullptr && (value->boolean || value->integer != 0)) {
      return unsayable("streamSettings." + std::string(key) + "." + std::string(own));
    }
  }
  return absl::OkStatus();
}

// Of an inbound only that there is TLS, and for which application protocols.
absl::Status take_security(const JsonValue* stream, bool outbound, Shared& out) {
  const std::string security = lower(text(stream, {"security"}));
  if (security.empty() || security == "none") return absl::OkStatus();
  if (security != "tls") return unsayable("streamSettings.security: " + in_quotes(security));
  out.tls = true;
  const JsonValue* tls = at(stream, {"tlsSettings"});
  out.alpn = text(tls, {"alpn"});
  if (!outbound) return absl::OkStatus();
  out.server_name = text(tls, {"serverName"});
  out.fingerprint = text(tls, {"fingerprint"});
  out.pins = text(tls, {"pinnedPeerCertSha256"});
  for (std::string_view key : {"certificates", "pinnedPeerPublicKeySha256"}) {
    const JsonValue* value = at(tls, {key});
    if (value != nullptr && !value->items.empty()) return unsayable("streamSettings.tlsSettings." + std::string(key));
  }
  return absl::OkStatus();
}

absl::Status take_stream(const JsonValue* object, bool outbound, Shared& out) {
  const JsonValue* stream = at(object, {"streamSettings"});
  absl::Status status = take_transport(stream, out);
  return status.ok() ? take_security(stream, outbound, out) : status;
}

// --- links ---

void put(std::string& query, std::string_view name, const std::string& value) {
  if (!value.empty()) query += (query.empty() ? "?" : "&") + std::string(name) + "=" + percent_encode(value);
}

std::string stream_query(const Shared& s, std::string query) {
  put(query, "type", s.network);
  put(query, "host", s.http_host);
  put(query, "path", s.path);
  put(query, "security", s.tls ? "tls" : "none");
  put(query, "sni", s.server_name);
  put(query, "alpn", s.alpn);
  put(query, "fp", s.fingerprint);
  put(query, "pcs", s.pins);
  return query;
}

std::string fragment(const Shared& s) { return s.name.empty() ? "" : "#" + percent_encode(s.name); }

std::string uri_of(const Shared& s, const std::string& query) {
  return s.protocol + "://" + percent_encode(s.id) + "@" + host_in_authority(s.host) + ":" + s.port +
         stream_query(s, query) + fragment(s);
}

std::string v2rayn_of(const Shared& s) {
  nlohmann::ordered_json out = {{"v", "2"},
                                {"ps", s.name},
                                {"add", s.host},
                                {"port", s.port},
                                {"id", s.id},
                                {"aid", "0"},
                                {"scy", s.cipher},
                                {"net", s.network},
                                {"type", "none"},
                                {"host", s.http_host},
                                {"path", s.path},
                                {"tls", s.tls ? "tls" : ""},
                                {"sni", s.server_name},
                                {"alpn", s.alpn},
                                {"fp", s.fingerprint},
                                {"pcs", s.pins}};
  return "vmess://" + base64_encode(out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

// The methods of 2022 have keys in Base64, which would be encoded twice otherwise (SIP002).
std::string shadowsocks_of(const Shared& s) {
  const std::string user = s.cipher.starts_with("2022-")
                               ? percent_encode(s.cipher) + ":" + percent_encode(s.id)
                               : base64_encode(s.cipher + ":" + s.id, Base64Alphabet::kUrl, Base64Padding::kNone);
  std::string query;
  put(query, "plugin", s.plugin);
  return "ss://" + user + "@" + host_in_authority(s.host) + ":" + s.port + (query.empty() ? "" : "/" + query) +
         fragment(s);
}

absl::StatusOr<std::string> link_of(const Shared& s, VmessForm vmess) {
  for (const auto& [what, value] :
       {std::pair("address", s.host), std::pair("port", s.port),
        std::pair(s.protocol == "trojan" || s.protocol == "shadowsocks" ? "password" : "id", s.id)}) {
    if (value.empty()) return absl::InvalidArgumentError(std::string("settings: there is no ") + what);
  }
  if (s.protocol == "vmess" && vmess == VmessForm::kV2rayN) return v2rayn_of(s);
  if (s.protocol == "shadowsocks") {
    return s.network == "tcp" && !s.tls ? absl::StatusOr<std::string>(shadowsocks_of(s)) : unsayable("streamSettings");
  }
  std::string query;
  if (s.protocol == "vless") put(query, "encryption", "none");
  if (s.protocol == "vmess") put(query, "encryption", s.cipher);
  put(query, "flow", s.flow);
  return uri_of(s, query);
}

absl::StatusOr<std::string> protocol_of(const JsonValue& object) {
  const std::string protocol = lower(text(&object, {"protocol"}));
  for (std::string_view known : {"vless", "vmess", "trojan", "shadowsocks"}) {
    if (protocol == known) return protocol;
  }
  return absl::InvalidArgumentError("protocol: there are share links for vless, vmess, trojan and shadowsocks, found " +
                                    in_quotes(protocol));
}

std::string plugin_of(const JsonValue* settings) {
  const std::string plugin = text(settings, {"plugin"}), options = text(settings, {"pluginOpts"});
  return plugin + (options.empty() ? "" : ";" + options);
}

absl::StatusOr<std::string> outbound_link(const JsonValue& object, VmessForm vmess) {
  auto protocol = protocol_of(object);
  if (!protocol.ok()) return protocol.status();
  Shared s{.protocol = *protocol, .name = text(&object, {"tag"})};
  const JsonValue* settings = at(&object, {"settings"});
  const std::string_view list = s.protocol == "vless" || s.protocol == "vmess" ? "vnext" : "servers";
  // Xray's flat form has all in one.
  const JsonValue* server = at(settings, {list}) != nullptr ? at(settings, {list}) : settings;
  s.host = text(server, {"address"});
  s.port = text(server, {"port"});
  const JsonValue* user = at(server, {"users"}) != nullptr ? at(server, {"users"}) : server;
  s.id = text(user, {list == "vnext" ? "id" : "password"});
  s.flow = text(user, {"flow"});
  s.cipher = s.protocol == "vmess" ? text(user, {"security"}) : text(server, {"method"});
  if (s.protocol == "vmess" && s.cipher.empty()) s.cipher = "auto";
  if (s.protocol == "vless" && text(user, {"encryption"}) != "none") {
    return unsayable("settings.vnext[0].users[0].encryption");
  }
  s.plugin = plugin_of(settings);
  if (absl::Status status = take_stream(&object, true, s); !status.ok()) return status;
  return link_of(s, vmess);
}

// A server's options are not a client's: there is a key in them, and "server".
absl::StatusOr<std::string> plugin_for_clients(const JsonValue* settings, const ShareOptions& options) {
  const std::string program = text(settings, {"plugin"});
  if (program.empty() || !options.plugin.empty()) return options.plugin;
  auto plugin = client_plugin(program, text(settings, {"pluginOpts"}),
                              options.server_name.empty() ? options.host : options.server_name);
  if (plugin) return *std::move(plugin);
  return absl::InvalidArgumentError("settings.plugin: " + in_quotes(program) +
                                    ": what its clients run is not known here; say it, as \"PROGRAM;OPTIONS\"");
}

// The one of the users whom `wanted` names, or the only one.
absl::StatusOr<const JsonValue*> find_user(const JsonValue* settings, const std::string& wanted) {
  std::vector<const JsonValue*> all;
  for (std::string_view key : {"clients", "users"}) {
    const JsonValue* list = at(settings, {key});
    if (list == nullptr) continue;
    for (const JsonValue& user : list->items) all.push_back(&user);
  }
  if (wanted.empty() && all.size() == 1) return all.front();
  std::string names;
  for (const JsonValue* user : all) {
    const std::string email = text(user, {"email"}), id = text(user, {"id"});
    if (!wanted.empty() && (email == wanted || id == wanted)) return user;
    names += (names.empty() ? "" : ", ") + in_quotes(email.empty() ? id : email);
  }
  if (all.empty()) return nullptr;
  return absl::InvalidArgumentError(wanted.empty() ? "user: there are several; say which of " + names
                                                   : "user: there is no " + in_quotes(wanted) + "; there are " + names);
}

absl::StatusOr<std::string> inbound_link(const JsonValue& object, const ShareOptions& options) {
  auto protocol = protocol_of(object);
  if (!protocol.ok()) return protocol.status();
  if (options.host.empty()) return absl::InvalidArgumentError("host: missing: where clients find this inbound");
  Shared s{.protocol = *protocol};
  const JsonValue* settings = at(&object, {"settings"});
  const auto user = find_user(settings, options.user);
  if (!user.ok()) return user.status();
  const bool by_id = s.protocol == "vless" || s.protocol == "vmess";
  s.name = text(*user, {"email"});
  if (s.name.empty()) s.name = text(&object, {"tag"});
  s.host = options.host;
  s.port = text(&object, {"port"});
  s.port.resize(std::min(s.port.find('-'), s.port.size()));
  s.id = text(*user, {by_id ? "id" : "password"});
  s.flow = text(*user, {"flow"});
  s.cipher = s.protocol == "vmess" ? "auto" : text(settings, {"method"});
  if (s.protocol == "shadowsocks") {
    // Users of 2022 have the server's key in front of their own.
    const std::string server = text(settings, {"password"});
    s.id = s.id.empty() ? server : server.empty() ? s.id : server + ":" + s.id;
    auto plugin = plugin_for_clients(settings, options);
    if (!plugin.ok()) return plugin.status();
    s.plugin = *std::move(plugin);
  }
  if (absl::Status status = take_stream(&object, false, s); !status.ok()) return status;
  if (s.tls) s.server_name = options.server_name.empty() ? options.host : options.server_name;
  return link_of(s, options.vmess);
}

}  // namespace

absl::StatusOr<std::string> json_to_share_link(std::string_view outbound, VmessForm vmess) {
  const auto object = parse_json("outbound", outbound, 0);
  if (!object.ok()) return object.status();
  return outbound_link(*object, vmess);
}

absl::StatusOr<std::string> share_from_config(std::span<const Source> sources, const ShareOptions& options) {
  std::string tags;
  for (const Source& source : sources) {
    const auto root = parse_json(source.name, source.text, 0);
    if (!root.ok()) return root.status();
    for (const bool outbound : {true, false}) {
      const JsonValue* list = at(&*root, {outbound ? "outbounds" : "inbounds"});
      if (list == nullptr) continue;
      for (const JsonValue& object : list->items) {
        const std::string tag = text(&object, {"tag"});
        if (tag == options.tag) return outbound ? outbound_link(object, options.vmess) : inbound_link(object, options);
        tags += (tags.empty() ? "" : ", ") + in_quotes(tag);
      }
    }
  }
  return absl::NotFoundError("tag: there is no " + in_quotes(options.tag) + "; there are " + tags);
}

}  // namespace winze::config
