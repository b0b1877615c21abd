// Who may use a proxy that asks for a user name and a password (SOCKS5, HTTP Basic).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/secret.h"

namespace winze {

// What a proxy knows of one who has shown the right ones.
struct ProxyAccount {
  std::string name;         // as ProxyRequest::user will have it
  std::uint32_t level = 0;  // of the policy that applies
};

class Credentials {
 public:
  virtual ~Credentials() = default;
  // The account these belong to; nothing when they are wrong. Implementations take care that the time they need tells
  // nothing of how much was right.
  virtual std::optional<ProxyAccount> check(std::string_view user, std::string_view password) const = 0;
};

// A list of accounts; an account is named by its user name. Every check looks at every account in full.
class PasswordList final : public Credentials {
 public:
  void add(std::string_view user, std::string_view password, std::uint32_t level = 0);
  // False when there is none of this name.
  bool remove(std::string_view user);
  std::optional<ProxyAccount> check(std::string_view user, std::string_view password) const override;

 private:
  struct Account {
    std::string user;
    Secret password;
    std::uint32_t level;
  };
  std::vector<Account> accounts_;
};

}  // namespace winze
