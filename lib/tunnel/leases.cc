#include "leases.h"

namespace winze::tunnel {

ike::Configuration Leases::assign(const ike::AskAddresses& question) {
  ike::Configuration out;
  // Many clients of EAP name their address in IDi, or nothing of their own.
  const std::string identity = question.eap_identity.empty() ? question.remote.to_string() : question.eap_identity;
  bool had[2] = {};  // one of a version
  for (const Prefix& wish : question.wish.addresses) {
    bool& done = had[wish.address.is_v6()];
    if (!done) done = assign_one(question, identity, wish.address, out);
  }
  return out;
}

bool Leases::assign_one(const ike::AskAddresses& question, const std::string& identity, const IpAddress& wish,
                        ike::Configuration& out) {
  const auto give = [&](const IpAddress& address) {
    out.addresses.push_back({address, static_cast<std::uint8_t>(address.is_v6() ? 128 : 32)});
    held_[question.sa].push_back(address);
    return true;
  };
  if (const auto lease = leases_.find(wish); lease != leases_.end() && lease->second.identity == identity) {
    ++lease->second.holders;
    return give(wish);
  }
  for (const auto& pool : pools_.at(question.connection->name)) {
    if (pool->is_v6() != wish.is_v6()) continue;
    if (const auto address = pool->take(identity, wish)) {
      leases_[*address] = {.pool = pool, .identity = identity};
      return give(*address);
    }
  }
  return false;
}

void Leases::end(ike::SaId sa) {
  const auto held = held_.find(sa);
  if (held == held_.end()) return;
  for (const IpAddress& address : held->second) {
    const auto lease = leases_.find(address);
    if (--lease->second.holders != 0) continue;
    lease->second.pool->give_back(address);
    leases_.erase(lease);
  }
  held_.erase(held);
}

}  // namespace winze::tunnel
