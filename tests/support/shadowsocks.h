// What tests of Shadowsocks need around its codecs.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "support/hex.h"
#include "winze/base/base64.h"
#include "winze/base/bytes.h"
#include "winze/proto/shadowsocks/codec.h"

namespace winze::shadowsocks::test {

inline constexpr Method kMethods[] = {Method::kAes128Gcm,           Method::kAes256Gcm,     Method::kChaCha20Poly1305,
                                      Method::kXChaCha20Poly1305,   Method::k2022Aes128Gcm, Method::k2022Aes256Gcm,
                                      Method::k2022ChaCha20Poly1305};

// A password of the method's; `fill` makes several.
inline std::string password_for(Method method, std::uint8_t fill = 1) {
  if (!is_2022(method)) return "password " + std::to_string(fill);
  return base64_encode(std::vector<std::uint8_t>(key_size(method), fill));
}

struct StillClock final : WallClock {
  UnixTime unix_now() const override { return now; }
  UnixTime now = 1'700'000'000;
};

// Given bytes first, then others.
class ScriptedRandom final : public Random {
 public:
  explicit ScriptedRandom(winze::test::Bytes first) : first_(std::move(first)) {}
  void fill(std::span<std::uint8_t> out) override {
    const std::size_t n = std::min(out.size(), first_.size());
    std::copy_n(first_.begin(), n, out.begin());
    first_.erase(first_.begin(), first_.begin() + static_cast<std::ptrdiff_t>(n));
    rest_.fill(out.subspan(n));
  }

 private:
  winze::test::Bytes first_;
  SeededRandom rest_{1};
};

struct World {
  explicit World(winze::test::Bytes random_bytes = {}) : random(std::move(random_bytes)) {}
  Surroundings around() { return {random, clock, pool}; }
  ScriptedRandom random;
  StillClock clock;
  BufferPool pool;
};

inline std::shared_ptr<const Keys> keys_of(Method method, std::string_view password) {
  auto keys = parse_keys(method, password);
  REQUIRE(keys.ok());
  return std::make_shared<const Keys>(std::move(*keys));
}

inline std::shared_ptr<ServerOptions> server_of(Method method, std::string_view password) {
  auto options = std::make_shared<ServerOptions>();
  options->method = method;
  options->key = keys_of(method, password)->user;
  options->account = {.name = "everybody", .level = 2};
  options->salts = std::make_shared<SaltPool>(is_2022(method) ? kTimedSalts : SaltLimits{});
  options->datagram_salts = std::make_shared<SaltWindow>(64);
  return options;
}

}  // namespace winze::shadowsocks::test
