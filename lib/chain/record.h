// What all sessions do about their relay: its timers, and its part of the record.
#pragma once

#include "winze/chain/session.h"

namespace winze::chain {

RelayOptions relay_options(const Policy& policy);
void note(const RelayResult& result, Connection& connection);

}  // namespace winze::chain
