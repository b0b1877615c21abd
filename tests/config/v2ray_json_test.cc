#include "winze/config/v2ray_json.h"

#include <doctest/doctest.h>

#include <string>

#include "winze/base/status.h"

namespace winze::config {
namespace {

absl::StatusOr<Config> read(std::string text, ReadOptions options = {}) {
  const Source source{"client.json", std::move(text)};
  return read_v2ray_json(std::span(&source, 1), options);
}

std::string error_of(std::string text) {
  const auto config = read(std::move(text));
  return config.ok() ? std::string("no error") : std::string(message_of(config.status()));
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

constexpr std::string_view kWhole = R"({
  // VLESS over WebSocket over TLS
  "log": {"loglevel": "info"}, # another comment
  "policy": {"levels": {"0": {"handshake": 7, "connIdle": 60, "uplinkOnly": 1, "downlinkOnly": 0}}},
  "inbounds": [
    {"tag": "in", "listen": "127.0.0.1", "port": "1080", "Protocol": "SOCKS",
     "settings": {"auth": "password", "accounts": [{"user": "a", "pass": "b"}], "udp": false}},
    {"port": "4000-4002", "protocol": "vless", "settings": {"clients": [{"id": "x", "level": 1}], "decryption": "none",
     "fallbacks": [{"dest": 80, "xver": 2}]}, "streamSettings": {"network": "ws", "wsSettings": {"path": "p"}}}
  ],
  "outbounds": [
    {"tag": "out", "protocol": "vless",
     "settings": {"vnext": [{"address": "::1", "port": 443, "users": [{"id": "y", "encryption": "none"}]}]},
     "streamSettings": {"network": "ws", "security": "tls", "tlsSettings": {"serverName": "a.test", "alpn": "h2,http/1.1"},
       "wsSettings": {"path": "/r?ed=2048&x=1", "headers": {"Host": "a.test", "X-A": ["1", "2"]}}}},
    {"tag": "direct", "protocol": "freedom", "settings": {}}
  ] /* the end */
})";

TEST_CASE("a whole configuration is read") {
  auto config = read(std::string(kWhole));
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  const node::NodeOptions& o = config->options;
  CHECK(o.policy(0).handshake == std::chrono::seconds(7));
  CHECK(o.policy(0).downlink_only == Duration(0));
  REQUIRE(o.inbounds.size() == 2);
  CHECK(o.inbounds[0].port_from == 1080);
  CHECK(std::get<node::SocksInbound>(o.inbounds[0].settings).accounts.at(0).user == "a");
  CHECK(o.inbounds[1].port_from == 4000);
  CHECK(o.inbounds[1].port_to == 4002);
  CHECK(o.inbounds[1].stream.ws.path == "/p");
  const auto& vless = std::get<node::VlessInbound>(o.inbounds[1].settings);
  CHECK(vless.users.at(0).level == 1);
  CHECK(vless.fallbacks.at(0).dest == "80");
  CHECK(vless.fallbacks.at(0).proxy_protocol == 2);
  REQUIRE(o.outbounds.size() == 2);
  const node::StreamSettings& stream = o.outbounds[0].stream;
  CHECK(stream.network == node::StreamSettings::Network::kWebSocket);
  CHECK(stream.ws.path == "/r?x=1");
  CHECK(stream.ws.early_data == 2048);
  CHECK(stream.ws.host == "a.test");
  CHECK(stream.ws.headers.size() == 2);
  REQUIRE(stream.tls);
  CHECK(stream.tls->alpn == std::vector<std::string>{"h2", "http/1.1"});
  CHECK(std::get<node::VlessOutbound>(o.outbounds[0].settings).server == Destination("::1", 443));
}

std::string inbound(std::string_view members) { return R"({"inbounds": [{"port": 1, )" + std::string(members) + "}]}"; }
std::string outbound(std::string_view members) { return R"({"outbounds": [{)" + std::string(members) + "}]}"; }

TEST_CASE("errors say where, what was found, and what is accepted") {
  struct Case {
    std::string text;
    std::string_view wanted;
  };
  const std::string vless = R"("protocol": "vless", "settings": {"address": "h", "port": 1, "id": "x", )"
                            R"("encryption": "none"}, "streamSettings": )";
  const Case cases[] = {
      {"{\"inbuonds\": []}", "inbuonds: unknown key; did you mean \"inbounds\"? (client.json:1:2"},
      {"[1]", "expected an object"},
      {"{\n  \"log\": {,}\n}", "client.json:2:11"},
      {"{\"inbounds\": 1}", "inbounds: expected an array of objects, found the number 1"},
      {inbound(R"("protocol": "sokcs")"), "inbounds[0].protocol: unknown protocol \"sokcs\""},
      {inbound(R"("protocol": "wireguard")"), "not supported yet"},
      {R"({"inbounds": [{"protocol": "socks"}]})", "inbounds[0].port: missing"},
      {R"({"inbounds": [{"protocol": "socks", "port": 70000}]})", "inbounds[0].port: expected a port"},
      {R"({"inbounds": [{"protocol": "socks", "port": "9-3"}]})", "inbounds[0].port: expected a port"},
      {R"({"inbounds": [{"protocol": "socks", "port": "env:P"}]})", "the variable P is not set"},
      {inbound(R"("protocol": "vless")"), "inbounds[0].settings.decryption: missing"},
      {inbound(R"("protocol": "dokodemo-door")"), "inbounds[0].settings.port: missing"},
      {inbound(R"("protocol": "dokodemo-door", "settings": {"port": 1, "network": "tcp,sctp"})"),
       "settings.network: expected \"tcp\", \"udp\" or both, found \"sctp\""},
      {inbound(R"("protocol": "socks", "settings": {"udp": true, "ip": "a.test"})"),
       "settings.ip: expected an IP address, found \"a.test\""},
      {inbound(R"("protocol": "socks", "settings": {"auth": "password"})"), "settings.accounts: missing"},
      {inbound(R"("protocol": "socks", "settings": {"accounts": [{"user": "a", "pass": 1}]})"),
       "accounts[0].pass: expected a string, in quotation marks"},
      {inbound(R"("protocol": "socks", "sniffing": {"enabled": true})"), "sniffing.enabled: sniffing is not supported"},
      {inbound(R"("protocol": "socks", "sniffing": {"enable": false})"), "did you mean \"enabled\"?"},
      {inbound(R"("protocol": "socks", "streamSettings": {"security": "tls"})"), "certificates: missing"},
      {inbound(R"("protocol": "vless", "settings": {"clients": [{"id": "x", "flow": "xtls-rprx-direct"}],
        "decryption": "none"})"),
       "clients[0].flow: expected \"xtls-rprx-vision\" or nothing, found \"xtls-rprx-direct\""},
      {inbound(R"("protocol": "vless", "settings": {"clients": [{"id": "x", "flow": "xtls-rprx-vision-udp443"}],
        "decryption": "none"})"),
       "clients[0].flow: expected \"xtls-rprx-vision\" or nothing, found \"xtls-rprx-vision-udp443\""},
      {outbound(R"("protocol": "vless", "settings": {"address": "h", "port": 1, "id": "x", "encryption": "none",)"
                R"("flow": "xtls-rprx-direct"})"),
       "settings.flow: expected \"xtls-rprx-vision\", \"xtls-rprx-vision-udp443\" or nothing, found "
       "\"xtls-rprx-direct\""},
      {inbound(R"("protocol": "trojan", "settings": {"clients": [{"email": "a"}]})"), "clients[0].password: missing"},
      {outbound(R"("protocol": "trojan", "settings": {"servers": [{"address": "h", "password": "p"}]})"),
       "settings.servers[0].port: missing"},
      {outbound(R"("protocol": "trojan")"), "outbounds[0].settings.servers: missing"},
      {outbound(R"("protocol": "vless")"), "outbounds[0].settings.vnext: missing"},
      {outbound(vless + R"({"network": "kcp"})"), "streamSettings.network: \"kcp\" is not supported yet"},
      {outbound(vless + R"({"security": "tls", "tlsSettings": {"allowInsecure": true}})"),
       "certificates are always verified"},
      {outbound(vless + R"({"network": "ws", "wsSettings": {"headers": {"A": "b\r\nc"}}})"), "no control characters"},
      {outbound(vless + R"({"security": "tls", "tlsSettings": {"cipherSuites": "X"}})"), "tlsSettings.cipherSuites"},
      {outbound(R"("protocol": "freedom", "protocol": "freedom")"), "this key is there twice"},
      {outbound(R"("protocol": "freedom", "mux": {"enabled": true})"), "outbounds[0].mux: \"freedom\" has no server"},
      {outbound(vless + R"({}, "mux": {"enabled": true, "concurrency": 1025})"), "mux.concurrency"},
      {outbound(R"("protocol": "vless", "settings": {"address": "h", "port": 1, "id": "x", "encryption": "none",)"
                R"("flow": "xtls-rprx-vision"}, "streamSettings": {"security": "tls"}, "mux": {"enabled": true})"),
       "outbounds[0].mux: streams with the flow xtls-rprx-vision"},
      {outbound(vless + R"({}, "mux": {"enabled": true, "xudpProxyUDP443": "maybe"})"), "xudpProxyUDP443"},
      {outbound(vless + R"({}, "mux": {"enabled": true, "protocol": "spdy"})"), "mux.protocol"},
      {outbound(vless + R"({}, "mux": {"enabled": true, "padding": true})"), "mux.padding: not of mux.cool"},
      {outbound(vless + R"({}, "mux": {"enabled": true, "protocol": "smux", "concurrency": 4})"),
       "mux.concurrency: of mux.cool"},
      {outbound(vless + R"({}, "mux": {"enabled": true, "protocol": "yamux", "maxStreams": 4, "minStreams": 2})"),
       "mux.maxStreams: says when a further connection is opened"},
      {outbound(vless + R"({}, "mux": {"enabled": true, "protocol": "smux", "brutal": {"enabled": true}})"),
       "TCP Brutal is not supported"},
      {inbound(R"("protocol": "socks", "mux": {"enabled": false, "padding": true})"), "inbounds[0].mux.padding"},
      {R"({"routing": {"rules": [{"type": "field"}]}})", "routing.rules: routing rules are not supported yet"},
      {R"({"routing": {"rule": []}})", "did you mean \"rules\"?"},
      {R"({"dns": {"servers": ["1.1.1.1"]}})", "dns.servers"},
      {R"({"policy": {"levels": {"x": {}}}})", "a level is a number from 0 to 255"},
      {R"({"log": {"maskAddress": "half"}})", "log.maskAddress: not supported"},
      {inbound(R"("protocol": "socks", "allocate": {"strategy": "random"})"), "allocate.strategy: only \"always\""},
      {inbound(R"("protocol": "socks", "streamSettings": {"sockopt": {"tproxy": "tproxy"}})"),
       "sockopt.tproxy: not supported yet"},
      {outbound(R"("protocol": "freedom", "settings": {"finalRules": [{"action": "block"}]})"),
       "settings.finalRules: not supported"},
      {outbound(R"("protocol": "freedom", "targetStrategy": "UseIPv4")"), "targetStrategy: not supported"},
      {outbound(R"("protocol": "freedom", "domainStrategy": "UseIP")"), "domainStrategy: not supported"},
      {outbound(vless + R"({"network": "ws"}, "proxySettings": {"tag": "x"})"), "proxySettings.transportLayer: here"},
      {outbound(R"("protocol": "vless", "settings": {"vnext": [{"address": "h", "port": 1, "users":
        [{"id": "x", "encryption": "none"}, {"id": "y", "encryption": "none", "level": 1}]}]})"),
       "vnext[0].users: several users in one outbound are not supported"},
      {outbound(R"("protocol": "vless", "settings": {"vnext": [{"address": "h", "port": 1}]})"), "users: missing"},
      {outbound(R"("protocol": "socks", "settings": {"servers": [{"address": "h", "port": 1},
        {"address": "i", "port": 1, "level": 1}]})"),
       "settings.servers: several servers in one outbound are not supported"},
      {outbound(R"("protocol": "http", "settings": {"servers": [{"address": "h", "port": 1, "users":
        [{"user": "a", "pass": "b"}, {"user": "c", "pass": "d"}]}]})"),
       "servers[0].users: several users in one outbound are not supported"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK_MESSAGE(has(error_of(c.text), c.wanted), error_of(c.text));
  }
}

TEST_CASE("UDP: associations of socks and mixed, networks of a dokodemo-door") {
  const auto config = read(R"({"inbounds": [
    {"port": 1, "protocol": "socks", "settings": {"udp": true, "ip": "192.0.2.1"}},
    {"port": 2, "protocol": "mixed", "settings": {"udp": true}},
    {"port": 3, "protocol": "dokodemo-door", "settings": {"port": 53}},
    {"port": 4, "protocol": "dokodemo-door", "settings": {"port": 53, "network": "udp"}},
    {"port": 5, "protocol": "dokodemo-door", "settings": {"port": 53, "network": "tcp,udp"}}]})");
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  CHECK(config->warnings.empty());
  const auto& inbounds = config->options.inbounds;
  const auto& socks = std::get<node::SocksInbound>(inbounds[0].settings);
  CHECK(socks.udp);
  CHECK(socks.ip == IpAddress::parse("192.0.2.1"));
  const auto& mixed = std::get<node::MixedInbound>(inbounds[1].settings).socks;
  CHECK(mixed.udp);
  CHECK_FALSE(mixed.ip);
  const bool wanted[][2] = {{true, false}, {false, true}, {true, true}};
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& door = std::get<node::DokodemoInbound>(inbounds[2 + i].settings);
    CHECK(door.tcp == wanted[i][0]);
    CHECK(door.udp == wanted[i][1]);
  }
}

TEST_CASE("no message shows a password") {
  const std::string text = inbound(R"("protocol": "socks", "settings": {"auth": "password", "accounts":
      [{"pass": "correct horse"}]})");
  CHECK_FALSE(has(error_of(text), "horse"));
}

TEST_CASE("lenient reading warns of unknown keys only") {
  const auto config =
      read(R"({"nothing": 1, "outbounds": [{"protocol": "freedom"}]})", {.lenient = true, .environment = {}});
  REQUIRE(config.ok());
  REQUIRE(config->warnings.size() == 1);
  CHECK(has(config->warnings[0], "nothing: unknown key"));
  CHECK_FALSE(read(R"({"inbounds": 1})", {.lenient = true, .environment = {}}).ok());
}

TEST_CASE("what only tunes, and what is not used, is worth a warning") {
  struct Case {
    std::string text;
    std::string_view wanted;
  };
  const std::string stream = R"("protocol": "freedom", "streamSettings": )";
  const Case cases[] = {
      {R"({"policy": {"levels": {"0": {"bufferSize": 4}}}})", "bufferSize: not used"},
      {outbound(stream + R"({"sockopt": {"tcpMptcp": true}})"), "tcpMptcp: not supported"},
      {outbound(stream + R"({"sockopt": {"happyEyeballs": {"tryDelayMs": 250}}})"), "happyEyeballs: not used"},
      {outbound(stream + R"({"grpcSettings": {"serviceName": "x"}})"), "grpcSettings: not used"},
      {outbound(stream + R"({"wsSettings": {}})"), "wsSettings: not used"},
      {outbound(stream + R"({"wsSettings": {"pth": "/x"}})"), "wsSettings.pth: unknown key; did you mean \"path\"?"},
      {outbound(stream + R"({"network": "ws", "tcpSettings": {"haeder": {}}})"), "did you mean \"header\"?"},
      {outbound(stream + R"({"tlsSettings": {"allowInsecure": true}})"), "certificates are always verified"},
      {outbound(stream + R"({"network": "ws", "security": "tls", "tlsSettings": {"alpn": ["h2"]}})"), "alpn: not used"},
      {outbound(stream + R"({"security": "tls", "tlsSettings": {"certificates": [{"usage": "verify",
        "certificate": ["x"], "ocspStapling": 3600}]}})"),
       "ocspStapling: not supported"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const auto config = read(c.text);
    REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
    REQUIRE_FALSE(config->warnings.empty());
    CHECK_MESSAGE(has(config->warnings.back(), c.wanted), config->warnings.back());
  }
}

TEST_CASE("settings that are not used do nothing, those of sockets do") {
  const auto config = read(R"({"outbounds": [{"protocol": "freedom", "proxySettings": {"tag": "x",
    "transportLayer": true}, "streamSettings": {"wsSettings": {"acceptProxyProtocol": true}, "sockopt":
    {"tcpUserTimeout": 1500, "tcpMaxSeg": 1200, "tcpWindowClamp": 60000}}}]})");
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  const node::SocketSettings& socket = config->options.outbounds[0].stream.socket;
  CHECK_FALSE(socket.accept_proxy_protocol);
  CHECK(socket.user_timeout == std::chrono::milliseconds(1500));
  CHECK(socket.max_segment == 1200);
  CHECK(socket.window_clamp == 60000);
}

TEST_CASE("ports come from the environment") {
  const auto environment = [](std::string_view name) {
    return name == "P" ? std::optional<std::string>("7-9") : std::nullopt;
  };
  const auto config =
      read(R"({"inbounds": [{"protocol": "socks", "port": "env:P"}]})", {.lenient = false, .environment = environment});
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  CHECK(config->options.inbounds[0].port_to == 9);
}

TEST_CASE("several sources merge as Xray has it") {
  const Source sources[] = {
      {"a.json",
       R"({"outbounds": [{"tag": "x", "protocol": "freedom"}], "inbounds": [{"port": 1, "protocol": "http"}]})"},
      {"b.json",
       R"({"outbounds": [{"tag": "y", "protocol": "freedom"}], "inbounds": [{"port": 2, "protocol": "http"}]})"},
      {"c_Tail.json", R"({"outbounds": [{"tag": "z", "protocol": "freedom"}, {"tag": "x", "protocol": "blackhole"}]})"},
  };
  const auto config = read_v2ray_json(sources);
  REQUIRE(config.ok());
  REQUIRE(config->options.outbounds.size() == 3);
  CHECK(config->options.outbounds[0].tag == "y");
  CHECK(config->options.outbounds[1].tag == "x");
  CHECK(std::holds_alternative<node::BlackholeOutbound>(config->options.outbounds[1].settings));
  CHECK(config->options.outbounds[2].tag == "z");
  CHECK(config->options.inbounds.size() == 2);
}

TEST_CASE("depth is bounded") {
  std::string deep = "{\"a\": ";
  for (int i = 0; i < 100000; ++i) deep += '[';
  CHECK(has(error_of(deep), "more than 64 levels"));
}

}  // namespace
}  // namespace winze::config
