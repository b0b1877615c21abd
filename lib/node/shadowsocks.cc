#include "shadowsocks.h"

#include <utility>

#include "winze/base/base64.h"
#include "winze/base/bytes.h"
#include "winze/base/status.h"
#include "winze/layer/shadowsocks_conduit.h"
#include "winze/proto/shadowsocks/codec.h"

namespace winze::node {
namespace {

absl::Status invalid(const std::string& where, std::string_view message) {
  return absl::InvalidArgumentError(where + ": " + std::string(message));
}

absl::Status check_users(const std::string& path, shadowsocks::Method method,
                         const std::vector<ShadowsocksUser>& users) {
  if (!shadowsocks::has_identities(method)) {
    return invalid(
        path + ".clients",
        "users are told apart with the methods 2022-blake3-aes-128-gcm and 2022-blake3-aes-256-gcm alone; the "
        "method is " +
            std::string(name_of(method)));
  }
  for (std::size_t i = 0; i < users.size(); ++i) {
    const std::string where = path + ".clients[" + std::to_string(i) + "].password";
    auto keys = parse_keys(method, as_text(users[i].password.span()));
    if (!keys.ok()) return invalid(where, message_of(keys.status()));
    if (!keys->identity.empty()) return invalid(where, "a server's user has one key, without \":\"");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<shadowsocks::Keys> shadowsocks_keys(const std::string& path, std::string_view method,
                                                   const Secret& password) {
  const auto known = shadowsocks::parse_method(method);
  if (!known) {
    return invalid(path + ".method", "found \"" + std::string(method) + "\"; the methods served are " +
                                         std::string(shadowsocks::method_names()));
  }
  auto keys = parse_keys(*known, as_text(password.span()));
  if (!keys.ok()) return invalid(path + ".password", message_of(keys.status()));
  return keys;
}

Secret shadowsocks_user_key(const ShadowsocksUser& user) {
  auto bytes = base64_decode(as_text(user.password.span()));
  if (!bytes) return {};
  Secret key{std::span<const std::uint8_t>(*bytes)};
  secure_wipe(*bytes);
  return key;
}

absl::Status add_shadowsocks(Environment& environment, const std::string& path, const ShadowsocksInbound& settings,
                             const std::shared_ptr<shadowsocks::Salts>& salts,
                             const std::shared_ptr<shadowsocks::Salts>& datagram_salts,
                             std::shared_ptr<const shadowsocks::Users> users, chain::Inbound& out) {
  const std::string where = path + ".settings";
  auto keys = shadowsocks_keys(where, settings.method, settings.password);
  if (!keys.ok()) return keys.status();
  if (!keys->identity.empty()) return invalid(where + ".password", "a server has one key, without \":\"");
  auto options = std::make_shared<shadowsocks::ServerOptions>();
  options->method = keys->method;
  options->key = std::move(keys->user);
  options->account = {.name = settings.email, .level = settings.level};
  options->salts = salts;
  options->datagram_salts = datagram_salts;
  if (!settings.users.empty()) {
    if (absl::Status status = check_users(where, options->method, settings.users); !status.ok()) return status;
  }
  options->users = std::move(users);
  out.protocol = "shadowsocks";
  out.make_proxy = [options, &environment](const chain::Connection&) {
    return std::make_unique<shadowsocks::ServerCodec>(options, shadowsocks::surroundings(environment));
  };
  out.make_sessions = [options, &environment] { return shadowsocks::server_sessions(environment, options); };
  return absl::OkStatus();
}

}  // namespace winze::node
