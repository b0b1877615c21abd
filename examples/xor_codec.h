// A layer of one's own: what it takes to put a codec anywhere into a chain. It hides bytes from nobody.
#pragma once

#include <winze/base/stream_codec.h>

#include <string>
#include <utility>

// XORs both directions with a repeating key. There is no opening and no framing, so client and server are alike.
class XorCodec final : public winze::StreamCodec {
 public:
  explicit XorCodec(std::string key) : key_(std::move(key)) {}

  winze::Overhead overhead() const override { return {}; }

  std::error_code seal(winze::Buffer& data) override {
    apply(data, sealed_);
    return {};
  }
  std::error_code open(winze::Buffer& data, winze::Buffer&) override {
    apply(data, opened_);
    return {};
  }

 private:
  // `at`: how far this direction has come in the key.
  void apply(winze::Buffer& data, std::size_t& at) const {
    for (std::uint8_t& byte : data.span()) {
      byte ^= static_cast<std::uint8_t>(key_[at]);
      at = (at + 1) % key_.size();
    }
  }

  std::string key_;
  std::size_t sealed_ = 0;
  std::size_t opened_ = 0;
};
