// Who may use a VMess server. A client names itself by 16 encrypted bytes, its authentication id, which only the key of
// its user id opens.
//
//   authentication id = AES-128( s64 Unix time | random (4) | u32 CRC-32 of these 12 )
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/secret.h"
#include "winze/base/time.h"
#include "winze/base/uuid.h"
#include "winze/crypto/cipher.h"

namespace winze::vmess {

// What a server knows of a user.
struct Account {
  std::string name;         // for logs and rules; an e-mail address in most configurations
  std::uint32_t level = 0;  // of the policy that applies
};

inline constexpr std::size_t kAuthIdSize = 16;
// Seconds by which a client's clock and ours may differ.
inline constexpr UnixTime kTimeTolerance = 120;

// What both sides derive from a user's id.
struct UserKeys {
  explicit UserKeys(const Uuid& id);

  Secret command;  // MD5 of the id and a constant: what all other keys come from
  AesBlock auth;   // of authentication ids
};

class UserTable {
 public:
  // False when there is one with this id already.
  bool add(const Uuid& id, Account account);
  bool remove(const Uuid& id);
  // All of that name. False when there is none.
  bool remove(std::string_view name);

  struct User {
    Uuid id;
    Account account;
    UserKeys keys;
  };
  struct Match {
    const User* user = nullptr;  // null: nobody's; valid until the table changes
    bool timely = false;         // within kTimeTolerance of `now`
  };
  // Whose authentication id this is. Takes one block of AES for each user; asked once per connection.
  Match find(std::span<const std::uint8_t, kAuthIdSize> auth_id, UnixTime now) const;
  std::span<const User> users() const { return users_; }

 private:
  std::vector<User> users_;
};

}  // namespace winze::vmess
