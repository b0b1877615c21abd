#include <doctest/doctest.h>

#include <string>

#include "winze/base/bytes.h"
#include "winze/base/status.h"
#include "winze/config/v2ray_json.h"

namespace winze::config {
namespace {

absl::StatusOr<Config> read(std::string text) {
  const Source source{"c.json", std::move(text)};
  return read_v2ray_json(std::span(&source, 1));
}

std::string inbound(std::string_view settings) {
  return R"({"inbounds": [{"port": 1, "protocol": "shadowsocks", "settings": {)" + std::string(settings) + "}}]}";
}
std::string outbound(std::string_view settings) {
  return R"({"outbounds": [{"protocol": "Shadowsocks", "settings": {)" + std::string(settings) + "}}]}";
}

TEST_CASE("shadowsocks: an inbound's settings") {
  const auto config = read(inbound(
      R"("method": "2022-blake3-aes-128-gcm", "password": "x", "network": "tcp,udp", "email": "all", "level": 3,
         "clients": [{"password": "y", "email": "ann", "level": 1}, {"password": "z"}], "replayFile": "/var/s",
         "plugin": "v2ray-plugin", "pluginOpts": "server;host=a", "pluginArgs": ["-V"])"));
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  const auto& in = std::get<node::ShadowsocksInbound>(config->options.inbounds[0].settings);
  CHECK(in.method == "2022-blake3-aes-128-gcm");
  CHECK(as_text(in.password.span()) == "x");
  CHECK(in.email == "all");
  CHECK(in.level == 3);
  REQUIRE(in.users.size() == 2);
  CHECK(as_text(in.users[0].password.span()) == "y");
  CHECK(in.users[0].email == "ann");
  CHECK(in.users[0].level == 1);
  CHECK((in.tcp && in.udp));
  CHECK(in.replay_file == "/var/s");
  CHECK(in.plugin.program == "v2ray-plugin");
  CHECK(in.plugin.options == "server;host=a");
  CHECK(in.plugin.arguments == std::vector<std::string>{"-V"});
}

TEST_CASE("shadowsocks: TCP alone unless more is asked for") {
  struct Row {
    std::string_view settings;
    bool tcp, udp;
  };
  for (const Row& row : {Row{"", true, false}, Row{R"("network": "udp",)", false, true},
                         Row{R"("network": ["udp", "tcp"],)", true, true}, Row{R"("udp": true,)", true, true}}) {
    const auto config = read(inbound(std::string(row.settings) + R"("method": "aes-256-gcm", "password": "x")"));
    REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
    const auto& in = std::get<node::ShadowsocksInbound>(config->options.inbounds[0].settings);
    CHECK(in.tcp == row.tcp);
    CHECK(in.udp == row.udp);
  }
}

TEST_CASE("shadowsocks: an outbound's settings, in V2Ray's form and in Xray's") {
  for (const char* settings :
       {R"("servers": [{"address": "a.test", "port": 8388, "method": "aes-128-gcm", "password": "x", "ota": false}])",
        R"("address": "a.test", "port": 8388, "method": "aes-128-gcm", "password": "x", "level": 1)"}) {
    const auto config = read(outbound(settings));
    REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
    const auto& out = std::get<node::ShadowsocksOutbound>(config->options.outbounds[0].settings);
    CHECK(out.server == Destination("a.test", 8388));
    CHECK(out.method == "aes-128-gcm");
    CHECK(as_text(out.password.span()) == "x");
  }
}

TEST_CASE("shadowsocks: what is refused, and why") {
  struct Row {
    std::string text;
    std::string_view wanted;
  };
  const std::string good = R"("method": "aes-256-gcm", "password": "x", )";
  for (const Row& row :
       {Row{inbound(R"("password": "x")"), "inbounds[0].settings.method: missing"},
        Row{inbound(good + R"("network": "sctp")"), "inbounds[0].settings.network: expected"},
        Row{inbound(good + R"("pluginOpts": "a")"), "inbounds[0].settings.plugin: missing"},
        Row{inbound(good + R"("clients": [{"password": "x", "address": "h", "port": 1}])"), "relaying"},
        Row{inbound(good + R"("clients": [{"password": "x", "method": "aes-128-gcm"}])"), "the inbound's method"},
        Row{inbound(good + R"("fastOpen": true)"), "inbounds[0].settings.fastOpen"},
        Row{outbound(R"("address": "h", "port": 1, "method": "m", "password": "x", "uot": true)"), "UDP over TCP"},
        Row{outbound(good + R"("servers": [])"), "outbounds[0].settings.servers: missing"}}) {
    CAPTURE(row.text);
    const auto config = read(row.text);
    REQUIRE_FALSE(config.ok());
    const std::string message(message_of(config.status()));
    CAPTURE(message);
    CHECK(message.find(row.wanted) != message.npos);
  }
}

}  // namespace
}  // namespace winze::config
