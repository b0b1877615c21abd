// VLESS: a request in front of the client's bytes, an answer in front of the server's, and nothing else. No encryption
// and no round trip: it belongs inside TLS or another layer that hides and protects it.
//
//   request   u8 version = 0 | id (16) | u8 n | addons (n) | u8 command | u16 port | u8 type | address | payload ...
//   response  u8 version = 0 | u8 n | addons (n) | payload ...
//
// Commands: 1 TCP, 2 UDP (the payload is datagrams, see datagram.h), 3 MUX (no port and address follow; stands for the
// host of winze/proto/mux/cool.h, as TCP to that host does, at any port). Addons are a protobuf message
// {1: string flow, 2: bytes seed}.
// A user who has a flow may multiplex datagrams alone, with the flow or without: of streams together it would hide
// nothing. So Xray's clients send all their datagrams.
// The one flow, xtls-rprx-vision, is for TCP over TLS 1.3: it pads the beginning of an inner TLS connection and leaves
// the outer TLS when the inner one carries its data (StreamCodec::may_leave_below), so that nothing is sealed twice and
// the relay may join the sockets.
// The protocol has no standard; this follows what V2Ray 4.34, v2fly v5 and Xray send and accept.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "winze/base/bytes.h"
#include "winze/base/random.h"
#include "winze/base/uuid.h"
#include "winze/proto/proxy_codec.h"
#include "winze/proto/vless/error.h"

namespace winze::vless {

enum class Flow : std::uint8_t { kNone, kVision };
inline constexpr std::string_view kVisionName = "xtls-rprx-vision";

class Vision;

class ClientCodec final : public StreamCodec {
 public:
  // Asks for `destination`; its network says whether by TCP or UDP. handshake() fails with Errc::kBadName when the
  // destination cannot be sent.
  ClientCodec(const Uuid& id, const Destination& destination);
  // The same with the flow xtls-rprx-vision, whose padding has random lengths. The destination must be TCP.
  ClientCodec(const Uuid& id, const Destination& destination, Random& random);
  ~ClientCodec() override;

  Overhead overhead() const override { return {.front = request_.size(), .back = 0}; }
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  std::error_code open_end() override;
  End seal_end(Buffer& out) override;
  bool seals_verbatim() const override;
  bool opens_verbatim() const override;
  bool holds_opening() const override { return !request_.empty(); }
  bool may_leave_below() const override { return vision_ != nullptr; }
  bool sealing_left_below() const override;
  bool opening_left_below() const override;
  std::string_view detail() const override;

  // Whether the server has answered. One that ends the stream before it has either does not know the id or could not
  // reach the destination, or had no byte to send: VLESS servers do not tell.
  bool answered() const { return response_ == Response::kDone; }

 private:
  enum class Response : std::uint8_t { kVersion, kLength, kAddons, kDone };

  Buffer request_;  // until the first seal()
  bool encodable_ = true;
  Response response_ = Response::kVersion;
  std::uint8_t addons_left_ = 0;
  std::unique_ptr<Vision> vision_;
};

// What a server knows of a user.
struct Account {
  std::string name;         // for logs and rules; an e-mail address in most configurations
  std::uint32_t level = 0;  // of the policy that applies
  Flow flow = Flow::kNone;  // what the user has to ask for with TCP
};

class Users {
 public:
  virtual ~Users() = default;
  // The account of `id`, or null. Asked once per connection, so it must be fast; the answer is used at once.
  virtual const Account* find(const Uuid& id) const = 0;
};

class UserTable final : public Users {
 public:
  // False when there is one with this id already.
  bool add(const Uuid& id, Account account) { return accounts_.try_emplace(id, std::move(account)).second; }
  bool remove(const Uuid& id) { return accounts_.erase(id) != 0; }
  const Account* find(const Uuid& id) const override;

 private:
  std::unordered_map<Uuid, Account> accounts_;
};

struct ServerOptions {
  // Treat a client whose first bytes come in a piece smaller than any request as a stranger at once, instead of
  // waiting for more, as V2Ray does where fallbacks are configured: a web server would answer too.
  bool short_start_falls_back = false;
  // For the padding of users with a flow; null: no user has one.
  Random* random = nullptr;
};

class ServerCodec final : public ProxyServerCodec {
 public:
  explicit ServerCodec(std::shared_ptr<const Users> users, ServerOptions options = {});
  ~ServerCodec() override;

  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  Overhead overhead() const override { return {.front = answer_due_ ? std::size_t{2} : std::size_t{0}, .back = 0}; }
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  End seal_end(Buffer& out) override;
  std::error_code open_end() override;
  bool seals_verbatim() const override;
  bool opens_verbatim() const override;
  bool may_leave_below() const override { return vision_ != nullptr; }
  bool sealing_left_below() const override;
  bool opening_left_below() const override;
  std::string_view detail() const override;

  const ProxyRequest& request() const override { return request_; }
  // The answer goes out with the first sealed bytes, or at the end when there are none.
  void grant(const Endpoint& bound) override;
  // Nothing is sent: VLESS has no words for it.
  void refuse(Refusal reason) override;
  bool answers_at_once() const override { return false; }

  // Of the client, once the handshake is done.
  const Uuid& id() const { return id_; }

  bool is_stranger(const std::error_code& error) const override;
  std::optional<Buffer> take_received() override;

 private:
  // Reads the request at the front of `bytes`; `size` is its length, 0 while it is incomplete.
  std::error_code parse(std::span<const std::uint8_t> bytes, std::size_t& size);
  std::error_code parse_request(Reader& reader, Flow flow_of_user);
  void take_carrier(Flow flow_of_user);

  std::shared_ptr<const Users> users_;
  ServerOptions options_;
  Buffer received_;  // an incomplete request
  ProxyRequest request_;
  Uuid id_;
  bool answer_due_ = true;
  Flow flow_ = Flow::kNone;  // asked for
  std::unique_ptr<Vision> vision_;
};

}  // namespace winze::vless
