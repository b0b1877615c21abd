// Shadowsocks in a node: keys from options, and an inbound's codecs.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "winze/chain/session.h"
#include "winze/node/options.h"
#include "winze/proto/shadowsocks/method.h"
#include "winze/proto/shadowsocks/salts.h"
#include "winze/proto/shadowsocks/users.h"

namespace winze::node {

// Errors begin with `path` and the setting.
absl::StatusOr<shadowsocks::Keys> shadowsocks_keys(const std::string& path, std::string_view method,
                                                   const Secret& password);

// Empty when the password is no Base64.
Secret shadowsocks_user_key(const ShadowsocksUser& user);

// Makes `out`, the inbound at `path`, one of Shadowsocks. `users` may be null: there is one password.
absl::Status add_shadowsocks(Environment& environment, const std::string& path, const ShadowsocksInbound& settings,
                             const std::shared_ptr<shadowsocks::Salts>& salts,
                             const std::shared_ptr<shadowsocks::Salts>& datagram_salts,
                             std::shared_ptr<const shadowsocks::Users> users, chain::Inbound& out);

}  // namespace winze::node
