// Who may use a proxy that asks for a user name and a password (SOCKS5, HTTP Basic).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/secret.h"

namespace winze {

class Credentials {
 public:
  virtual ~Credentials() = default;
  // The account these belong to, as ProxyRequest::user will name it; nothing when they are wrong. Implementations take
  // care that the time they need tells nothing of how much was right.
  virtual std::optional<std::string> check(std::string_view user, std::string_view password) const = 0;
};

// A list of accounts; an account is named by its user name. Every check looks at every account in full.
class PasswordList final : public Credentials {
 public:
  void add(std::string_view user, std::string_view password);
  std::optional<std::string> check(std::string_view user, std::string_view password) const override;

 private:
  struct Account {
    std::string user;
    Secret password;
  };
  std::vector<Account> accounts_;
};

}  // namespace winze
