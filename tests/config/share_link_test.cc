#include "winze/config/share_link.h"

#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "winze/base/base64.h"
#include "winze/base/random.h"
#include "winze/base/status.h"

namespace winze::config {
namespace {

using Json = nlohmann::ordered_json;

std::string json_of(std::string_view link) {
  const auto json = share_link_to_json(link);
  if (!json.ok()) return "error: " + std::string(message_of(json.status()));
  return Json::parse(*json).dump();
}

TEST_CASE("share links: as other tools document them") {
  std::ifstream file(WINZE_TEST_DATA "/vectors/links/links.txt");
  REQUIRE(file);
  int count = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t bar = line.find(" | ");
    const std::string link = line.substr(0, bar), wanted = line.substr(bar + 3);
    CAPTURE(link);
    const std::string found = json_of(link);
    if (wanted.starts_with("error: ")) {
      CHECK_MESSAGE(found.starts_with(wanted), found);
    } else {
      CHECK(found == wanted);
      for (const VmessForm form : {VmessForm::kV2rayN, VmessForm::kStandard}) {
        const auto back = json_to_share_link(found, form);
        REQUIRE_MESSAGE(back.ok(), message_of(back.status()));
        CHECK(json_of(*back) == found);
      }
    }
    ++count;
  }
  CHECK(count > 20);
}

TEST_CASE("share links: the forerunner of SIP002, white space, and v2rayN's in other alphabets") {
  const std::string whole = "ss://" + base64_encode("aes-128-gcm:p@ss:w#rd@[2001:db8::1]:8388") + "#n";
  CHECK(json_of("  " + whole + "\r\n") ==
        R"({"tag":"n","protocol":"shadowsocks","settings":{"servers":[{"address":"2001:db8::1","port":8388,)"
        R"("method":"aes-128-gcm","password":"p@ss:w#rd"}]}})");
  const std::string object = R"({"v":2,"ps":"~~~???","add":"::1","port":443,"id":"x","aid":0})";
  for (const auto padding : {Base64Padding::kRequired, Base64Padding::kNone}) {
    for (const auto alphabet : {Base64Alphabet::kStandard, Base64Alphabet::kUrl}) {
      CHECK(json_of("vmess://" + base64_encode(object, alphabet, padding)).starts_with(R"({"tag":"~~~???")"));
    }
  }
  CHECK(json_of("vmess://" + base64_encode(R"({"add":"h","port":1,"id":"x","colour":"red"})"))
            .starts_with("error: \"colour\": unknown parameter"));
  CHECK(json_of("vmess://" + base64_encode(R"([1])")).starts_with("error: link: expected a JSON object"));
}

// Outbounds of all that a link can say, by chance.
class Outbounds {
 public:
  explicit Outbounds(std::uint64_t seed) : random_(seed) {}

  Json next() {
    const std::string protocol = pick({"vless", "vmess", "trojan", "shadowsocks"});
    Json out = Json::object();
    if (coin()) out["tag"] = text();
    out["protocol"] = protocol;
    const std::string host = pick({"a.test", "192.0.2.1", "2001:db8::1"});
    const auto port = 1 + number(65535);
    Json one = Json::array();
    if (protocol == "vless" || protocol == "vmess") {
      Json user = {{"id", text()}};
      if (protocol == "vless") user["encryption"] = "none";
      if (protocol == "vmess") user.update({{"alterId", 0}, {"security", pick({"auto", "zero"})}});
      if (protocol == "vless" && coin()) user["flow"] = pick({"xtls-rprx-vision", "xtls-rprx-vision-udp443"});
      one.push_back({{"address", host}, {"port", port}, {"users", Json::array({user})}});
      out["settings"] = {{"vnext", one}};
    } else if (protocol == "trojan") {
      one.push_back({{"address", host}, {"port", port}, {"password", text()}});
      out["settings"] = {{"servers", one}};
    } else {
      const std::string method = pick({"aes-128-gcm", "2022-blake3-aes-128-gcm"});
      one.push_back({{"address", host}, {"port", port}, {"method", method}, {"password", text()}});
      out["settings"] = {{"servers", one}};
      if (coin()) out["settings"]["plugin"] = "program";
      if (coin() && out["settings"].contains("plugin")) out["settings"]["pluginOpts"] = "a=b;" + text();
      return out;
    }
    out["streamSettings"] = stream();
    return out;
  }

 private:
  Json stream() {
    Json out = {{"network", pick({"tcp", "ws", "httpupgrade"})}, {"security", pick({"none", "tls"})}};
    if (out["network"] != "tcp") {
      Json settings = {{"path", "/" + text()}};
      if (coin()) settings["host"] = "b.test";
      out[out["network"] == "ws" ? "wsSettings" : "httpupgradeSettings"] = settings;
    }
    if (out["security"] == "tls") {
      Json tls = Json::object();
      if (coin()) tls["serverName"] = "c.test";
      if (coin()) tls["alpn"] = Json::array({"h2", "http/1.1"});
      if (coin()) tls["fingerprint"] = "chrome";
      if (coin()) tls["pinnedPeerCertSha256"] = Json::array({"aa", "bb"});
      if (!tls.empty()) out["tlsSettings"] = tls;
    }
    return out;
  }
  std::uint64_t number(std::uint64_t below) {
    std::uint8_t bytes[8];
    random_.fill(bytes);
    std::uint64_t n = 0;
    for (std::uint8_t byte : bytes) n = n << 8 | byte;
    return n % below;
  }
  bool coin() { return number(2) == 0; }
  std::string pick(const std::vector<std::string>& from) { return from[number(from.size())]; }
  std::string text() {
    const std::vector<std::string> pieces = {"a", "Z", "0",  " ",  "%", "+",  "&", "=", "#", "?", "/",
                                             ":", "@", "\"", "\\", "é", "名", "~", "[", ";", ","};
    std::string out = "x";
    for (std::uint64_t n = number(12); n > 0; --n) out += pick(pieces);
    return out;
  }

  SeededRandom random_;
};

TEST_CASE("share links: what is written is read as it was") {
  Outbounds outbounds(7);
  for (int i = 0; i < 2000; ++i) {
    const Json outbound = outbounds.next();
    CAPTURE(outbound.dump());
    for (const VmessForm form : {VmessForm::kV2rayN, VmessForm::kStandard}) {
      const auto link = json_to_share_link(outbound.dump(), form);
      REQUIRE_MESSAGE(link.ok(), message_of(link.status()));
      CAPTURE(*link);
      CHECK(json_of(*link) == outbound.dump());
      const bool has_authority = link->find('@') != std::string::npos;
      CHECK(has_authority == (form == VmessForm::kStandard || outbound["protocol"] != "vmess"));
    }
  }
}

TEST_CASE("share links: what they cannot say is an error") {
  const std::string vless = R"({"protocol": "vless", "settings": {"vnext": [{"address": "h", "port": 1, "users":
    [{"id": "x", "encryption": "none"}]}]}, "streamSettings": )";
  for (const std::string stream : {R"({"network": "kcp"})", R"({"security": "reality"})",
                                   R"({"network": "ws", "wsSettings": {"headers": {"A": "b"}}})",
                                   R"({"security": "tls", "tlsSettings": {"certificates": [{"usage": "verify"}]}})",
                                   R"({"network": "ws", "wsSettings": {"halfClose": true}})",
                                   R"({"tcpSettings": {"header": {"type": "http"}}})"}) {
    CAPTURE(stream);
    const auto link = json_to_share_link(vless + stream + "}");
    REQUIRE_FALSE(link.ok());
    CHECK(message_of(link.status()).ends_with(": a share link cannot say this"));
  }
  CHECK(message_of(json_to_share_link(R"({"protocol": "freedom"})").status())
            .starts_with("protocol: there are share links"));
  CHECK(message_of(json_to_share_link(R"({"protocol": "trojan"})").status()) == "settings: there is no address");
}

TEST_CASE("share links: of a configuration, for an outbound or a user of an inbound") {
  const Source source{"server.json", R"({"inbounds": [
    {"tag": "in", "port": "443-445", "protocol": "VLESS", "settings": {"decryption": "none", "clients": [
      {"id": "6d1c6a3e-2f0b-4f0e-9a57-0d5b7c2f4a11", "email": "a@test"}, {"id": "second"}]},
     "streamSettings": {"network": "ws", "security": "tls", "wsSettings": {"path": "/ray"}}},
    {"tag": "ss", "port": 8388, "protocol": "shadowsocks", "settings": {"method": "aes-128-gcm", "password": "p"}}], // more
    "outbounds": [{"tag": "out", "protocol": "trojan", "settings": {"address": "h", "port": 1, "password": "p"},
     "streamSettings": {"security": "tls"}}]})"};
  const auto share = [&](const ShareOptions& options) {
    const auto link = share_from_config(std::span(&source, 1), options);
    return link.ok() ? *link : std::string(message_of(link.status()));
  };
  CHECK(share({.tag = "in", .user = "a@test", .host = "s.test"}) ==
        "vless://"
        "6d1c6a3e-2f0b-4f0e-9a57-0d5b7c2f4a11@s.test:443?encryption=none&type=ws&path=%2Fray&security=tls&sni=s.test"
        "#a%40test");
  CHECK(share({.tag = "in", .user = "second", .host = "2001:db8::1", .server_name = "s.test"})
            .starts_with("vless://second@[2001:db8::1]:443?"));
  CHECK(share({.tag = "ss", .host = "s.test"}) == "ss://YWVzLTEyOC1nY206cA@s.test:8388#ss");
  CHECK(share({.tag = "out"}) == "trojan://p@h:1?type=tcp&security=tls#out");
  CHECK(share({.tag = "in", .host = "h"}) == "user: there are several; say which of \"a@test\", \"second\"");
  CHECK(share({.tag = "in", .user = "b", .host = "h"}).starts_with("user: there is no \"b\""));
  CHECK(share({.tag = "in", .user = "second"}) == "host: missing: where clients find this inbound");
  CHECK(share({.tag = "x"}) == "tag: there is no \"x\"; there are \"out\", \"in\", \"ss\"");
}

TEST_CASE("share links: of an inbound with a plugin, for what its clients run") {
  const auto share = [](const std::string& plugin, const std::string& options, const ShareOptions& rest) {
    const nlohmann::json settings = {
        {"method", "aes-128-gcm"}, {"password", "p"}, {"plugin", plugin}, {"pluginOpts", options}};
    const nlohmann::json inbound = {{"tag", "ss"}, {"port", 8388}, {"protocol", "shadowsocks"}, {"settings", settings}};
    const nlohmann::json config = {{"inbounds", nlohmann::json::array({inbound})}};
    const Source source{"server.json", config.dump()};
    const auto link = share_from_config(std::span(&source, 1), rest);
    if (!link.ok()) return std::string(message_of(link.status()));
    const auto made = nlohmann::json::parse(json_of(*link))["settings"];
    return made.value("plugin", "") + "|" + made.value("pluginOpts", "");
  };
  ShareOptions at{.tag = "ss", .host = "s.test"};
  CHECK(share("/usr/bin/v2ray-plugin", "server;tls;cert=/a;key=/b;path=/x;host=a.test;loglevel=none", at) ==
        "v2ray-plugin|tls;path=/x;host=a.test");
  CHECK(share("winze", "server;path=/a\\;key;mux=0", at) == "winze|path=/a\\;key;mux=0");
  CHECK(share("winze", "tls;server", at) == "winze|tls;host=s.test");
  CHECK(share("obfs-server", "obfs=tls;failover=h:1", at) == "obfs-local|obfs=tls");
  CHECK(share("v2ray-plugin", "server", at) == "v2ray-plugin|");
  CHECK(share("other", "server", at).starts_with("settings.plugin: \"other\": what its clients run is not known"));
  at.plugin = "other;mode=client";
  CHECK(share("other", "server", at) == "other|mode=client");
  at.server_name = "n.test";
  at.plugin.clear();
  CHECK(share("v2ray-plugin", "server;tls", at) == "v2ray-plugin|tls;host=n.test");
}

TEST_CASE("share links: either form of VMess's, for an outbound and for a user") {
  const Source source{"both.json", R"({"inbounds": [
    {"tag": "in", "port": 443, "protocol": "vmess", "settings": {"clients": [{"id": "x", "email": "a@test"}]},
     "streamSettings": {"network": "ws", "security": "tls", "wsSettings": {"path": "/ray"}}}],
    "outbounds": [{"tag": "out", "protocol": "vmess", "settings": {"vnext": [{"address": "2001:db8::1", "port": 1,
     "users": [{"id": "x", "security": "zero"}]}]}}]})"};
  const auto share = [&](const ShareOptions& options) { return *share_from_config(std::span(&source, 1), options); };
  CHECK(share({.tag = "in", .vmess = VmessForm::kStandard, .host = "s.test"}) ==
        "vmess://x@s.test:443?encryption=auto&type=ws&path=%2Fray&security=tls&sni=s.test#a%40test");
  CHECK(share({.tag = "out", .vmess = VmessForm::kStandard}) ==
        "vmess://x@[2001:db8::1]:1?encryption=zero&type=tcp&security=none#out");
  for (const ShareOptions& options : {ShareOptions{.tag = "in", .host = "s.test"}, ShareOptions{.tag = "out"}}) {
    ShareOptions standard = options;
    standard.vmess = VmessForm::kStandard;
    CHECK(share(options) != share(standard));
    CHECK(json_of(share(options)) == json_of(share(standard)));
  }
}

TEST_CASE("share links: read as an outbound") {
  const auto outbound = read_share_link("vless://x@a.test:443?security=tls&type=ws&path=%2Fray%3Fed%3D2048#n");
  REQUIRE_MESSAGE(outbound.ok(), message_of(outbound.status()));
  CHECK(outbound->tag == "n");
  CHECK(outbound->stream.ws.path == "/ray");
  CHECK(outbound->stream.ws.early_data == 2048);
  CHECK(outbound->stream.tls);
  for (const bool quic : {false, true}) {
    const auto vision = read_share_link("vless://x@a.test:443?security=tls&flow=xtls-rprx-vision" +
                                        std::string(quic ? "-udp443" : "") + "#n");
    REQUIRE_MESSAGE(vision.ok(), message_of(vision.status()));
    CHECK(std::get<node::VlessOutbound>(vision->settings).user.vision);
    CHECK(std::get<node::VlessOutbound>(vision->settings).user.quic == quic);
  }
  const auto without_slash = read_share_link("vless://x@a.test:443?type=ws&path=ray#n");
  REQUIRE_MESSAGE(without_slash.ok(), message_of(without_slash.status()));
  CHECK(without_slash->stream.ws.path == "/ray");
}

TEST_CASE("share links: only the name may be other than UTF-8") {
  const auto named = read_share_link("vless://x@a.test:443#caf%E9");
  REQUIRE_MESSAGE(named.ok(), message_of(named.status()));
  CHECK(named->tag == "caf\xEF\xBF\xBD");
  CHECK(message_of(read_share_link("trojan://caf%E9@a.test:443#n").status()) == "link: is not UTF-8 before its name");
}

}  // namespace
}  // namespace winze::config
