#include "inbounds.h"

#include <algorithm>
#include <string>
#include <utility>

#include "shadowsocks.h"
#include "transports.h"
#include "winze/base/status.h"
#include "winze/io/tcp.h"
#include "winze/layer/packet_address.h"
#include "winze/layer/tls.h"
#include "winze/layer/trojan_conduit.h"
#include "winze/layer/vless_conduit.h"
#include "winze/proto/credentials.h"
#include "winze/proto/fallback.h"
#include "winze/proto/httpupgrade/codec.h"
#include "winze/proto/mixed_server.h"
#include "winze/proto/proxy_protocol/header.h"
#include "winze/proto/trojan/codec.h"
#include "winze/proto/user_id.h"
#include "winze/proto/vless/codec.h"
#include "winze/proto/vmess/codec.h"
#include "winze/proto/ws/codec.h"

namespace winze::node {
namespace {

// V2Ray's 0 seconds is over at once, where a chain's zero is no limit.
Duration or_at_once(Duration limit) { return std::max(limit, Duration(1)); }

chain::Policy to_policy(const PolicyLevel& level) {
  return {.handshake = level.handshake,
          .idle = level.idle,
          .uplink_only = or_at_once(level.uplink_only),
          .downlink_only = or_at_once(level.downlink_only)};
}

class Builder {
 public:
  Builder(Environment& environment, const NodeOptions& options, std::size_t index, const TlsContexts& contexts,
          Ledger& ledger, const SaltFiles& salts)
      : environment_(environment),
        options_(options),
        index_(index),
        inbound_(options.inbounds[index]),
        contexts_(contexts),
        ledger_(ledger),
        salts_(salts),
        out_(std::make_shared<chain::Inbound>()) {}

  absl::StatusOr<std::shared_ptr<chain::Inbound>> build() {
    out_->tag = inbound_.tag;
    out_->mux.accepts = inbound_.mux.enabled;
    out_->mux.wants_padding = inbound_.mux.padding;
    out_->policy = to_policy(options_.policy(0));
    out_->policy_of = [&options = options_](std::uint32_t level) { return to_policy(options.policy(level)); };
    out_->traffic = ledger_.count_inbound(index_);
    if (InboundUsers* users = ledger_.users_at(index_)) out_->users = users->live();
    add_transports();
    const absl::Status status = std::visit([&](const auto& settings) { return add(settings); }, inbound_.settings);
    if (!status.ok()) return status;
    return std::move(out_);
  }

 private:
  absl::Status error(std::string_view where, std::string_view message) const {
    return absl::InvalidArgumentError(inbound_.path + std::string(where) + ": " + std::string(message));
  }

  // --- the transports ---

  void add_transports() {
    if (inbound_.stream.socket.accept_proxy_protocol) add_proxy_protocol();
    if (auto context = contexts_.inbound(index_)) {
      out_->transports.push_back(
          {.name = "tls",
           .make = [context, &pool = environment_.pool] { return tls::server_codec(context, pool); },
           .learn =
               [](StreamCodec& codec, chain::Connection& connection) {
                 const tls::SessionInfo& info = static_cast<tls::Codec&>(codec).info();
                 connection.server_name = info.server_name;
                 connection.alpn = info.alpn;
               }});
    }
    switch (inbound_.stream.network) {
      case StreamSettings::Network::kTcp:
        return;
      case StreamSettings::Network::kWebSocket:
        return add_ws();
      case StreamSettings::Network::kHttpUpgrade:
        return add_http_upgrade();
    }
  }

  void add_ws() {
    const WebSocketOptions& o = inbound_.stream.ws;
    auto options = std::make_shared<const ws::ServerOptions>(
        ws::ServerOptions{.path = o.path.substr(0, o.path.find('?')),
                          .host = o.host,
                          .early_data_field = o.early_data_header,
                          .ending = o.half_close ? ws::Ending::kHalf : ws::Ending::kBoth});
    out_->transports.push_back(
        {.name = "ws", .make = [options] { return std::make_unique<ws::ServerCodec>(options); }, .learn = nullptr});
  }

  void add_http_upgrade() {
    const HttpUpgradeOptions& o = inbound_.stream.http_upgrade;
    auto options = std::make_shared<const httpupgrade::ServerOptions>(
        httpupgrade::ServerOptions{.path = o.path.substr(0, o.path.find('?')), .host = o.host, .early_data_field = {}});
    out_->transports.push_back({.name = "httpupgrade",
                                .make = [options] { return std::make_unique<httpupgrade::ServerCodec>(options); },
                                .learn = nullptr});
  }

  void add_proxy_protocol() {
    out_->transports.push_back({.name = "proxy-protocol",
                                .make = [] { return std::make_unique<proxy_protocol::ServerCodec>(); },
                                .learn =
                                    [](StreamCodec& codec, chain::Connection& connection) {
                                      const auto& addresses =
                                          static_cast<proxy_protocol::ServerCodec&>(codec).addresses();
                                      if (addresses) connection.source = addresses->source;
                                    }});
  }

  // --- the protocols ---

  absl::Status add(const SocksInbound& settings) {
    out_->protocol = "socks";
    const socks::ServerOptions server = socks_options(settings);
    out_->make_proxy = [server](const chain::Connection&) { return std::make_unique<socks::ServerCodec>(server); };
    return absl::OkStatus();
  }

  socks::ServerOptions socks_options(const SocksInbound& settings) {
    out_->associates = true;
    out_->associate_at = settings.ip;
    return {.credentials = take_accounts(settings.accounts, settings.level), .udp = settings.udp};
  }

  // The policy is the inbound's level's until an account says otherwise.
  std::shared_ptr<const Credentials> take_accounts(const std::vector<Account>& accounts, std::uint32_t level) {
    out_->policy = to_policy(options_.policy(level));
    if (accounts.empty()) {
      out_->policy_of = nullptr;
      return nullptr;
    }
    return attach<PasswordList, Account>(
        [](PasswordList& list, const Account& account) {
          list.add(account.user, as_text(account.password.span()), *account.level);
        },
        [](PasswordList& list, const Account& account) { list.remove(account.user); });
  }

  // A table of the protocol's that follows the users of the inbound. The table keeps what the ledger tells.
  template <typename Table, typename User>
  std::shared_ptr<Table> attach(void (*on_add)(Table&, const User&), void (*on_remove)(Table&, const User&)) {
    struct Followed {
      Table table;
      std::shared_ptr<CredentialTable> changes = std::make_shared<CredentialTable>();
    };
    auto followed = std::make_shared<Followed>();
    Table* table = &followed->table;
    followed->changes->add = [table, on_add](const InboundUser& user) { on_add(*table, std::get<User>(user)); };
    followed->changes->remove = [table, on_remove](const InboundUser& user) {
      on_remove(*table, std::get<User>(user));
    };
    ledger_.users_at(index_)->attach(environment_.executor, followed->changes);
    return std::shared_ptr<Table>(followed, table);
  }

  absl::Status add(const HttpInbound& settings) {
    out_->protocol = "http";
    const http::ServerOptions server{.credentials = take_accounts(settings.accounts, settings.level)};
    out_->make_proxy = [server](const chain::Connection&) { return std::make_unique<http::ServerCodec>(server); };
    out_->forward = http::ForwardOptions{.credentials = server.credentials};
    return absl::OkStatus();
  }

  absl::Status add(const MixedInbound& settings) {
    out_->protocol = "mixed";
    const socks::ServerOptions server = socks_options(settings.socks);
    out_->make_proxy = [server](const chain::Connection&) {
      return std::make_unique<MixedServerCodec>(server, http::ServerOptions{.credentials = server.credentials});
    };
    out_->forward = http::ForwardOptions{.credentials = server.credentials};
    return absl::OkStatus();
  }

  absl::Status add(const VlessInbound& settings) {
    out_->protocol = "vless";
    out_->packets_in_stream = [](Environment& environment, StreamPtr stream, const ProxyRequest&) {
      return vless::stream_conduit(environment, std::move(stream));
    };
    for (std::size_t i = 0; i < settings.users.size(); ++i) {
      if (settings.users[i].vision && !fits_vision(inbound_.stream)) {
        return error(".settings.clients[" + std::to_string(i) + "].flow", kVisionNeeds);
      }
    }
    auto users = attach<vless::UserTable, VlessUser>(
        [](vless::UserTable& table, const VlessUser& user) {
          table.add(*parse_user_id(user.id), {.name = user.email,
                                              .level = user.level,
                                              .flow = user.vision ? vless::Flow::kVision : vless::Flow::kNone});
        },
        [](vless::UserTable& table, const VlessUser& user) { table.remove(*parse_user_id(user.id)); });
    const vless::ServerOptions server{.random = &environment_.random};
    out_->make_proxy = [users = std::shared_ptr<const vless::Users>(std::move(users)), server](
                           const chain::Connection&) { return std::make_unique<vless::ServerCodec>(users, server); };
    return add_fallbacks(settings.fallbacks);
  }

  absl::Status add_fallbacks(const std::vector<FallbackEntry>& settings) {
    if (settings.empty()) return absl::OkStatus();
    std::vector<Fallback> entries;
    for (std::size_t i = 0; i < settings.size(); ++i) {
      const FallbackEntry& f = settings[i];
      const auto destination = parse_fallback_destination(f.dest);
      if (!destination) {
        return error(".settings.fallbacks[" + std::to_string(i) + "].dest",
                     "expected \"host:port\", a port, or a socket's path, found \"" + f.dest + "\"");
      }
      entries.push_back({f.name, f.alpn, f.path, *destination, f.proxy_protocol});
    }
    auto table = FallbackTable::create(entries);
    if (!table.ok()) return error(".settings", message_of(table.status()));
    out_->fallback = [table = std::make_shared<const FallbackTable>(std::move(*table)), &env = environment_](
                         const chain::Connection& connection,
                         std::span<const std::uint8_t> first) -> std::optional<chain::FallbackTarget> {
      const Fallback* found = table->select(first, connection.server_name, connection.alpn);
      if (found == nullptr) return std::nullopt;
      const auto* path = std::get_if<UnixPath>(&found->destination);
      return chain::FallbackTarget{
          .dialer = path != nullptr ? unix_to(env, path->path) : tcp_to(env, std::get<Destination>(found->destination)),
          .proxy_protocol = found->proxy_protocol};
    };
    return absl::OkStatus();
  }

  absl::Status add(const TrojanInbound& settings) {
    out_->protocol = "trojan";
    out_->packets_in_stream = [](Environment& environment, StreamPtr stream, const ProxyRequest&) {
      return trojan::stream_conduit(environment, std::move(stream));
    };
    auto users = attach<trojan::UserTable, TrojanUser>(
        [](trojan::UserTable& table, const TrojanUser& user) {
          table.add(as_text(user.password.span()), {.name = user.email, .level = user.level});
        },
        [](trojan::UserTable& table, const TrojanUser& user) { table.remove(user.email); });
    out_->make_proxy = [users = std::shared_ptr<const trojan::Users>(std::move(users))](const chain::Connection&) {
      return std::make_unique<trojan::ServerCodec>(users);
    };
    return add_fallbacks(settings.fallbacks);
  }

  absl::Status add(const DokodemoInbound& settings) {
    out_->protocol = "dokodemo-door";
    out_->destination = settings.destination;
    out_->policy = to_policy(options_.policy(settings.level));
    return absl::OkStatus();
  }

  absl::Status add(const VmessInbound& settings) {
    out_->protocol = "vmess";
    out_->packets_in_stream = [](Environment& environment, StreamPtr stream, const ProxyRequest& request) {
      const bool addressed = is_everyone(request.destination);
      ConduitPtr conduit = vless::stream_conduit(environment, std::move(stream));
      return addressed ? packet_address_conduit(std::move(conduit)) : std::move(conduit);
    };
    auto users = attach<vmess::UserTable, VmessUser>(
        [](vmess::UserTable& table, const VmessUser& user) {
          table.add(*parse_user_id(user.id), {.name = user.email, .level = user.level});
        },
        [](vmess::UserTable& table, const VmessUser& user) { table.remove(*parse_user_id(user.id)); });
    const vmess::Drain drain = vmess::Drain::of(*users);
    auto server =
        std::make_shared<const vmess::Server>(vmess::Server{.users = std::move(users),
                                                            .replays = ledger_.replays_at(index_),
                                                            .drain = drain,
                                                            .refuse_unprotected = settings.refuse_unprotected});
    out_->make_proxy = [server, &env = environment_](const chain::Connection&) {
      return std::make_unique<vmess::ServerCodec>(server, vmess::Surroundings{env.clock, env.random, env.pool});
    };
    return absl::OkStatus();
  }

  absl::Status add(const ShadowsocksInbound& settings) {
    out_->policy = to_policy(options_.policy(settings.level));
    std::shared_ptr<const shadowsocks::Users> users;
    if (!settings.users.empty()) {
      users = attach<shadowsocks::UserTable, ShadowsocksUser>(
          [](shadowsocks::UserTable& table, const ShadowsocksUser& user) {
            table.add(shadowsocks_user_key(user), {.name = user.email, .level = user.level});
          },
          [](shadowsocks::UserTable& table, const ShadowsocksUser& user) { table.remove(user.email); });
    }
    return add_shadowsocks(environment_, inbound_.path, settings, salts_.inbound(index_), salts_.datagrams(index_),
                           std::move(users), *out_);
  }

  Environment& environment_;
  const NodeOptions& options_;
  std::size_t index_;
  const InboundOptions& inbound_;
  const TlsContexts& contexts_;
  Ledger& ledger_;
  const SaltFiles& salts_;
  std::shared_ptr<chain::Inbound> out_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<chain::Inbound>> make_inbound(Environment& environment, const NodeOptions& options,
                                                             std::size_t index, const TlsContexts& contexts,
                                                             Ledger& ledger, const SaltFiles& salts) {
  return Builder(environment, options, index, contexts, ledger, salts).build();
}

}  // namespace winze::node
