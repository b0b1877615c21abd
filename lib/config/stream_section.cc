#include <algorithm>

#include "sections.h"
#include "winze/proto/ws/codec.h"

namespace winze::config {
namespace {

using node::StreamSettings;

void read_tcp(ObjectReader& object) {
  ObjectReader header = object.object("header");
  const std::string type = header.string("type", "none");
  if (type == "http") header.fail("type", "HTTP camouflage of raw TCP is not supported yet");
  if (type != "http" && type != "none") header.fail("type", "expected \"none\", found \"" + type + "\"");
  header.ignore({"request", "response"});
  header.finish();
  object.finish();
}

// A client's Host header is the `host` key (Xray) or among the headers (V2Ray). A server compares the `host` key only;
// V2Ray's pay no heed to their headers.
void take_host(Side side, std::vector<std::pair<std::string, std::string>>& headers, std::string& host) {
  const auto is_host = [](const auto& header) {
    return header.first.size() == 4 &&
           std::ranges::equal(header.first, std::string_view("host"), [](char a, char b) { return (a | 0x20) == b; });
  };
  for (const auto& header : headers) {
    if (side == Side::kOutbound && is_host(header) && host.empty()) host = header.second;
  }
  std::erase_if(headers, is_host);
}

std::string read_path(ObjectReader& object) {
  std::string path = object.string("path");
  if (!path.starts_with('/')) path.insert(0, "/");
  for (char c : path) {
    if (c <= ' ' || c == 0x7f) {
      object.fail("path", "a path has no blanks and no control characters");
      break;
    }
  }
  return path;
}

node::WebSocketOptions read_ws(ObjectReader object, Side side) {
  node::WebSocketOptions out;
  out.path = read_path(object);
  out.early_data = static_cast<std::uint32_t>(ws::take_early_data_limit(out.path));
  out.host = object.string("host");
  out.headers = object.headers("headers");
  take_host(side, out.headers, out.host);
  if (out.early_data == 0) {
    out.early_data = static_cast<std::uint32_t>(object.integer("maxEarlyData", 0, 65536, 0));
    out.early_data_header = object.string("earlyDataHeaderName", out.early_data == 0 ? "Sec-WebSocket-Protocol" : "");
  } else {
    object.ignore({"maxEarlyData", "earlyDataHeaderName"});
  }
  out.half_close = object.boolean("halfClose");
  if (object.integer("heartbeatPeriod", 0, 3600, 0) != 0)
    object.fail("heartbeatPeriod", "pings at an interval are not supported yet; use 0");
  if (object.boolean("useBrowserForwarding"))
    object.fail("useBrowserForwarding", "browser forwarding is not supported");
  object.finish();
  return out;
}

node::HttpUpgradeOptions read_http_upgrade(ObjectReader object, Side side) {
  node::HttpUpgradeOptions out;
  out.path = read_path(object);
  if (ws::take_early_data_limit(out.path) != 0)
    object.warn("path", "early data is not used with HTTPUpgrade: servers lose it");
  out.host = object.string("host");
  out.headers = object.headers("headers");
  take_host(side, out.headers, out.host);
  object.finish();
  return out;
}

node::PemSource read_pem(ObjectReader& object, std::string_view file_key, std::string_view text_key) {
  node::PemSource out{.file = object.string(file_key), .text = {}};
  for (const std::string& line : object.strings(text_key)) out.text += line + "\n";
  if (out.file.empty() && out.text.empty()) {
    object.fail(file_key, "missing: give a file name, or the PEM lines as \"" + std::string(text_key) + "\"");
  }
  return out;
}

void read_certificate(ObjectReader& object, node::TlsOptions& out) {
  static constexpr std::string_view kUsages[] = {"encipherment", "verify", "issue"};
  const std::size_t usage = object.word("usage", kUsages, 0);
  if (usage == 2) object.fail("usage", "issuing certificates is not supported; use \"encipherment\" or \"verify\"");
  node::PemSource chain = read_pem(object, "certificateFile", "certificate");
  if (usage == 1) {
    out.roots.push_back(std::move(chain));
    object.ignore({"keyFile", "key"});
  } else {
    out.certificates.push_back({std::move(chain), read_pem(object, "keyFile", "key")});
  }
  object.pass_over("ocspStapling", "not supported: no OCSP response is sent along");
  object.ignore({"oneTimeLoading", "buildChain"});
}

node::TlsOptions read_tls(ObjectReader object, Side side) {
  node::TlsOptions out;
  out.server_name = object.string("serverName");
  out.alpn = object.strings("alpn");
  object.objects("certificates", [&](ObjectReader& certificate) { read_certificate(certificate, out); });
  out.disable_system_root = object.boolean("disableSystemRoot");
  // V2Ray's default is false; resumption costs nothing in safety, so here it is on unless it is switched off.
  out.session_resumption = object.boolean("enableSessionResumption", true);
  out.reject_unknown_sni = object.boolean("rejectUnknownSni");
  out.verify_client = object.boolean("verifyClientCertificate");
  out.certificate_sha256 = object.strings("pinnedPeerCertSha256");
  out.spki_sha256 = object.strings("pinnedPeerPublicKeySha256");
  out.min_version = object.string("minVersion");
  out.max_version = object.string("maxVersion");
  out.key_log_file = object.string("masterKeyLog");
  if (object.boolean("allowInsecure")) {
    object.fail("allowInsecure",
                "certificates are always verified here; to trust a private CA list it under "
                "\"certificates\" with usage \"verify\", to trust one certificate give its SHA-256 as "
                "\"pinnedPeerCertSha256\"");
  }
  object.refuse("pinnedPeerCertificateChainSha256",
                "pins of whole chains are not supported; use \"pinnedPeerCertSha256\"");
  if (!object.string("fingerprint").empty())
    object.warn("fingerprint", "the ClientHello is BoringSSL's own; fingerprints are not imitated");
  object.refuse({"cipherSuites", "curvePreferences"}, "the choice is BoringSSL's: AEAD suites, X25519 and P-256 first");
  object.ignore({"preferServerCipherSuites"});
  if (side == Side::kInbound && out.certificates.empty()) {
    object.fail("certificates", "missing: a TLS server needs a certificate with its key");
  }
  object.finish();
  return out;
}

node::SocketSettings read_socket(ObjectReader object) {
  node::SocketSettings out;
  out.mark = static_cast<std::uint32_t>(object.integer("mark", 0, UINT32_MAX, 0));
  if (const JsonValue* fast_open = object.find("tcpFastOpen")) {
    out.tcp_fast_open =
        fast_open->kind == JsonValue::Kind::kInteger ? fast_open->integer > 0 : object.boolean("tcpFastOpen");
  }
  static constexpr std::string_view kTproxy[] = {"off", "redirect", "tproxy"};
  if (object.word("tproxy", kTproxy, 0) != 0) object.fail("tproxy", "not supported yet; use \"off\"");
  out.accept_proxy_protocol = object.boolean("acceptProxyProtocol");
  out.keep_alive_idle = std::chrono::seconds(object.integer("tcpKeepAliveIdle", -1, 86400, 0));
  out.keep_alive_interval = std::chrono::seconds(object.integer("tcpKeepAliveInterval", -1, 86400, 0));
  out.interface = object.string("interface", object.string("bindToDevice"));
  out.congestion_control = object.string("tcpCongestion", object.string("tcpcongestion"));
  out.v6_only = object.boolean("V6Only");
  object.refuse("dialerProxy", "use \"proxySettings\": {\"tag\": ...} instead");
  if (const std::string strategy = lower(object.string("domainStrategy", "AsIs")); strategy != "asis") {
    object.fail("domainStrategy", "not supported yet; leave it out: both families are tried, as RFC 8305 has it");
  }
  out.user_timeout = std::chrono::milliseconds(object.integer("tcpUserTimeout", 0, INT32_MAX, 0));
  out.max_segment = static_cast<int>(object.integer("tcpMaxSeg", 0, 65535, 0));
  out.window_clamp = static_cast<int>(object.integer("tcpWindowClamp", 0, INT32_MAX, 0));
  object.pass_over("tcpMptcp", "not supported: plain TCP is used");
  object.pass_over("happyEyeballs", "not used: both families are tried, as RFC 8305 has it");
  object.finish();
  return out;
}

}  // namespace

StreamSettings read_stream(ObjectReader object, Side side) {
  StreamSettings out;
  static constexpr std::string_view kNetworks[] = {
      "tcp", "raw",  "ws",   "websocket", "httpupgrade", "kcp",       "mkcp",         "http",
      "h2",  "quic", "grpc", "gun",       "xhttp",       "splithttp", "domainsocket", "ds"};
  const std::size_t network = object.word("network", kNetworks, 0);
  if (network == 2 || network == 3) out.network = StreamSettings::Network::kWebSocket;
  if (network == 4) out.network = StreamSettings::Network::kHttpUpgrade;
  if (network > 4) {
    object.fail("network", "\"" + std::string(kNetworks[network]) +
                               "\" is not supported yet; supported are \"tcp\", \"ws\", \"httpupgrade\"");
  }
  static constexpr std::string_view kSecurities[] = {"none", "", "tls", "reality", "xtls"};
  const std::size_t security = object.word("security", kSecurities, 0);
  if (security > 2) {
    object.fail("security",
                "\"" + std::string(kSecurities[security]) + "\" is not supported; supported are \"none\", \"tls\"");
  }
  bool accept_proxy = false;
  // A mistake in settings that are not used is worth a word too.
  const auto read = [&](std::string_view key, bool used, const std::function<void(ObjectReader)>& reader) {
    used ? reader(object.object(key)) : object.unused(key, "not used with this network and security", reader);
  };
  const auto of_network = [&](std::string_view key, StreamSettings::Network its, auto reader) {
    const bool used = out.network == its;
    read(key, used, [&](ObjectReader settings) {
      const bool accepts = settings.boolean("acceptProxyProtocol");
      if (used) accept_proxy |= accepts;
      reader(settings);
    });
  };
  for (std::string_view key : {"tcpSettings", "rawSettings"}) of_network(key, StreamSettings::Network::kTcp, read_tcp);
  of_network("wsSettings", StreamSettings::Network::kWebSocket,
             [&](ObjectReader& settings) { out.ws = read_ws(settings, side); });
  of_network("httpupgradeSettings", StreamSettings::Network::kHttpUpgrade,
             [&](ObjectReader& settings) { out.http_upgrade = read_http_upgrade(settings, side); });
  read("tlsSettings", security == 2, [&](ObjectReader settings) {
    node::TlsOptions tls = read_tls(settings, side);
    const bool speaks_http1 = tls.alpn.empty() || std::ranges::count(tls.alpn, "http/1.1") != 0;
    if (out.network != StreamSettings::Network::kTcp && !speaks_http1)
      settings.warn("alpn", "not used: this network is HTTP/1.1, so \"http/1.1\" is said");
    if (security == 2) out.tls = std::move(tls);
  });
  if (security == 2 && side == Side::kInbound && object.find("tlsSettings") == nullptr)
    object.fail("tlsSettings", "missing: a TLS server needs \"certificates\"");
  out.socket = read_socket(object.object("sockopt"));
  out.socket.accept_proxy_protocol |= accept_proxy;
  for (std::string_view key : {"kcpSettings", "httpSettings", "quicSettings", "dsSettings", "grpcSettings",
                               "gunSettings", "xhttpSettings", "xtlsSettings", "realitySettings"}) {
    object.pass_over(key, "not used with this network and security");
  }
  object.finish();
  return out;
}

}  // namespace winze::config
