// What both sides do to datagrams.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "proto/shadowsocks/session_key.h"
#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/base/secret.h"
#include "winze/proto/esp/replay_window.h"
#include "winze/proto/shadowsocks/datagram.h"

namespace winze::shadowsocks {

inline constexpr std::size_t kHeadSize = 8 + 8;
inline constexpr std::size_t kLongNonceSize = 24;
// Type, time, size of the padding.
inline constexpr std::size_t kBodyStartSize = 1 + 8 + 2;

// The edition of 2017: a key for each datagram.
class SaltedCipher {
 public:
  SaltedCipher(Method method, const Secret& key);
  void seal(Buffer& datagram, const Destination& peer, Random& random);
  Drop open(Buffer& datagram, Destination& peer);

 private:
  void rekey(std::span<const std::uint8_t> salt);

  Method method_;
  Secret key_;
  Aead aead_;
  std::size_t nonce_size_;
};

// The parts of a body around its payload. `about`: the client's session, in answers.
void put_body(Buffer& datagram, const Destination& peer, std::uint8_t type, std::optional<std::uint64_t> about,
              const Surroundings& around);
// Leaves the payload in `datagram`.
Drop take_body(Buffer& datagram, Destination& peer, std::uint8_t type, std::optional<std::uint64_t> about,
               UnixTime now);

// One direction of a session of 2022. With ChaCha20 all sessions have one key.
struct SessionCipher {
  SessionCipher(Method method, const Secret& key, std::uint64_t session_id);

  std::uint64_t id;
  std::optional<Aead> aead;  // AES
};

// 2022's heads, for one key.
class HeadCipher {
 public:
  HeadCipher(Method method, const Secret& key);

  // Seals a body in place, and puts head and nonce before it. With AES `identities` bytes are left free behind the
  // head, which is in the clear up to hide_head().
  void seal(Buffer& body, const SessionCipher& session, std::uint64_t number, std::size_t identities, Random& random);
  void hide_head(Buffer& datagram) const;

  // Reads the head of a datagram that is long enough. With ChaCha20 this opens all of it, and leaves the body.
  Drop open_head(Buffer& datagram, std::uint64_t& session, std::uint64_t& number);
  // AES: opens the body behind the head, which is in the clear, and `identities` bytes; leaves the body.
  Drop open_body(Buffer& datagram, const SessionCipher& session, std::size_t identities) const;

  bool is_aes() const { return block_.has_value(); }
  const AesBlock& block() const { return *block_; }

 private:
  std::optional<AesBlock> block_;
  std::optional<Aead> aead_;  // ChaCha20
};

// How far behind the latest a datagram may come.
inline constexpr std::uint32_t kWindow = 4096;

// Numbers begin with 0, which the window counts as seen.
inline bool is_new(const esp::ReplayWindow& window, std::uint64_t number) {
  return number != UINT64_MAX && window.check(number + 1) == esp::ReplayWindow::Verdict::kNew;
}

}  // namespace winze::shadowsocks
