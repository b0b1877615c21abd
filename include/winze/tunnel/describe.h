// Events of IKE in a line each, for logs and for people.
#pragma once

#include <string>

#include "winze/proto/ike/event.h"

namespace winze::tunnel {

// Empty for what is no news: the steps of a rekey, questions. Addresses, identities and algorithms only, no secrets.
//
//   home: up with gw.test at 192.0.2.2:4500 (aes256gcm16-prfsha384-ecp384), address 10.3.0.1/32, DNS 10.2.0.53
//   home: child net up: 10.3.0.1 <-> 10.2.0.0/24, SPIs c1a2b3c4 in, 8f00ba12 out
std::string describe(const ike::Event& event);

}  // namespace winze::tunnel
