// Hosts of IPsec that talk to each other over loopback, in one process, without privileges.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "winze/base/status.h"
#include "winze/io/callback_conduit.h"
#include "winze/io/system.h"
#include "winze/tunnel/ipsec_client.h"
#include "winze/tunnel/ipsec_host.h"

namespace winze::test {

inline IpAddress ip(std::string_view text) { return *IpAddress::parse(text); }

// An IPv4 packet of UDP without a checksum.
inline Buffer packet(std::string_view from, std::string_view to, std::string_view text) {
  Buffer out(256, 64);
  std::uint8_t* bytes = out.append(28);
  std::fill_n(bytes, 28, std::uint8_t{0});
  bytes[0] = 0x45;
  bytes[3] = static_cast<std::uint8_t>(28 + text.size());
  bytes[8] = 64;
  bytes[9] = 17;
  std::ranges::copy(ip(from).bytes(), bytes + 12);
  std::ranges::copy(ip(to).bytes(), bytes + 16);
  bytes[25] = static_cast<std::uint8_t>(8 + text.size());
  out.append(text);
  return out;
}

inline std::shared_ptr<ike::Connection> connection(std::string_view local, std::string_view remote) {
  auto out = std::make_shared<ike::Connection>();
  out->name = "test";
  out->local.id = ike::Identity::parse(local);
  out->local.psk = Secret(std::string_view("a secret of both"));
  out->remote.id = ike::IdentityPattern(remote);
  out->remote.psk = out->local.psk;
  return out;
}

inline std::shared_ptr<ike::ChildConfig> child(std::string_view local, std::string_view remote) {
  auto out = std::make_shared<ike::ChildConfig>();
  out->name = "net";
  out->local = {};
  out->remote = {};
  if (local == "dynamic") out->local.dynamic = true;
  if (remote == "dynamic") out->remote.dynamic = true;
  if (local != "dynamic") out->local.selectors.push_back(*ip::Selector::parse(local));
  if (remote != "dynamic") out->remote.selectors.push_back(*ip::Selector::parse(remote));
  return out;
}

// A host, whose inner packets are text. It has the address 127.0.0.1 unless it is given another.
struct Site {
  Site(Environment& env, tunnel::IpsecHostOptions options, tunnel::IpsecHost::Hooks hooks = {}) {
    auto pair = make_callback_conduit(env, {}, [this](std::span<Datagram> packets) {
      for (Datagram& p : packets) received.emplace_back(p.payload.text().substr(28));
    });
    feed.emplace(std::move(pair.feed));
    if (!options.address) options.address = ip("127.0.0.1");
    hooks.on_event = [this](const ike::Event& event) {
      if (const auto* up = std::get_if<ike::Up>(&event)) ups.push_back(*up);
      if (const auto* up = std::get_if<ike::ChildUp>(&event)) children.push_back(*up);
      if (const auto* down = std::get_if<ike::Closed>(&event)) closed.push_back(*down);
      rekeyed += std::holds_alternative<ike::Rekeyed>(event);
      outbound += std::holds_alternative<ike::ChildOutbound>(event);
      gone += std::holds_alternative<ike::ChildInboundGone>(event);
      migrated += std::holds_alternative<ike::Migrated>(event);
      if (client) client->on_event(event);
    };
    auto made = tunnel::IpsecHost::create(env, std::move(pair.conduit), std::move(options), std::move(hooks));
    REQUIRE_MESSAGE(made.ok(), message_of(made.status()));
    host = std::move(*made);
  }

  void send(Buffer p) { CHECK(feed->deliver(std::span(&p, 1)) == 1); }

  std::optional<PacketFeed> feed;
  std::vector<std::string> received;
  std::vector<ike::Up> ups;
  std::vector<ike::ChildUp> children;
  std::vector<ike::Closed> closed;
  int rekeyed = 0, outbound = 0, gone = 0, migrated = 0;
  std::unique_ptr<tunnel::IpsecHost> host;
  std::optional<tunnel::IpsecClient> client;
};

// The loop that they run on.
struct World {
  asio::io_context context;
  SystemEnvironment system{context.get_executor()};
  Environment& environment = system;

  template <typename F>
  bool until(F done, Duration limit = std::chrono::seconds(30)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      context.restart();
      context.run_one_for(std::chrono::milliseconds(50));
    }
    return true;
  }
};

// A gateway with a pool, and its clients.
struct Pair : World {
  Pair() {
    auto road = connection("gw.test", "%any");
    road->pool = true;
    road->reply.dns.push_back(ip("10.2.0.53"));
    road->children.push_back(child("10.2.0.0/24", "dynamic"));
    tunnel::IpsecHostOptions options{.connections = {road}, .port = 0, .nat_port = 0};
    options.engine.inbound_grace = std::chrono::milliseconds(50);
    options.pools["test"] = {std::make_shared<tunnel::AddressPool>(*tunnel::AddressPool::parse("10.3.0.0/24"))};
    served = road;
    gateway.emplace(environment, std::move(options));
  }

  // What they closed is called back, as by a loop that goes on.
  ~Pair() {
    clients.clear();
    gateway.reset();
    context.restart();
    context.poll();
  }

  Site& add_client(std::optional<IpAddress> address = std::nullopt) {
    return clients.emplace_back(environment, tunnel::IpsecHostOptions{.address = address, .port = 0, .nat_port = 0});
  }

  static std::shared_ptr<ike::Connection> client_connection(std::string_view id) {
    auto out = connection(id, "gw.test");
    out->request.addresses.push_back({ip("0.0.0.0"), 0});
    out->children.push_back(child("dynamic", "10.2.0.0/24"));
    return out;
  }

  Endpoint at() const { return gateway->host->nat_local(); }

  // A packet there and one back.
  void exchange(Site& site) {
    const std::string own = site.ups.back().configuration.addresses.at(0).address.to_string();
    site.send(packet(own, "10.2.0.9", "there " + own));
    CHECK(until([&] { return !gateway->received.empty(); }));
    gateway->send(packet("10.2.0.9", own, "back " + own));
    CHECK(until([&] { return !site.received.empty(); }));
    REQUIRE(gateway->received.size() == 1);
    REQUIRE(site.received.size() == 1);
    CHECK(gateway->received[0] == "there " + own);
    CHECK(site.received[0] == "back " + own);
    gateway->received.clear();
    site.received.clear();
  }

  std::shared_ptr<ike::Connection> served;  // the gateway's
  std::optional<Site> gateway;
  std::deque<Site> clients;
};

}  // namespace winze::test
