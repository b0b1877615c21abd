// Gives a TUN interface the addresses and routes that its tunnels have (Linux; needs CAP_NET_ADMIN): a client's virtual
// addresses, and routes to what lies behind each peer.
//
// Routes stand in a table of their own, before which a rule leads all packets but those that carry `mark`: so a child
// for 0.0.0.0/0 takes everything but the tunnel itself. A packet whose source the kernel chooses gets a virtual
// address, or else an address of this host that the child's own selectors cover.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "winze/io/interface.h"
#include "winze/proto/ike/event.h"

namespace winze::tunnel {

struct TunNetworkOptions {
  std::uint32_t mark = 0x77;  // IpsecHostOptions::mark
  std::uint32_t table = 220;
  std::uint32_t priority = 220;  // of the rule
};

class TunNetwork {
 public:
  explicit TunNetwork(std::string interface, const TunNetworkOptions& options = {});
  // Takes back what it has set.
  ~TunNetwork();
  TunNetwork(const TunNetwork&) = delete;
  TunNetwork& operator=(const TunNetwork&) = delete;

  // Of IpsecHost. The first error of what it set, if any; the rest is set all the same.
  std::error_code on_event(const ike::Event& event);

  // Brings packets for a child that is not up yet to the interface, from now on: it is traffic that begins it.
  std::error_code trap(const ip::SelectorPair& selectors);

  const std::string& interface() const { return interface_; }

 private:
  std::error_code add(const ike::Up& event);
  std::error_code add(const ike::ChildUp& event);
  std::error_code add(ike::ChildId child, const ip::SelectorPair& selectors, const std::vector<IpAddress>& sources);
  // Routes of children in transport mode are to the peer itself, from this host's own address.
  std::error_code follow(const ike::Migrated& event);
  void remove(ike::ChildId child);
  void remove(ike::SaId sa);

  std::string interface_;
  TunNetworkOptions options_;
  std::error_code rules_;
  std::map<ike::SaId, std::vector<Prefix>> addresses_;  // virtual ones, by who was given them
  std::map<ike::ChildId, std::vector<Route>> routes_;
  struct Hosts {
    ip::SelectorPair selectors;
    IpAddress local, remote;
  };
  std::map<ike::ChildId, Hosts> hosts_;  // of children in transport mode
  std::map<Prefix, std::size_t> address_holders_;
  std::map<Prefix, std::size_t> route_holders_;
};

}  // namespace winze::tunnel
