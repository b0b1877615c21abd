#include "winze/proto/mixed_server.h"

namespace winze {

StreamCodec::Handshake MixedServerCodec::handshake(Buffer& in, Buffer& out, std::error_code& error) {
  if (chosen_ == nullptr) {
    if (in.empty()) return Handshake::kMore;
    choose(in.data()[0]);
  }
  return chosen_->handshake(in, out, error);
}

void MixedServerCodec::choose(std::uint8_t first) {
  if (first == 4 || first == 5) {
    chosen_ = &codec_.emplace<socks::ServerCodec>(std::move(socks_options_));
  } else {
    chosen_ = &codec_.emplace<http::ServerCodec>(std::move(http_options_));
  }
}

}  // namespace winze
