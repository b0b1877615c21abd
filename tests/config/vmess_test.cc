// VMess in V2Ray's configurations.
#include <doctest/doctest.h>

#include <string>

#include "winze/base/status.h"
#include "winze/config/v2ray_json.h"

namespace winze::config {
namespace {

absl::StatusOr<Config> read(std::string text) {
  const Source source{"client.json", std::move(text)};
  return read_v2ray_json(std::span(&source, 1));
}

std::string outbound(std::string_view user) {
  return R"({"outbounds": [{"protocol": "vmess", "settings": {"vnext": [{"address": "h", "port": 1, "users": [{)" +
         std::string(user) + "}]}]}}]}";
}

TEST_CASE("vmess: clients of an inbound, the server of an outbound in both forms") {
  const auto config = read(R"({
    "inbounds": [{"port": 1, "protocol": "VMess", "settings": {"disableInsecureEncryption": true,
      "clients": [{"id": "x", "alterId": 0, "level": 2, "email": "a@b"}], "users": [{"id": "y"}]}}],
    "outbounds": [
      {"protocol": "vmess", "settings": {"vnext": [{"address": "h", "port": 443, "users": [
        {"id": "x", "alterId": "0", "security": "Chacha20-Poly1305", "experiments": "AuthenticatedLength"}]}]}},
      {"tag": "flat", "protocol": "vmess", "settings": {"address": "::1", "port": 443, "id": "x", "security": "zero",
        "packetEncoding": "Packet"}}]})");
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  CHECK(config->warnings.empty());
  const auto& inbound = std::get<node::VmessInbound>(config->options.inbounds[0].settings);
  REQUIRE(inbound.users.size() == 2);
  CHECK(inbound.users[0].email == "a@b");
  CHECK(inbound.users[0].level == 2);
  CHECK(inbound.users[1].id == "y");
  CHECK(inbound.refuse_unprotected);
  const auto& first = std::get<node::VmessOutbound>(config->options.outbounds[0].settings);
  CHECK(first.server == Destination("h", 443));
  CHECK(first.security == "chacha20-poly1305");
  CHECK(first.authenticated_length);
  const auto& flat = std::get<node::VmessOutbound>(config->options.outbounds[1].settings);
  CHECK(flat.server == Destination("::1", 443));
  CHECK(flat.user.id == "x");
  CHECK(flat.security == "zero");
  CHECK_FALSE(flat.authenticated_length);
  CHECK(flat.packet_addresses);
}

TEST_CASE("vmess: what is refused, and why") {
  struct Case {
    std::string text;
    std::string_view wanted;
  };
  for (
      const Case& c : {
          Case{outbound(R"("id": "x", "alterId": 64)"), "users[0].alterId: must be 0"},
          Case{outbound(R"("alterId": 0)"), "users[0].id: missing"},
          Case{outbound(R"("id": "x", "security": "aes-256-gcm")"), "users[0].security: expected"},
          Case{R"({"outbounds": [{"protocol": "vmess"}]})", "outbounds[0].settings.vnext: missing"},
          Case{R"({"outbounds": [{"protocol": "vmess", "settings": {"vnext": [{"address": "h", "port": 1}]}}]})",
               "vnext[0].users: missing"},
          Case{R"({"inbounds": [{"port": 1, "protocol": "vmess", "settings": {"detour": {"to": "x"}}}]})",
               "inbounds[0].settings.detour: accounts that a server makes up"},
          Case{
              R"({"inbounds": [{"port": 1, "protocol": "vmess", "settings": {"clients": [{"id": "x", "alterId": 4}]}}]})",
              "clients[0].alterId: must be 0"},
      }) {
    CAPTURE(c.text);
    const auto config = read(c.text);
    const std::string message(config.ok() ? "no error" : message_of(config.status()));
    CHECK_MESSAGE(message.find(c.wanted) != message.npos, message);
  }
}

}  // namespace
}  // namespace winze::config
