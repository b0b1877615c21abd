// HTTPUpgrade as a layer: the opening of a WebSocket without its keys, and then bytes as they are, both ways.
//
//   GET /path HTTP/1.1, Host, Connection: Upgrade, Upgrade: websocket
//   HTTP/1.1 101 Switching Protocols, Connection: Upgrade, Upgrade: websocket
//
// No standard; Xray, v2fly v5 and sing-box have it. Their servers lose payload that arrives together with the request,
// so the client here waits for the response. Errors: ws::Errc and http::Errc.
#pragma once

#include <absl/status/status.h>

#include <memory>
#include <string>
#include <vector>

#include "winze/base/stream_codec.h"
#include "winze/proto/http/head.h"

namespace winze::httpupgrade {

struct ClientOptions {
  std::string host;
  std::string path = "/";           // with its query; a missing '/' is put in front
  std::vector<http::Field> fields;  // further ones. Without a User-Agent the one of V2Ray's client is sent
};
absl::Status validate(const ClientOptions& options);

class ClientCodec final : public StreamCodec {
 public:
  // `options` must be valid.
  explicit ClientCodec(std::shared_ptr<const ClientOptions> options);

  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  Overhead overhead() const override { return {}; }
  std::error_code seal(Buffer&) override { return {}; }
  std::error_code open(Buffer&, Buffer&) override { return {}; }
  bool seals_verbatim() const override { return true; }
  bool opens_verbatim() const override { return true; }

 private:
  std::shared_ptr<const ClientOptions> options_;
  http::HeadCollector collector_;
  bool asked_ = false;
};

struct ServerOptions {
  std::string path = "/";        // must equal the request's, decoded and without its query
  std::string host;              // must equal the request's, case and port aside; empty: any will do
  std::string early_data_field;  // where v2fly's clients put early data, if configured
};

// Answers strangers: 404 to another path or host and to a real WebSocket, 400 to what is no upgrade.
class ServerCodec final : public StreamCodec {
 public:
  explicit ServerCodec(std::shared_ptr<const ServerOptions> options);

  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  Overhead overhead() const override { return {}; }
  std::error_code seal(Buffer&) override { return {}; }
  std::error_code open(Buffer& data, Buffer& reply) override;
  bool seals_verbatim() const override { return true; }
  bool opens_verbatim() const override { return early_.empty(); }

 private:
  std::error_code accept(const http::RequestHead& request, Buffer& out);

  std::shared_ptr<const ServerOptions> options_;
  http::HeadCollector collector_;
  std::vector<std::uint8_t> early_;  // until the first open()
};

}  // namespace winze::httpupgrade
