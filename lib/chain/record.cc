#include "record.h"

#include <string>
#include <utility>

namespace winze::chain {

Policy policy_for(const Inbound& inbound, std::uint32_t level) {
  return inbound.policy_of ? inbound.policy_of(level) : inbound.policy;
}

RelayOptions relay_options(const Policy& policy, Meter meter) {
  return {.idle = policy.idle,
          .uplink_only = policy.uplink_only,
          .downlink_only = policy.downlink_only,
          .meter = std::move(meter)};
}

void note(const RelayResult& result, Connection& connection) {
  connection.up += result.up;
  connection.down += result.down;
  connection.spliced += result.spliced;
  if (result.dropped != 0) connection.detail = "datagrams dropped: " + std::to_string(result.dropped);
}

}  // namespace winze::chain
