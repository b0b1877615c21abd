// Shadowsocks' datagrams, both editions.
//
//   2017            salt | AEAD( address | payload )                     nonce 0, a key for each datagram
//   2022, AES       AES(K, head) | [ identity (16) ]* | AEAD( body )     nonce: the last 12 bytes of head
//   2022, ChaCha20  nonce (24) | AEAD( head | body )
//     head          u64 session | u64 number, from 0
//     body          u8 type | u64 time | [ u64 the client's session, in answers ] | u16 n | padding (n) | address |
//     payload identity      to servers only: AES( identity key, the name of the next key XOR head )
//
// K is the first identity key in requests that have one, else the user's. The address is where a datagram goes, or came
// from. A session is one client's, whatever address it sends from; its datagrams are counted, and none is taken twice.
//
// What a server takes of datagrams that somebody has recorded and sends again:
//
//   2017   none of those that ServerOptions::datagram_salts remembers (see SaltWindow for how many); a server that has
//          just begun, and a client, remember none
//   2022   none whose time stamp is more than 30 seconds from now, and none that it has taken itself; of those that
//          others with the same options have taken (a node has one server for each thread) none that datagram_salts
//          remembers. What was seen is not kept over a restart: after it those of the 30 seconds before are taken once
//          more
#pragma once

#include <cstdint>
#include <memory>

#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/proto/shadowsocks/codec.h"
#include "winze/proto/shadowsocks/method.h"

namespace winze::shadowsocks {

enum class Drop : std::uint8_t {
  kNone,
  kShort,
  kBadTag,  // does not authenticate
  kWrongType,
  kBadTime,   // more than 30 seconds from now
  kReplayed,  // came before, or is too far behind others
  kUnknownUser,
  kMalformed,  // padding or address
  kForeign,    // an answer to another session, or of a server that changes its own too often
  kFull,       // too many sessions
};
inline constexpr std::size_t kDrops = static_cast<std::size_t>(Drop::kFull) + 1;

class DatagramClient {
 public:
  DatagramClient(std::shared_ptr<const Keys> keys, const Surroundings& surroundings);
  ~DatagramClient();

  // Room that seal() would like, for all but padded ones (to port 53).
  Overhead overhead() const;
  // False, and nothing done, when the destination cannot be written.
  [[nodiscard]] bool seal(Buffer& datagram, const Destination& to);
  [[nodiscard]] Drop open(Buffer& datagram, Destination& from);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Of all clients of a socket.
class DatagramServer {
 public:
  DatagramServer(std::shared_ptr<const ServerOptions> options, const Surroundings& surroundings);
  ~DatagramServer();

  Overhead overhead() const;
  // `session`: 2022: the client's number for it, by which answers are sealed; 2017: 0, there are none. A session is
  // there from its first datagram that authenticates.
  [[nodiscard]] Drop open(Buffer& datagram, Destination& to, std::uint64_t& session);
  // False, and nothing done, when there is no such session, or `from` cannot be written.
  [[nodiscard]] bool seal(Buffer& datagram, const Destination& from, std::uint64_t session);
  // How many open() has dropped for that reason; kNone: taken.
  std::uint64_t dropped(Drop reason) const;
  // Whose a session is.
  Account account(std::uint64_t session) const;
  // A session has no use any more. What has been seen of it is remembered for a minute.
  void end(std::uint64_t session);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace winze::shadowsocks
