// On what terms a user may use an inbound.
#pragma once

#include <cstdint>
#include <optional>

#include "winze/base/time.h"

namespace winze::chain {

// Zero: no limit.
struct UserLimits {
  std::uint64_t up = 0;  // bytes per second, of all connections together
  std::uint64_t down = 0;
  std::uint64_t quota = 0;  // bytes, both ways together, from when the user was added; kept to the byte
  // At a time. Of a carrier (multiplexing) each stream counts, and not the carrier: a limit means the same to a client
  // that multiplexes. Of carriers a user may have one more, apart from that: whose carrier has died without a word
  // comes again by another.
  std::uint32_t connections = 0;
  // That connections come from at a time. An IPv6 address counts as its network of 64 bits, which one host has.
  //
  // Who comes from an address where one of these limits is reached is refused; but where he goes on asking, another
  // address at which nothing has passed for ten seconds gives way to him, and its connections end. A client that has
  // moved to another network is so not kept out by what it left behind.
  std::uint32_t addresses = 0;

  friend bool operator==(const UserLimits&, const UserLimits&) = default;
};

struct UserTerms {
  UserLimits limits = {};
  std::optional<UnixTime> expiry = {};  // none: never

  friend bool operator==(const UserTerms&, const UserTerms&) = default;
};

}  // namespace winze::chain
