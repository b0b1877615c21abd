// VMess with AEAD headers (what configurations call alterId 0), both sides: a sealed request in front of the client's
// bytes, a sealed answer in front of the server's, and bodies of chunks (chunks.h). The older headers by MD5 are not
// spoken.
//
//   request   authentication id (16) | sealed length (18) | nonce (8) | sealed header | body
//   response  sealed length (18) | sealed answer (20) | body
//
// The header holds the body's keys, its cipher and options, a command (TCP, UDP, Mux) and a destination. Commands are
// chosen and told by the destination: its network, and for Mux the host of mux.cool (winze/proto/mux/cool.h), which is
// told as cool_destination() whichever way and at whichever port it was asked for. For UDP the bytes of the application
// are datagrams with their lengths (winze/proto/vless/datagram.h); where they are to name their peers
// (winze/proto/packet_address.h) request().destination is 0.0.0.0:0. Clocks must agree within two minutes.
//
// The protocol has no standard; this follows what V2Ray 4.34, v2fly v5, Xray and sing-box send and accept.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "winze/base/random.h"
#include "winze/base/time.h"
#include "winze/base/uuid.h"
#include "winze/proto/proxy_codec.h"
#include "winze/proto/vmess/chunks.h"
#include "winze/proto/vmess/error.h"
#include "winze/proto/vmess/replay.h"
#include "winze/proto/vmess/users.h"

namespace winze::vmess {

// What a codec needs of its host; all of it must outlive the codec.
struct Surroundings {
  const WallClock& clock;
  Random& random;
  BufferPool& pool;
};

struct ClientOptions {
  Security security = Security::kAuto;
  std::optional<std::uint8_t> options = {};  // bits of Option; none: usual_options(security)
};

class ClientCodec final : public StreamCodec {
 public:
  // handshake() fails with Errc::kBadName when the destination cannot be sent, with kBadConfiguration when the options
  // contradict each other.
  ClientCodec(std::shared_ptr<const UserKeys> user, const Destination& destination, const ClientOptions& options,
              const Surroundings& surroundings);
  ~ClientCodec() override;

  Overhead overhead() const override;
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  std::error_code open_end() override;
  End seal_end(Buffer& out) override;
  bool seals_verbatim() const override { return !opening_ && sealer_->is_raw(); }
  bool opens_verbatim() const override { return answered_ && opener_->is_raw(); }
  bool holds_opening() const override { return opening_ != nullptr; }

  // Whether the server has answered. One that ends the stream before it has either does not know the user, or finds our
  // clock wrong, or could not reach the destination, or had no byte to send: VMess servers do not tell.
  bool answered() const { return answered_; }

 private:
  struct Opening;
  std::error_code put_request(Buffer& data);

  Surroundings surroundings_;
  std::unique_ptr<Opening> opening_;  // until the first seal()
  std::error_code unusable_;
  BodyKeys answer_keys_;
  std::uint8_t answer_ = 0;
  bool answered_ = false;
  Buffer received_;  // an incomplete answer
  std::optional<ChunkSealer> sealer_;
  std::optional<ChunkOpener> opener_;
};

// How long a server goes on reading when an opening was no good, so that nobody learns from its end which part of it
// was not: until `base` bytes have come, and a few more by chance, below `spread`; or the handshake's time is up.
struct Drain {
  std::size_t base = 0;
  std::size_t spread = 1;
  // Always the same for the same users, and never less than the longest request.
  static Drain of(const UserTable& users);
};

// What the connections of one server share.
struct Server {
  std::shared_ptr<const UserTable> users;
  std::shared_ptr<Replays> replays;
  Drain drain;
  bool refuse_unprotected = false;  // security "none"
};

class ServerCodec final : public ProxyServerCodec {
 public:
  ServerCodec(std::shared_ptr<const Server> server, const Surroundings& surroundings);
  ~ServerCodec() override;

  // Nothing is ever sent to who does not show a user's key.
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  Overhead overhead() const override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  std::error_code open_end() override;
  End seal_end(Buffer& out) override;
  bool seals_verbatim() const override { return !answer_due_ && sealer_ && sealer_->is_raw(); }
  bool opens_verbatim() const override { return opener_ && opener_->is_raw(); }
  // Why an opening came to nothing, where the time was up while it was drained.
  std::string_view detail() const override { return detail_; }

  const ProxyRequest& request() const override { return request_; }
  // The answer goes out with the first sealed bytes, or at the end when there are none.
  void grant(const Endpoint& bound) override;
  // Nothing is sent: VMess has no words for it.
  void refuse(Refusal reason) override;
  bool answers_at_once() const override { return false; }

  // Of the client, once the handshake is done.
  const Uuid& id() const { return id_; }

 private:
  struct Opening;
  // Reads the request at the front of `bytes`; `size` is its length, 0 while it is incomplete.
  std::error_code parse(std::span<const std::uint8_t> bytes, std::size_t& size);
  std::error_code find_user(std::span<const std::uint8_t, kAuthIdSize> auth_id);
  std::error_code take_request(std::span<const std::uint8_t> bytes);

  std::shared_ptr<const Server> server_;
  Surroundings surroundings_;
  std::unique_ptr<Opening> opening_;  // until the handshake is done
  ProxyRequest request_;
  Uuid id_;
  BodyKeys answer_keys_;
  std::uint8_t answer_ = 0;
  bool answer_due_ = true;
  std::optional<ChunkSealer> sealer_;
  std::optional<ChunkOpener> opener_;
  std::string detail_;
};

}  // namespace winze::vmess
