#include "winze/proto/vmess/replay.h"

#include <cstring>
#include <utility>

#include "winze/crypto/mac.h"

namespace winze::vmess {

bool RecentSet::insert(std::uint64_t value, UnixTime now) {
  // A clock that was set back begins a generation anew.
  if (now < begun_) begun_ = now;
  if (now - begun_ >= window_ || current_.size() >= capacity_) {
    if (now - begun_ >= 2 * window_) current_.clear();
    previous_ = std::exchange(current_, {});
    begun_ = now;
  }
  return !previous_.contains(value) && current_.insert(value).second;
}

// An authentication id is a block of AES: any 64 bits of it are as good as a hash.
bool Replays::first_auth_id(std::span<const std::uint8_t, 16> auth_id, UnixTime now) {
  std::uint64_t value;
  std::memcpy(&value, auth_id.data(), sizeof value);
  const std::lock_guard lock(mutex_);
  return auth_ids_.insert(value, now);
}

bool Replays::first_session(const Uuid& id, std::span<const std::uint8_t, 16> body_key,
                            std::span<const std::uint8_t, 16> body_iv, UnixTime now) {
  const auto hash = hash_of(HashAlgorithm::kSha256, {id.bytes, body_key, body_iv});
  std::uint64_t value;
  std::memcpy(&value, hash.data(), sizeof value);
  const std::lock_guard lock(mutex_);
  return sessions_.insert(value, now);
}

}  // namespace winze::vmess
