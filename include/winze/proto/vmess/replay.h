// What a VMess server remembers, so as to refuse a request that somebody has recorded and sends again.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <span>

#include "winze/base/time.h"
#include "winze/base/uuid.h"

namespace winze::vmess {

// Values seen within a time, in two generations that take turns. Exact but for the 64 bits that it keeps of each.
class RecentSet {
 public:
  // Remembers each value for at least `window` seconds. Beyond `capacity` values in one window the older half goes
  // early: memory is bounded at about 32 bytes a value.
  explicit RecentSet(UnixTime window, std::size_t capacity = std::size_t{1} << 20)
      : window_(window), capacity_(capacity) {}

  // False when `value` has been inserted within the window.
  bool insert(std::uint64_t value, UnixTime now);

 private:
  UnixTime window_;
  std::size_t capacity_;
  UnixTime begun_ = 0;  // of the current generation
  absl::flat_hash_set<std::uint64_t> current_, previous_;
};

// Shared by the connections of one inbound on all its threads: a replay may come to another thread than its original
// did. Hence the lock, the only one in proto; it is held for two look-ups a connection.
class Replays {
 public:
  // False when the authentication id has been seen. What is outside the time tolerance is refused without this.
  bool first_auth_id(std::span<const std::uint8_t, 16> auth_id, UnixTime now);
  // False when the user has used these keys in the last three minutes.
  bool first_session(const Uuid& id, std::span<const std::uint8_t, 16> body_key,
                     std::span<const std::uint8_t, 16> body_iv, UnixTime now);

 private:
  std::mutex mutex_;
  RecentSet auth_ids_{240};  // one of the latest time that is taken today is taken 240 seconds long
  RecentSet sessions_{180};
};

}  // namespace winze::vmess
