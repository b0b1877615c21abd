#include "winze/proto/shadowsocks/method.h"

#include <doctest/doctest.h>

#include "support/shadowsocks.h"
#include "winze/base/status.h"

namespace winze::shadowsocks {
namespace {

TEST_CASE("shadowsocks methods: names and aliases") {
  for (const Method method : test::kMethods) CHECK(parse_method(name_of(method)) == method);
  CHECK(parse_method("AEAD_AES_256_GCM") == Method::kAes256Gcm);
  CHECK(parse_method("chacha20-poly1305") == Method::kChaCha20Poly1305);
  for (const std::string_view other : {"", "none", "plain", "rc4-md5", "aes-256-cfb", "2022-blake3-chacha8-poly1305"}) {
    CHECK_FALSE(parse_method(other));
  }
}

TEST_CASE("shadowsocks keys: what is wrong with a password, without showing it") {
  struct Row {
    Method method;
    std::string_view password, message;
  };
  for (const Row& row :
       {Row{Method::kAes128Gcm, "", "missing: the password"}, Row{Method::k2022Aes128Gcm, "", "these are 0 bytes"},
        Row{Method::k2022Aes128Gcm, "secret!", "this is no Base64"},
        Row{Method::k2022Aes128Gcm, "AAECAwQFBgcICQoLDA0O", "these are 15 bytes"},
        Row{Method::k2022Aes256Gcm, "AAECAwQFBgcICQoLDA0ODw==", "takes Base64 of 32 random bytes"},
        Row{Method::k2022Aes128Gcm, "AAECAwQFBgcICQoLDA0ODw==:", "these are 0 bytes"},
        Row{Method::k2022ChaCha20Poly1305,
            "AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8=:AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8=",
            "takes one key"}}) {
    CAPTURE(row.password);
    const auto keys = parse_keys(row.method, row.password);
    REQUIRE_FALSE(keys.ok());
    const std::string message(message_of(keys.status()));
    CHECK(message.find(row.message) != message.npos);
    CHECK((row.password.empty() || message.find(row.password) == message.npos));
  }
  const auto chain =
      parse_keys(Method::k2022Aes128Gcm, "AAECAwQFBgcICQoLDA0ODw==:EBESExQVFhcYGRobHB0eHw==:QEFCQ0RFRkdISUpLTE1OTw==");
  REQUIRE(chain.ok());
  CHECK(chain->identity.size() == 2);
  CHECK(chain->user.span()[0] == 0x40);
}

}  // namespace
}  // namespace winze::shadowsocks
