#include "winze/proto/credentials.h"

#include "winze/base/bytes.h"

namespace winze {

void PasswordList::add(std::string_view user, std::string_view password) {
  accounts_.push_back({std::string(user), Secret(password)});
}

std::optional<std::string> PasswordList::check(std::string_view user, std::string_view password) const {
  const Account* found = nullptr;
  for (const Account& account : accounts_) {
    // Both are always compared: & and not &&.
    const bool equal = static_cast<int>(constant_time_equal(as_bytes(account.user), as_bytes(user))) &
                       static_cast<int>(constant_time_equal(account.password.span(), as_bytes(password)));
    if (equal) found = &account;
  }
  if (found == nullptr) return std::nullopt;
  return found->user;
}

}  // namespace winze
