#include "winze/proto/shadowsocks/users.h"

#include <utility>

namespace winze::shadowsocks {

bool UserTable::add(Secret key, Account account) {
  const KeyName name = name_of_key(key.span());
  return users_.try_emplace(name, User{std::move(key), std::move(account)}).second;
}

bool UserTable::remove(std::string_view name) {
  return std::erase_if(users_, [&](const auto& entry) { return entry.second.account.name == name; }) != 0;
}

const User* UserTable::find(const KeyName& name) const {
  const auto found = users_.find(name);
  return found == users_.end() ? nullptr : &found->second;
}

}  // namespace winze::shadowsocks
