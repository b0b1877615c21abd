#include "winze/crypto/hkdf.h"

#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

#include "winze/base/bytes.h"
#include "winze/base/secret.h"

namespace winze {
namespace {

constexpr std::size_t kBlock = 64;
constexpr std::size_t kHash = 20;

// HMAC-SHA1 on the stack: a Mac lives on the heap, which is too slow for a key of one packet.
class Hmac {
 public:
  explicit Hmac(std::span<const std::uint8_t> key) {
    std::uint8_t block[kBlock]{};
    if (key.size() > kBlock) {
      SHA1(key.data(), key.size(), block);
    } else if (!key.empty()) {
      std::memcpy(block, key.data(), key.size());
    }
    for (std::uint8_t& b : block) b ^= 0x36;
    SHA1_Init(&inner_);
    SHA1_Update(&inner_, block, kBlock);
    for (std::uint8_t& b : block) b ^= 0x36 ^ 0x5c;
    SHA1_Init(&outer_);
    SHA1_Update(&outer_, block, kBlock);
    secure_wipe(block);
  }
  ~Hmac() {
    secure_wipe({reinterpret_cast<std::uint8_t*>(&inner_), sizeof inner_});
    secure_wipe({reinterpret_cast<std::uint8_t*>(&outer_), sizeof outer_});
  }

  template <typename... Parts>
  void sum(std::uint8_t* out, const Parts&... parts) const {
    SHA_CTX context = inner_;
    (SHA1_Update(&context, parts.data(), parts.size()), ...);
    SHA1_Final(out, &context);
    context = outer_;
    SHA1_Update(&context, out, kHash);
    SHA1_Final(out, &context);
  }

 private:
  SHA_CTX inner_, outer_;
};

}  // namespace

void hkdf_sha1(std::span<const std::uint8_t> key, std::span<const std::uint8_t> salt, std::string_view info,
               std::span<std::uint8_t> out) {
  std::uint8_t block[kHash];
  Hmac(salt).sum(block, key);
  const Hmac expand(block);
  std::span<const std::uint8_t> previous;
  for (std::uint8_t count = 1; !out.empty(); ++count) {
    expand.sum(block, previous, info, std::span<const std::uint8_t>(&count, 1));
    previous = block;
    const std::size_t n = std::min(out.size(), kHash);
    std::memcpy(out.data(), block, n);
    out = out.subspan(n);
  }
  secure_wipe(block);
}

}  // namespace winze
