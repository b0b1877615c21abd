// Shadowsocks' streams, the AEAD edition of 2017 and that of 2022 (SIP022), with identity headers (SIP023).
//
//   2017      request    salt | chunks of ( address | payload )
//             response   salt | chunks of payload
//   2022      request    salt | [ identity (16) ]* | AEAD(fixed) | AEAD(variable) | chunks of payload
//               fixed      u8 type = 0 | u64 time | u16 size of variable
//               variable   address | u16 n | padding (n) | payload
//             response   salt | AEAD(fixed) | AEAD(payload) | chunks of payload
//               fixed      u8 type = 1 | u64 time | the request's salt | u16 size of payload
//
//   chunk     AEAD(u16 size) | AEAD(payload)          AEAD: data | tag (16); its nonce counts from 0
//   address   as SOCKS5 has it (winze/proto/socks/address.h)
//   identity  AES( key from an identity key and the salt; the name of the next key )
//
// No round trip: the client's header shares a write with its first payload, the server's answer with its own.
//
// What a server lets a stranger see. It never answers one, and never ends the connection on account of what has come:
// it reads on, and drops what it reads, until the peer ends or the host's timer for openings does.
//
//   the peer sends                                     bytes back   the server closes
//   nothing, or part of a header                       0            when the timer strikes, or the peer has ended
//   random bytes; a header for another password        0            likewise
//   a header with one bit changed; an unknown user     0            likewise
//   a header that was used before, or is old (2022)    0            likewise
//   a header byte by byte                              0            likewise
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "winze/base/random.h"
#include "winze/base/time.h"
#include "winze/proto/proxy_codec.h"
#include "winze/proto/shadowsocks/error.h"
#include "winze/proto/shadowsocks/method.h"
#include "winze/proto/shadowsocks/salts.h"
#include "winze/proto/shadowsocks/users.h"

namespace winze::shadowsocks {

class ChunkSealer;
class ChunkOpener;

// How far a peer's clock may be from ours, either way, in seconds (2022).
inline constexpr UnixTime kTimeWindow = 30;

// What a codec needs besides keys; all must outlive it.
struct Surroundings {
  Random& random;
  const WallClock& clock;
  BufferPool& pool;
};

class ClientCodec final : public StreamCodec {
 public:
  // Asks for `destination`. handshake() fails with Errc::kBadName when it cannot be sent.
  ClientCodec(std::shared_ptr<const Keys> keys, const Destination& destination, const Surroundings& surroundings);
  ~ClientCodec() override;

  Overhead overhead() const override;
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  std::error_code open_end() override;
  End seal_end(Buffer& out) override;
  bool holds_opening() const override { return !sealer_; }

 private:
  using Salt = std::array<std::uint8_t, kMaxKeySize>;

  std::span<const std::uint8_t> salt() const { return {salt_.data(), key_size(keys_->method)}; }
  std::size_t fixed_answer_size() const;
  void seal_request(Buffer& data);
  void put_request_2017(Buffer& data);
  void put_request_2022(Buffer& data);
  void put_identities(std::uint8_t* out) const;
  std::error_code open_answer(std::span<std::uint8_t> header);

  std::shared_ptr<const Keys> keys_;
  Destination destination_;
  Surroundings around_;
  Salt salt_;
  std::unique_ptr<ChunkSealer> sealer_;  // from the request on
  Buffer header_;                        // of an answer that is not whole
  std::unique_ptr<ChunkOpener> opener_;  // from the answer's header on
};

struct ServerOptions {
  Method method = Method::kAes128Gcm;
  Secret key;                          // of all clients; with `users` that of their first identity header
  Account account;                     // of all clients, without `users`
  std::shared_ptr<const Users> users;  // where the method has identities; may be null
  std::shared_ptr<Salts> salts;        // null: requests may be replayed
  // A SaltWindow. Null: datagrams of 2017 may be replayed, and those of 2022 to another server with these options.
  std::shared_ptr<Salts> datagram_salts;
};

class ServerCodec final : public ProxyServerCodec {
 public:
  ServerCodec(std::shared_ptr<const ServerOptions> options, const Surroundings& surroundings);
  ~ServerCodec() override;

  // Never fails. Where it would, it takes whatever comes, and detail() says why.
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  Overhead overhead() const override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  std::error_code open_end() override;
  std::string_view detail() const override { return detail_; }

  const ProxyRequest& request() const override { return request_; }
  void grant(const Endpoint&) override {}
  // Nothing is sent: Shadowsocks has no words for it.
  void refuse(Refusal) override { refused_ = true; }
  bool answers_at_once() const override { return false; }

 private:
  using Salt = std::array<std::uint8_t, kMaxKeySize>;
  enum class Stage : std::uint8_t { kHeader, kVariable, kChunks, kOpen, kDraining };

  std::span<const std::uint8_t> salt() const { return {salt_.data(), key_size(options_->method)}; }
  bool collect(Buffer& in, std::size_t size);
  // Each takes its part of the opening off `in`, and goes on to the next stage when it is whole.
  std::error_code take(Buffer& in);
  std::error_code take_header(Buffer& in);
  std::error_code take_variable(Buffer& in);
  std::error_code take_chunks(Buffer& in);
  std::error_code find_key(std::span<const std::uint8_t> identity);
  std::error_code check_fixed(std::span<std::uint8_t> unit);
  std::error_code take_address(std::size_t& size);
  void seal_answer(Buffer& data);

  std::shared_ptr<const ServerOptions> options_;
  Surroundings around_;
  Stage stage_ = Stage::kHeader;
  Buffer received_;  // of the part of the opening that is not whole; then the payload in it
  Salt salt_{};      // the client's
  Secret key_;       // that the answer is sealed with
  std::size_t variable_size_ = 0;
  std::unique_ptr<ChunkOpener> opener_;
  std::unique_ptr<ChunkSealer> sealer_;  // from the answer on
  ProxyRequest request_;
  std::string detail_;
  bool admitted_ = false;  // the salt was new
  bool refused_ = false;
};

}  // namespace winze::shadowsocks
