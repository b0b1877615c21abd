// Which addresses of a gateway's pools its IKE SAs hold.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "winze/proto/ike/event.h"
#include "winze/tunnel/address_pool.h"

namespace winze::tunnel {

class Leases {
 public:
  using Pools = std::map<std::string, std::vector<std::shared_ptr<AddressPool>>>;
  // `pools`: by the connection's name; it must outlive this.
  explicit Leases(const Pools& pools) : pools_(pools) {}

  bool has_pools(const std::string& connection) const { return pools_.contains(connection); }
  // One address of each version that is asked for and that there is. A peer that asks for what an SA of the same
  // identity holds gets it: it authenticates anew, and that SA is about to end (RFC 7296 section 2.8.3).
  ike::Configuration assign(const ike::AskAddresses& question);
  void end(ike::SaId sa);

 private:
  struct Lease {
    std::shared_ptr<AddressPool> pool;
    std::string identity;
    std::size_t holders = 1;
  };

  bool assign_one(const ike::AskAddresses& question, const std::string& identity, const IpAddress& wish,
                  ike::Configuration& out);

  const Pools& pools_;
  std::map<IpAddress, Lease> leases_;
  absl::flat_hash_map<ike::SaId, std::vector<IpAddress>> held_;
};

}  // namespace winze::tunnel
