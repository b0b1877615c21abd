// Tickets of a gateway (RFC 5723): what it needs for resuming an IKE SA, sealed by a key that nobody else has.
//
//   key(8) | number(8) | AES-256-GCM(number; session) | tag(16)
//
// A ticket is good for one use, and for as long as the key that sealed it, which is made anew after `lifetime`: two
// keys and a bit for each ticket are all that is kept.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "keys.h"
#include "winze/base/time.h"
#include "winze/proto/ike/event.h"

namespace winze::ike {

// What a ticket holds.
struct Session {
  Secret d;
  Proposal proposal;
  Identity gateway, client;
  std::string eap_identity;
  std::string connection;  // by its name
  TimePoint expires_at{};
  std::uint64_t key = 0, number = 0;  // of the ticket: set by open()
};

class Tickets {
 public:
  // No more than this many for each key: then none.
  static constexpr std::uint64_t kMost = 1 << 20;

  std::vector<std::uint8_t> give(TimePoint now, Random& random, Duration lifetime, const Session& session);
  // None for what is not ours, too old, or used.
  std::optional<Session> open(TimePoint now, Bytes ticket) const;
  // False when it has been used before.
  bool use(const Session& session);

 private:
  struct Key {
    std::uint64_t id = 0;
    Secret secret;
    TimePoint since{};
    std::vector<bool> used;  // by the tickets' numbers
  };
  // Of keys_; kNone.
  std::size_t find(std::uint64_t id) const noexcept;

  static constexpr std::size_t kNone = 2;
  std::array<Key, kNone> keys_;  // that of now, and the one before
};

}  // namespace winze::ike
