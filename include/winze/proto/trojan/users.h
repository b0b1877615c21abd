// Who may use a Trojan server. What stands for a password on the wire is its key, the SHA-224 in lower-case
// hexadecimal.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>

#include "winze/proto/credentials.h"

namespace winze::trojan {

inline constexpr std::size_t kKeySize = 56;
using Key = std::array<std::uint8_t, kKeySize>;

Key key_of(std::string_view password);

class Users {
 public:
  virtual ~Users() = default;
  // The account of `key`, or null. Asked once per connection, so it must be fast; the answer is used at once. The time
  // it takes must not tell how much of a wrong key is right.
  virtual const ProxyAccount* find(std::span<const std::uint8_t, kKeySize> key) const = 0;
};

// May change while connections come in. Keys are compared in constant time; which bucket of the hash table a guess
// falls into is all that the time of a look-up could tell.
class UserTable final : public Users {
 public:
  // False when there is one with this password already.
  bool add(std::string_view password, ProxyAccount account);
  // Removes all accounts of that name; says whether there was any.
  bool remove(std::string_view name);
  const ProxyAccount* find(std::span<const std::uint8_t, kKeySize> key) const override;

 private:
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  struct Equal {
    bool operator()(const Key& a, const Key& b) const noexcept;
  };
  std::unordered_map<Key, ProxyAccount, Hash, Equal> accounts_;
};

}  // namespace winze::trojan
