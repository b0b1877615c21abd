// An IPsec client: connects to a gateway as swanctl.conf (or the "ipsec" section of winze's JSON) says, and carries the
// packets of a TUN interface; or, with --once, asks a host behind the gateway for echoes, without any interface.
#include <winze/base/address.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <variant>

#include "pinger.h"
#include "site.h"

namespace {

using namespace winze;

// The address of ours that a child takes packets from; none of that version.
std::optional<IpAddress> source_in(const ip::SelectorPair& selectors, const ike::Configuration& own, bool v6) {
  for (const ip::Selector& local : selectors.local) {
    if (local.first.is_v6() != v6) continue;
    for (const Prefix& assigned : own.addresses) {
      if (local.covers(assigned.address)) return assigned.address;
    }
    return local.first;
  }
  return std::nullopt;
}

// The one that is asked for, or else the first, unless some begin by themselves.
std::string first_to_begin(const node::IpsecOptions& options, const std::string& wanted) {
  if (!wanted.empty()) return wanted;
  for (const node::IpsecConnection& connection : options.connections) {
    for (const node::IpsecChild& child : connection.children) {
      if (child.start_action != node::IpsecChild::Start::kNone) return {};
    }
  }
  return options.connections.front().name;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Connects to an IKEv2 gateway.");
  ipsec_example::Site site(app, "ipsec_client");
  std::string connection;
  app.add_option("--connection", connection,
                 "Which of its connections; by default those that start by themselves, or the first");
  ipsec_example::Pinger::Options pings;
  std::optional<std::string> once;
  unsigned seconds = 10;
  app.add_option("--once", once, "Ask this address for an echo, print the answer, and end; needs no privileges")
      ->check([&](const std::string& text) {
        const auto address = IpAddress::parse(text);
        if (address) pings.to = *address;
        return address ? "" : "no IP address: " + text;
      });
  app.add_option("--seconds", seconds, "How long --once waits for the tunnel")->capture_default_str();
  app.add_option("--count", pings.count, "Echoes of --once, one each 100 ms")->check(CLI::Range(1, 65535));
  app.add_option("--load", pings.load_seconds, "Then so many seconds of echoes of 1,300 bytes, as many as fit");
  app.add_flag("--rekey", pings.rekey, "New keys for the IKE SA and its children in the middle of either");
  CLI11_PARSE(app, argc, argv);

  std::optional<ipsec_example::Pinger> pinger;
  ike::Configuration own;
  const TimerPtr timer = site.environment().clock.make_timer();
  const auto prepare = [&](const node::IpsecOptions& options, node::IpsecSettings& settings) {
    settings.respond = false;
    settings.initiate = first_to_begin(options, connection);
    if (!once) return;
    settings.keep = false;
    settings.inner = site.packets([&](std::span<Datagram> packets) { pinger->on_packets(packets); });
    pinger.emplace(site.environment(), site.feed(), pings,
                   ipsec_example::Pinger::Handlers{.rekey = [&] { (void)site.ipsec().rekey_all(); },
                                                   .done = [&](bool all) { site.finish(all ? 0 : 1); }});
    timer->arm(site.environment().clock.now() + std::chrono::seconds(seconds), [&] {
      std::printf("no tunnel within %u s\n", seconds);
      site.finish(1);
    });
  };
  const auto on_event = [&](const ike::Event& event) {
    if (const auto* up = std::get_if<ike::Up>(&event)) own = up->configuration;
    const auto* child = std::get_if<ike::ChildUp>(&event);
    if (child == nullptr || !pinger) return;
    timer->disarm();
    if (const auto from = source_in(child->selectors, own, pings.to.is_v6())) return pinger->start(*from);
    std::printf("the tunnel has no traffic selectors of %s's IP version\n", once->c_str());
    site.finish(1);
  };
  return site.run(prepare, on_event);
}
