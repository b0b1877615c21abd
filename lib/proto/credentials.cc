#include "winze/proto/credentials.h"

#include "winze/base/bytes.h"

namespace winze {

void PasswordList::add(std::string_view user, std::string_view password, std::uint32_t level) {
  accounts_.push_back({std::string(user), Secret(password), level});
}

bool PasswordList::remove(std::string_view user) {
  return std::erase_if(accounts_, [&](const Account& account) { return account.user == user; }) != 0;
}

std::optional<ProxyAccount> PasswordList::check(std::string_view user, std::string_view password) const {
  const Account* found = nullptr;
  for (const Account& account : accounts_) {
    // Both are always compared: & and not &&.
    const bool equal = static_cast<int>(constant_time_equal(as_bytes(account.user), as_bytes(user))) &
                       static_cast<int>(constant_time_equal(account.password.span(), as_bytes(password)));
    if (equal) found = &account;
  }
  if (found == nullptr) return std::nullopt;
  return ProxyAccount{found->user, found->level};
}

}  // namespace winze
