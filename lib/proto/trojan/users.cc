#include "winze/proto/trojan/users.h"

#include <algorithm>
#include <utility>

#include "winze/base/bytes.h"
#include "winze/base/secret.h"
#include "winze/crypto/digest.h"

namespace winze::trojan {

Key key_of(std::string_view password) {
  const auto digest = sha224(as_bytes(password));
  Key key;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    key[2 * i] = static_cast<std::uint8_t>("0123456789abcdef"[digest[i] >> 4]);
    key[2 * i + 1] = static_cast<std::uint8_t>("0123456789abcdef"[digest[i] & 15]);
  }
  return key;
}

std::size_t UserTable::Hash::operator()(const Key& key) const noexcept {
  // Sixteen digits are 64 bits of the digest, each digit's value in its low bits.
  return static_cast<std::size_t>(load_u64(key.data()) * 0x9e3779b97f4a7c15 ^ load_u64(key.data() + 8));
}

bool UserTable::Equal::operator()(const Key& a, const Key& b) const noexcept { return constant_time_equal(a, b); }

bool UserTable::add(std::string_view password, ProxyAccount account) {
  return accounts_.try_emplace(key_of(password), std::move(account)).second;
}

bool UserTable::remove(std::string_view name) {
  return std::erase_if(accounts_, [name](const auto& entry) { return entry.second.name == name; }) != 0;
}

const ProxyAccount* UserTable::find(std::span<const std::uint8_t, kKeySize> key) const {
  Key sought;
  std::ranges::copy(key, sought.begin());
  const auto found = accounts_.find(sought);
  return found == accounts_.end() ? nullptr : &found->second;
}

}  // namespace winze::trojan
