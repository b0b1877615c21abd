// What all sessions do about their policy and their relay: its timers, and its part of the record.
#pragma once

#include "winze/chain/session.h"

namespace winze::chain {

// The policy of a user of this level.
Policy policy_for(const Inbound& inbound, std::uint32_t level);
RelayOptions relay_options(const Policy& policy, Meter meter);
void note(const RelayResult& result, Connection& connection);

}  // namespace winze::chain
