// The users of a 2022 server, told apart by identity headers (SIP023).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "winze/base/bytes.h"
#include "winze/base/secret.h"
#include "winze/proto/shadowsocks/method.h"

namespace winze::shadowsocks {

// What a server knows of a user.
struct Account {
  std::string name;         // for logs and rules; an e-mail address in most configurations
  std::uint32_t level = 0;  // of the policy that applies
};

struct User {
  Secret key;
  Account account;
};

class Users {
 public:
  virtual ~Users() = default;
  // The user whose key has this name, or null. Asked once per connection, and for the first datagram of each session;
  // the answer is used at once.
  virtual const User* find(const KeyName& name) const = 0;
};

// May change while servers use it, on their executor.
class UserTable final : public Users {
 public:
  // False when there is one with this key already.
  bool add(Secret key, Account account);
  // Takes all keys of that account away; false when there is none.
  bool remove(std::string_view name);
  const User* find(const KeyName& name) const override;

 private:
  struct Hash {
    std::size_t operator()(const KeyName& name) const { return static_cast<std::size_t>(load_u64(name.data())); }
  };
  std::unordered_map<KeyName, User, Hash> users_;
};

}  // namespace winze::shadowsocks
