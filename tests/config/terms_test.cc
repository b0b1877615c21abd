// The terms of users, and V2Ray's keys about statistics.
#include <doctest/doctest.h>

#include <string>

#include "winze/base/status.h"
#include "winze/config/v2ray_json.h"

namespace winze::config {
namespace {

// A VLESS client with `members` besides its id.
absl::StatusOr<Config> read(const std::string& members) {
  const Source source{"server.json", R"({"stats": {}, "policy": {
    "levels": {"0": {"statsUserUplink": true, "statsUserDownlink": true, "statsUserOnline": true}},
    "system": {"statsInboundUplink": true, "statsOutboundDownlink": true}},
    "inbounds": [{"port": 1, "protocol": "vless", "settings": {"decryption": "none",
      "clients": [{"id": "x", )" + members +
                                         R"(}]}}]})"};
  return read_v2ray_json(std::span(&source, 1));
}

chain::UserTerms terms_of(const std::string& members) {
  const auto config = read(members);
  REQUIRE_MESSAGE(config.ok(), message_of(config.status()));
  CHECK(config->warnings.empty());
  return std::get<node::VlessInbound>(config->options.inbounds.at(0).settings).users.at(0).terms;
}

TEST_CASE("terms: limits in bytes, with units or without") {
  const auto limits =
      terms_of(R"("limits": {"up": 1000, "down": "2 MiB", "quota": "100gb", "connections": 32, "addresses": "3"})")
          .limits;
  CHECK(limits.up == 1000);
  CHECK(limits.down == 2 << 20);
  CHECK(limits.quota == 100'000'000'000);
  CHECK(limits.connections == 32);
  CHECK(limits.addresses == 3);
  CHECK(terms_of(R"("level": 0)") == chain::UserTerms());
}

TEST_CASE("terms: an expiry in any of its spellings") {
  for (const std::string text : {R"("2027-01-31T12:00:00Z")", R"("2027-01-31t13:30:00+01:30")",
                                 R"("2027-01-31T05:00:00-07:00")", "1801396800"}) {
    CAPTURE(text);
    CHECK(terms_of("\"expiry\": " + text).expiry == 1801396800);
  }
  CHECK(terms_of(R"("expiry": "2024-02-29")").expiry == 1709164800);
}

TEST_CASE("terms: what is wrong with them") {
  struct Row {
    std::string members;
    std::string_view message;
  };
  const Row rows[] = {
      {R"("limits": {"up": "1.5GB"})", "clients[0].limits.up: expected a number of bytes, or a text such as"},
      {R"("limits": {"up": -1})", "clients[0].limits.up: expected"},
      {R"("limits": {"quota": "99999999999TB"})", "clients[0].limits.quota: expected"},
      {R"("limits": {"conections": 1})", "clients[0].limits.conections: unknown key; did you mean \"connections\"?"},
      {R"("expiry": "tomorrow")", "clients[0].expiry: expected a time such as"},
      {R"("expiry": "2027-02-29")", "clients[0].expiry: expected"},
      {R"("expiry": "2027-01-31T25:00:00Z")", "clients[0].expiry: expected"},
      {R"("expiry": "2027-01-31T12:00:00")", "clients[0].expiry: expected"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.members);
    const auto config = read(row.members);
    REQUIRE_FALSE(config.ok());
    CHECK_MESSAGE(message_of(config.status()).find(row.message) != std::string_view::npos, message_of(config.status()));
  }
}

}  // namespace
}  // namespace winze::config
