// WebSocket (RFC 6455) as a layer: an HTTP/1.1 upgrade, then frames both ways. No extensions.
//
//   GET /path HTTP/1.1, Host, Connection: Upgrade, Upgrade: websocket, Sec-WebSocket-Version: 13, Sec-WebSocket-Key
//   HTTP/1.1 101 Switching Protocols, Connection: Upgrade, Upgrade: websocket, Sec-WebSocket-Accept
//
// Early data (no standard; v2fly v5, Xray and sing-box have it): the first bytes travel in the request as base64url
// without padding, in a header field or at the end of the path. The client then sends no frame before it has the
// response, because V2Ray's servers take that for an error.
#pragma once

#include <absl/status/status.h>

#include <memory>
#include <string>
#include <vector>

#include "winze/base/random.h"
#include "winze/base/stream_codec.h"
#include "winze/proto/http/head.h"
#include "winze/proto/ws/frame.h"

namespace winze::ws {

// The field that carries early data where nothing else is configured. A server must echo it.
inline constexpr std::string_view kProtocolField = "Sec-WebSocket-Protocol";

struct EarlyData {
  std::size_t max = 0;  // bytes; 0: none. Proxies limit heads to 8 KiB and less, so more than 2048 is a risk
  std::string field{kProtocolField};  // empty: at the end of the path
  // When the first write is longer than `max`: send none of it early (Xray), or its beginning (v2fly, sing-box).
  bool all_or_nothing = false;
};

struct ClientOptions {
  std::string host;        // Host, with the port where it is not the scheme's own
  std::string path = "/";  // with its query; a missing '/' is put in front
  // Further fields. Without a User-Agent the one of V2Ray's client is sent.
  std::vector<http::Field> fields;
  EarlyData early_data;
  Ending ending = Ending::kBoth;
};
// Whether the options can be sent. Messages begin with the member's name: "fields[1].name: ...".
absl::Status validate(const ClientOptions& options);

// Xray's way to configure early data: takes the parameter `ed` out of the query of `path`, and returns its number, 0
// when there is none.
std::size_t take_early_data_limit(std::string& path);

class ClientCodec final : public StreamCodec {
 public:
  // `options` must be valid; `random` must outlive the codec.
  ClientCodec(std::shared_ptr<const ClientOptions> options, Random& random);
  ~ClientCodec() override;

  // With early data, done at once: the request waits for the first seal(), and open() takes the response.
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  Overhead overhead() const override { return {.front = framing_.header_room(), .back = 0}; }
  std::error_code seal(Buffer& data) override;
  std::error_code open(Buffer& data, Buffer& reply) override;
  std::error_code open_end() override;
  End seal_end(Buffer& out) override;
  bool holds_opening() const override { return phase_ == Phase::kRequestHeld; }
  bool seal_waits() const override { return phase_ == Phase::kResponseDue; }

 private:
  enum class Phase : std::uint8_t { kStart, kRequestHeld, kResponseDue, kOpen };
  struct Opening;

  void append_request(std::span<const std::uint8_t> early, Buffer& out);
  // Eats from `in`; true when the response is complete and good.
  bool take_response(Buffer& in, std::error_code& error);
  bool is_early() const;

  std::shared_ptr<const ClientOptions> options_;
  Random& random_;
  Framing framing_;
  Phase phase_ = Phase::kStart;
  std::unique_ptr<Opening> opening_;  // until the response is there
};

struct ServerOptions {
  std::string path = "/";  // must equal the request's, decoded and without its query; without a query itself
  std::string host;        // must equal the request's, case and port aside; empty: any will do
  // Where early data are looked for. A value that is not base64 is no early data, but in the path no match.
  std::string early_data_field{kProtocolField};  // empty: at the end of the path
  Ending ending = Ending::kBoth;
};

// Answers strangers: 404 to another path or host, 400 to what is no upgrade, 426 to another version of it.
class ServerCodec final : public StreamCodec {
 public:
  explicit ServerCodec(std::shared_ptr<const ServerOptions> options);
  ~ServerCodec() override;

  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  Overhead overhead() const override { return {.front = framing_.header_room(), .back = 0}; }
  std::error_code seal(Buffer& data) override { return framing_.seal(data); }
  std::error_code open(Buffer& data, Buffer& reply) override;
  std::error_code open_end() override { return framing_.open_end(); }
  End seal_end(Buffer& out) override { return framing_.seal_end(out); }

 private:
  std::error_code accept(const http::RequestHead& request, Buffer& out);

  std::shared_ptr<const ServerOptions> options_;
  Framing framing_;
  std::unique_ptr<http::HeadCollector> collector_;  // until the request is there
  std::vector<std::uint8_t> early_;                 // until the first open()
};

}  // namespace winze::ws
