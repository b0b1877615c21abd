#include "cookies.h"

#include <algorithm>

#include "winze/base/bytes.h"
#include "winze/crypto/mac.h"

namespace winze::ike {

Cookie Cookies::of(std::uint8_t version, std::uint64_t spi_i, const Endpoint& remote,
                   std::span<const std::uint8_t> nonce) const {
  std::uint8_t fixed[10];
  store_u64(fixed, spi_i);
  store_u16(fixed + 8, remote.port);
  Cookie cookie;
  cookie[0] = version;
  const auto mac = Mac::create(MacAlgorithm::kHmacSha256, versions_[version % 2].secret.span());
  mac->sum({fixed, remote.address.bytes(), nonce}, std::span(cookie).subspan(1));
  return cookie;
}

Cookie Cookies::make(TimePoint now, Random& random, std::uint64_t spi_i, const Endpoint& remote,
                     std::span<const std::uint8_t> nonce) {
  Version* version = &versions_[current_ % 2];
  if (version->secret.empty() || now - version->since >= kLifetime) {
    ++current_;
    version = &versions_[current_ % 2];
    version->secret = Secret(32);
    random.fill(version->secret.span());
    version->since = now;
  }
  return of(current_, spi_i, remote, nonce);
}

bool Cookies::valid(TimePoint now, std::uint64_t spi_i, const Endpoint& remote, std::span<const std::uint8_t> nonce,
                    std::span<const std::uint8_t> cookie) const {
  if (cookie.size() != Cookie().size()) return false;
  const std::uint8_t version = cookie[0];
  if (version != current_ && version != static_cast<std::uint8_t>(current_ - 1)) return false;
  const Version& known = versions_[version % 2];
  if (known.secret.empty() || now - known.since >= 2 * kLifetime) return false;
  return constant_time_equal(of(version, spi_i, remote, nonce), cookie);
}

}  // namespace winze::ike
