// From a share link to an outbound in JSON.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "json_value.h"
#include "uri.h"
#include "winze/base/ascii.h"
#include "winze/base/base64.h"
#include "winze/base/status.h"
#include "winze/config/share_link.h"

namespace winze::config {
namespace {

using Json = nlohmann::ordered_json;

absl::Status wrong(std::string_view part, const std::string& message) {
  return absl::InvalidArgumentError(std::string(part) + ": " + message);
}
absl::Status expected(std::string_view part, std::string_view accepted, std::string_view found) {
  return wrong(part, "expected " + std::string(accepted) + ", found " + in_quotes(found));
}

// What was written with either alphabet, with padding or without, maybe broken into lines.
std::optional<std::string> decode_base64(std::string_view text) {
  std::string plain;
  for (char c : text) {
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    plain += c == '-' ? '+' : c == '_' ? '/' : c;
  }
  const auto bytes = base64_decode(plain, Base64Alphabet::kStandard, Base64Padding::kLenient);
  if (!bytes) return std::nullopt;
  return std::string(bytes->begin(), bytes->end());
}

Json words(std::string_view list) {
  Json out = Json::array();
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (comma > 0) out.push_back(std::string(list.substr(0, comma)));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return out;
}

Json one(Json item) {
  Json out = Json::array();
  out.push_back(std::move(item));
  return out;
}

// --- streamSettings, which the links of all protocols but Shadowsocks share ---

absl::Status refuse(Parameters& from, std::initializer_list<std::string_view> names, std::string_view why) {
  for (std::string_view name : names) {
    if (!from.take(name).empty()) return wrong(name, std::string(why));
  }
  return absl::OkStatus();
}

absl::Status read_security(Parameters& from, std::string_view otherwise, Json& stream) {
  std::string security = from.take("security");
  if (security.empty()) security = otherwise;
  const std::string name = from.take("sni"), peer = from.take("peer"), alpn = from.take("alpn"), fp = from.take("fp"),
                    pins = from.take("pcs");
  for (std::string_view key : {"allowInsecure", "insecure"}) {
    const std::string insecure = lower(from.take(key));
    if (insecure.empty() || insecure == "0" || insecure == "false") continue;
    return wrong(key, "certificates are always verified; to trust one give its SHA-256 as \"pcs\"");
  }
  absl::Status status = refuse(from, {"ech", "vcn"}, "not supported");
  if (status.ok())
    status = refuse(from, {"pbk", "sid", "spx", "pqv"}, "belongs to security=reality, which is not supported");
  if (!status.ok()) return status;
  if (security == "none") return absl::OkStatus();
  if (security == "reality") return wrong("security", "reality is not supported; accepted are none and tls");
  if (security != "tls") return expected("security", "none or tls", security);
  stream["security"] = "tls";
  Json tls = Json::object();
  if (!name.empty() || !peer.empty()) tls["serverName"] = name.empty() ? peer : name;
  if (!alpn.empty()) tls["alpn"] = words(alpn);
  if (!fp.empty()) tls["fingerprint"] = fp;
  if (!pins.empty()) tls["pinnedPeerCertSha256"] = words(pins);
  if (!tls.empty()) stream["tlsSettings"] = std::move(tls);
  return absl::OkStatus();
}

absl::Status read_transport(Parameters& from, Json& stream) {
  std::string type = lower(from.take("type"));
  const std::string header = lower(from.take("headerType")), host = from.take("host");
  std::string path = from.take("path");
  if (!path.starts_with('/')) path.insert(0, "/");
  if (absl::Status status = refuse(from, {"fm"}, "masks are not supported"); !status.ok()) return status;
  if (type.empty() || type == "raw") type = "tcp";
  if (type == "websocket") type = "ws";
  if (!header.empty() && header != "none") return wrong("headerType", "camouflage is not supported; accepted is none");
  if (type == "tcp") return absl::OkStatus();
  if (type != "ws" && type != "httpupgrade") {
    return wrong("type", in_quotes(type) + " is not supported; accepted are tcp, ws and httpupgrade");
  }
  stream["network"] = type;
  Json settings = {{"path", std::move(path)}};
  if (!host.empty()) settings["host"] = host;
  stream[type == "ws" ? "wsSettings" : "httpupgradeSettings"] = std::move(settings);
  return absl::OkStatus();
}

absl::StatusOr<Json> read_stream(Parameters& from, std::string_view security) {
  Json stream = {{"network", "tcp"}, {"security", "none"}};
  absl::Status status = read_transport(from, stream);
  if (status.ok()) status = read_security(from, security, stream);
  if (status.ok()) status = from.finish();
  if (!status.ok()) return status;
  return stream;
}

// --- the protocols: each yields {"protocol": ..., "settings": ..., "streamSettings": ...} ---

absl::StatusOr<Json> outbound(std::string_view protocol, Json settings, Parameters& from, std::string_view security) {
  auto stream = read_stream(from, security);
  if (!stream.ok()) return stream.status();
  return Json{{"protocol", protocol}, {"settings", std::move(settings)}, {"streamSettings", std::move(*stream)}};
}

Json vnext(const Uri& uri, Json user) {
  return {{"vnext", one({{"address", uri.host}, {"port", uri.port}, {"users", one(std::move(user))}})}};
}

absl::StatusOr<Json> read_vless(std::string_view text) {
  auto uri = parse_uri(text);
  if (!uri.ok()) return uri.status();
  if (uri->user.empty()) return wrong("user", "missing: the id");
  const std::string encryption = uri->parameters.take("encryption"), flow = uri->parameters.take("flow");
  if (!encryption.empty() && encryption != "none") return expected("encryption", "none", encryption);
  Json user = {{"id", uri->user}, {"encryption", "none"}};
  if (!flow.empty()) user["flow"] = flow;
  return outbound("vless", vnext(*uri, std::move(user)), uri->parameters, "none");
}

absl::StatusOr<Json> read_trojan(std::string_view text) {
  auto uri = parse_uri(text);
  if (!uri.ok()) return uri.status();
  if (uri->user.empty()) return wrong("user", "missing: the password");
  if (!uri->parameters.take("flow").empty()) return wrong("flow", "Trojan has no flows here");
  Json settings = {{"servers", one({{"address", uri->host}, {"port", uri->port}, {"password", uri->user}})}};
  return outbound("trojan", std::move(settings), uri->parameters, "tls");
}

Json vmess_user(const std::string& id, const std::string& security) {
  return {{"id", id}, {"alterId", 0}, {"security", security.empty() ? "auto" : security}};
}

absl::StatusOr<Json> read_vmess_uri(std::string_view text) {
  auto uri = parse_uri(text);
  if (!uri.ok()) return uri.status();
  if (uri->user.empty()) return wrong("user", "missing: the id");
  const std::string cipher = uri->parameters.take("encryption");
  return outbound("vmess", vnext(*uri, vmess_user(uri->user, cipher)), uri->parameters, "none");
}

// A member of v2rayN's object as text; its numbers may be either.
std::string text_of(const JsonValue& object, std::string_view key) {
  for (const JsonValue& member : object.members) {
    if (member.name != key) continue;
    return member.kind == JsonValue::Kind::kInteger ? std::to_string(member.integer) : member.text;
  }
  return {};
}

// v2rayN's names of what the standard form has too.
constexpr std::pair<std::string_view, std::string_view> kNames[] = {
    {"net", "type"},     {"type", "headerType"},   {"host", "host"}, {"path", "path"},
    {"tls", "security"}, {"sni", "sni"},           {"alpn", "alpn"}, {"fp", "fp"},
    {"pcs", "pcs"},      {"insecure", "insecure"}, {"vcn", "vcn"}};

absl::StatusOr<Json> read_vmess_object(const JsonValue& object, std::string& name) {
  std::string query;
  for (const JsonValue& member : object.members) {
    constexpr std::string_view kOwn[] = {"v", "ps", "add", "port", "id", "aid", "scy"};
    if (std::ranges::find(kOwn, member.name) != std::end(kOwn)) continue;
    const auto found = std::ranges::find(kNames, member.name, &std::pair<std::string_view, std::string_view>::first);
    const std::string key(found != std::end(kNames) ? found->second : std::string_view(member.name));
    query += percent_encode(key) + "=" + percent_encode(text_of(object, member.name)) + "&";
  }
  auto parameters = Parameters::parse(query);
  if (!parameters.ok()) return parameters.status();
  if (const std::string version = text_of(object, "v"); !version.empty() && version != "2") {
    return expected("v", "2", version);
  }
  if (const std::string aid = text_of(object, "aid"); !aid.empty() && aid != "0") {
    return wrong("aid", "must be 0: VMess with MD5 headers, which any other number asks for, is not supported");
  }
  Uri uri;
  const std::string id = text_of(object, "id");
  if (id.empty()) return wrong("id", "missing");
  const absl::Status status =
      parse_authority(host_in_authority(text_of(object, "add")) + ":" + text_of(object, "port"), uri);
  if (!status.ok()) return status;
  name = text_of(object, "ps");
  return outbound("vmess", vnext(uri, vmess_user(id, text_of(object, "scy"))), *parameters, "none");
}

absl::StatusOr<Json> read_vmess(std::string_view text, std::string& name) {
  if (text.find('@') != text.npos) return read_vmess_uri(text);
  const auto decoded = decode_base64(text);
  if (!decoded) return wrong("link", "expected id@host:port, or Base64 of a JSON object");
  const auto object = parse_json("the JSON in the link", *decoded, 0);
  if (!object.ok()) return wrong("link", std::string(message_of(object.status())));
  if (object->kind != JsonValue::Kind::kObject)
    return wrong("link", "expected a JSON object, found " + describe(*object));
  return read_vmess_object(*object, name);
}

absl::StatusOr<Json> read_shadowsocks(std::string_view text) {
  std::string whole;
  if (text.find('@') == text.npos) {
    const auto decoded = decode_base64(text);
    // The forerunner has passwords as they are, whatever is in them.
    const std::size_t at = decoded ? decoded->rfind('@') : std::string::npos;
    if (at == std::string::npos)
      return wrong("link", "expected user@host:port, or Base64 of method:password@host:port");
    whole = percent_encode(decoded->substr(0, at)) + decoded->substr(at);
    text = whole;
  }
  auto uri = parse_uri(text);
  if (!uri.ok()) return uri.status();
  std::string user = uri->user;
  if (user.find(':') == user.npos) user = decode_base64(user).value_or("");
  const std::size_t colon = user.find(':');
  if (colon == user.npos) return wrong("user", "expected method:password, plain or in Base64");
  Json server = {{"address", uri->host},
                 {"port", uri->port},
                 {"method", user.substr(0, colon)},
                 {"password", user.substr(colon + 1)}};
  Json settings = {{"servers", one(std::move(server))}};
  const std::string plugin = uri->parameters.take("plugin");
  const std::size_t options = std::min(plugin.find(';'), plugin.size());
  if (options > 0) settings["plugin"] = plugin.substr(0, options);
  if (options < plugin.size()) settings["pluginOpts"] = plugin.substr(options + 1);
  if (absl::Status status = uri->parameters.finish(); !status.ok()) return status;
  return Json{{"protocol", "shadowsocks"}, {"settings", std::move(settings)}};
}

bool is_utf8(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace) ==
         value.dump(-1, ' ', false, Json::error_handler_t::ignore);
}

absl::StatusOr<Json> read_link(std::string_view link) {
  constexpr std::string_view kBlank = " \t\r\n";
  while (!link.empty() && kBlank.find(link.front()) != kBlank.npos) link.remove_prefix(1);
  while (!link.empty() && kBlank.find(link.back()) != kBlank.npos) link.remove_suffix(1);
  const std::size_t hash = std::min(link.find('#'), link.size());
  const auto fragment = percent_decode(link.substr(std::min(hash + 1, link.size())));
  if (!fragment) return wrong("name", "a % without two hexadecimal digits");
  std::string name = *fragment;
  link = link.substr(0, hash);
  const std::size_t colon = std::min(link.find("://"), link.size());
  const std::string scheme = lower(link.substr(0, colon));
  const std::string_view rest = link.substr(std::min(colon + 3, link.size()));
  absl::StatusOr<Json> read = expected("link", "vmess://, vless://, trojan:// or ss://", link.substr(0, colon));
  if (scheme == "vless") read = read_vless(rest);
  if (scheme == "trojan") read = read_trojan(rest);
  if (scheme == "vmess") read = read_vmess(rest, name);
  if (scheme == "ss") read = read_shadowsocks(rest);
  if (!read.ok()) return read.status();
  if (!is_utf8(*read)) return wrong("link", "is not UTF-8 before its name");
  Json out = Json::object();
  if (!name.empty()) out["tag"] = name;
  out.update(*read);
  return out;
}

}  // namespace

absl::StatusOr<std::string> share_link_to_json(std::string_view link) {
  const auto outbound = read_link(link);
  if (!outbound.ok()) return outbound.status();
  // Names may hold anything, and JSON is UTF-8.
  return outbound->dump(2, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<node::OutboundOptions> read_share_link(std::string_view link) {
  auto json = share_link_to_json(link);
  if (!json.ok()) return json.status();
  const Source source{"link", "{\"outbounds\": [" + *json + "]}"};
  auto config = read_v2ray_json(std::span(&source, 1));
  if (!config.ok()) return config.status();
  return std::move(config->options.outbounds.front());
}

}  // namespace winze::config
