// The client's side of SOCKS5 (RFC 1928, RFC 1929) and SOCKS4a. The wire is drawn in winze/proto/socks/server.h.
//
// The opening takes two round trips (three with a password) with SOCKS5, one with SOCKS4a; it ends when the server has
// granted the request. Then the codec is the identity.
#pragma once

#include <memory>
#include <string>

#include "winze/base/address.h"
#include "winze/base/secret.h"
#include "winze/base/stream_codec.h"
#include "winze/proto/socks/error.h"

namespace winze::socks {

struct ClientOptions {
  enum class Version : std::uint8_t { k5, k4a };
  Version version = Version::k5;
  // Empty: SOCKS5 without authentication. With SOCKS4a the user alone is sent. At most 255 bytes each.
  std::string user;
  Secret password;
};

class ClientCodec final : public StreamCodec {
 public:
  // A destination over UDP asks for UDP ASSOCIATE (SOCKS5 alone): bound() is then the relay's address.
  ClientCodec(std::shared_ptr<const ClientOptions> options, Destination destination)
      : options_(std::move(options)), destination_(std::move(destination)) {}

  Overhead overhead() const override { return {}; }
  // Errors: Errc::kNotEncodable before anything is sent; 2xx as the server's answer.
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  bool seals_verbatim() const override { return true; }
  bool opens_verbatim() const override { return true; }

  // The address the server reported.
  const Destination& bound() const { return bound_; }

 private:
  enum class Stage : std::uint8_t { kStart, kMethod, kPassword, kReply, kReply4, kDone };

  // False when more bytes are needed, or on error.
  bool step(Buffer& in, Buffer& out, std::error_code& error);
  bool start(Buffer& out, std::error_code& error);
  bool read_method(Buffer& in, Buffer& out, std::error_code& error);
  bool read_password_status(Buffer& in, Buffer& out, std::error_code& error);
  bool read_reply(Buffer& in, std::error_code& error);
  bool read_reply4(Buffer& in, std::error_code& error);
  void append_request(Buffer& out);
  void append_request4(Buffer& out);
  bool is_expressible() const;

  std::shared_ptr<const ClientOptions> options_;
  Destination destination_;
  Stage stage_ = Stage::kStart;
  Buffer held_;  // the message under way
  Destination bound_;
};

}  // namespace winze::socks
