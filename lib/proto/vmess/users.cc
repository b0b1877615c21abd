#include "winze/proto/vmess/users.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "auth_id.h"
#include "kdf.h"
#include "winze/base/crc32.h"
#include "winze/crypto/mac.h"

namespace winze::vmess {

namespace {

Secret command_key_of(const Uuid& id) {
  auto hash = hash_of(HashAlgorithm::kMd5, {id.bytes, as_bytes("c48619fe-8f02-49e0-b9e9-edf763e17e21")});
  Secret key(std::span<const std::uint8_t>(hash).first(16));
  secure_wipe(hash);
  return key;
}

AesBlock auth_key_of(const Secret& command_key) {
  auto key = Kdf().derive_key(command_key.span(), {as_bytes("AES Auth ID Encryption")});
  AesBlock block = *AesBlock::create(key);
  secure_wipe(key);
  return block;
}

}  // namespace

UserKeys::UserKeys(const Uuid& id) : command(command_key_of(id)), auth(auth_key_of(command)) {}

AuthId make_auth_id(const AesBlock& auth_key, UnixTime unix_seconds, Random& random) {
  AuthId block;
  store_u64(block.data(), static_cast<std::uint64_t>(unix_seconds));
  random.fill(std::span(block).subspan(8, 4));
  store_u32(block.data() + 12, crc32(std::span(block).first(12)));
  auth_key.encrypt(block.data(), block.data());
  return block;
}

std::optional<UnixTime> open_auth_id(const AesBlock& auth_key, std::span<const std::uint8_t, kAuthIdSize> auth_id) {
  AuthId block;
  auth_key.decrypt(auth_id.data(), block.data());
  if (load_u32(block.data() + 12) != crc32(std::span(block).first(12))) return std::nullopt;
  return static_cast<UnixTime>(load_u64(block.data()));
}

bool UserTable::add(const Uuid& id, Account account) {
  if (std::ranges::find(users_, id, &User::id) != users_.end()) return false;
  users_.push_back({id, std::move(account), UserKeys(id)});
  return true;
}

bool UserTable::remove(const Uuid& id) {
  return std::erase_if(users_, [&](const User& user) { return user.id == id; }) != 0;
}

bool UserTable::remove(std::string_view name) {
  return std::erase_if(users_, [&](const User& user) { return user.account.name == name; }) != 0;
}

UserTable::Match UserTable::find(std::span<const std::uint8_t, kAuthIdSize> auth_id, UnixTime now) const {
  Match found;
  for (const User& user : users_) {
    const std::optional<UnixTime> time = open_auth_id(user.keys.auth, auth_id);
    if (!time) continue;
    // A checksum of 32 bits is right by chance now and then: another user may be the one.
    found = {.user = &user, .timely = *time >= 0 && *time <= now + kTimeTolerance && *time >= now - kTimeTolerance};
    if (found.timely) break;
  }
  return found;
}

}  // namespace winze::vmess
