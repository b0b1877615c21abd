// One port for SOCKS and HTTP: the first byte decides. 4 and 5 begin SOCKS (winze/proto/socks/server.h); everything
// else goes to HTTP (winze/proto/http/server.h), which answers 400 to what it does not understand.
#pragma once

#include <variant>

#include "winze/proto/http/server.h"
#include "winze/proto/proxy_codec.h"
#include "winze/proto/socks/server.h"

namespace winze {

class MixedServerCodec final : public ProxyServerCodec {
 public:
  MixedServerCodec(socks::ServerOptions socks_options, http::ServerOptions http_options)
      : socks_options_(std::move(socks_options)), http_options_(std::move(http_options)) {}
  MixedServerCodec(const MixedServerCodec&) = delete;
  MixedServerCodec& operator=(const MixedServerCodec&) = delete;

  Overhead overhead() const override { return chosen_ ? chosen_->overhead() : Overhead{}; }
  Handshake handshake(Buffer& in, Buffer& out, std::error_code& error) override;
  std::error_code seal(Buffer& data) override { return chosen_->seal(data); }
  std::error_code open(Buffer& data, Buffer& reply) override { return chosen_->open(data, reply); }
  bool seals_verbatim() const override { return chosen_ && chosen_->seals_verbatim(); }
  bool opens_verbatim() const override { return chosen_ && chosen_->opens_verbatim(); }
  bool holds_opening() const override { return chosen_ && chosen_->holds_opening(); }

  const ProxyRequest& request() const override { return chosen_ ? chosen_->request() : none_; }
  void grant(const Endpoint& bound) override { chosen_->grant(bound); }
  void refuse(Refusal reason) override { chosen_->refuse(reason); }
  bool answers_at_once() const override { return true; }

  // The codec that the first byte chose; null: the other one, or no byte has come.
  const socks::ServerCodec* as_socks() const { return std::get_if<socks::ServerCodec>(&codec_); }
  const http::ServerCodec* as_http() const { return std::get_if<http::ServerCodec>(&codec_); }
  bool is_forward() const override { return as_http() != nullptr && as_http()->is_forward(); }
  bool is_associate() const { return as_socks() != nullptr && as_socks()->is_associate(); }

 private:
  void choose(std::uint8_t first);

  socks::ServerOptions socks_options_;
  http::ServerOptions http_options_;
  std::variant<std::monostate, socks::ServerCodec, http::ServerCodec> codec_;
  ProxyServerCodec* chosen_ = nullptr;  // into codec_
  ProxyRequest none_;
};

}  // namespace winze
