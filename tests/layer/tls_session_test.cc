// What lasts longer than a connection: sessions, their keys, and the key log; and what the first message shows.
#include "support/tls_session.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "layer/tls_context.h"
#include "layer/tls_record.h"
#include "support/hex.h"
#include "winze/base/bytes.h"

namespace winze {
namespace {

using test::carry;
using test::client_context;
using test::identity;
using test::server_context;
using test::Session;

TEST_CASE("tls: the second handshake resumes, in both versions") {
  for (tls::Version version : {tls::Version::kTls12, tls::Version::kTls13}) {
    CAPTURE(static_cast<int>(version));
    auto client = client_context({.max_version = version});
    auto server = server_context();
    for (int i = 0; i < 3; ++i) {
      Session s(client, server);
      s.shake();
      REQUIRE(s.client.done);
      CHECK(s.client.codec->info().resumed == (i > 0));
      std::error_code error;
      CHECK(carry(s.server, s.client, "ticket before this", 65536, error) == "ticket before this");
    }
    CHECK(client->handshakes() == 3);
    CHECK(client->resumed_handshakes() == 2);
  }
}

// A handshake that worked, with the tickets taken in; whether it resumed.
bool resumes(const std::shared_ptr<tls::ClientContext>& client, const std::shared_ptr<tls::ServerContext>& server) {
  Session s(client, server);
  s.shake();
  REQUIRE(s.client.done);
  REQUIRE(s.server.done);
  std::error_code error;
  CHECK(carry(s.server, s.client, "ticket before this", 65536, error) == "ticket before this");
  CHECK(s.client.codec->info().resumed == s.server.codec->info().resumed);
  return s.client.codec->info().resumed;
}

TEST_CASE("tls: sessions outlive a change of certificates, but are of one context") {
  for (tls::Version version : {tls::Version::kTls12, tls::Version::kTls13}) {
    CAPTURE(static_cast<int>(version));
    auto client = client_context({.max_version = version});
    auto server = server_context();
    CHECK_FALSE(resumes(client, server));
    REQUIRE(server->replace({identity("b"), identity("a")}).ok());
    CHECK(resumes(client, server));
    CHECK_FALSE(resumes(client, server_context()));
    CHECK(client->resumed_handshakes() == 1);
    CHECK_FALSE(resumes(client_context({.max_version = version, .resume = false}), server));
    auto without = server_context({.resume = false});
    CHECK_FALSE(resumes(client, without));
    CHECK_FALSE(resumes(client, without));
  }
}

// Seconds of a clock for BoringSSL, which takes it by a function.
std::uint64_t now_seconds = 0;
void tell_time(const SSL*, timeval* out) { *out = {.tv_sec = static_cast<time_t>(now_seconds), .tv_usec = 0}; }

std::array<std::uint8_t, 48> ticket_keys(tls::ServerContext& server) {
  std::array<std::uint8_t, 48> out;
  REQUIRE(SSL_CTX_get_tlsext_ticket_keys(server.parts().ssl.get(), out.data(), out.size()) == 1);
  return out;
}

TEST_CASE("tls: the keys of tickets change every two days, and the last ones still open theirs") {
  constexpr std::uint64_t kDay = 24 * 60 * 60;
  now_seconds = 4'000'000'000 / kDay * kDay;
  auto client = client_context();
  auto server = server_context();
  SSL_CTX_set_current_time_cb(client->parts().ssl.get(), tell_time);
  SSL_CTX_set_current_time_cb(server->parts().ssl.get(), tell_time);
  const auto first = ticket_keys(*server);
  now_seconds += kDay + kDay / 2;
  CHECK(ticket_keys(*server) == first);
  CHECK_FALSE(resumes(client, server));
  now_seconds += kDay;
  CHECK(ticket_keys(*server) != first);
  CHECK(resumes(client, server));
  // Two rotations later nobody has the keys.
  now_seconds += 4 * kDay + 2;
  CHECK_FALSE(resumes(client, server));
}

// --- the first message ---

struct Hello {
  std::string random;
  std::vector<std::uint16_t> ciphers;
  std::vector<std::uint16_t> extensions;
};

// RFC 8446 section 4.1.2, in one record.
Hello parse_hello(std::span<const std::uint8_t> bytes) {
  Hello hello;
  Reader reader(bytes);
  reader.skip(5 + 4 + 2);
  hello.random = test::hex(reader.bytes(32));
  reader.skip(reader.u8());
  Reader ciphers(reader.bytes(reader.u16()));
  while (ciphers.remaining() > 0) hello.ciphers.push_back(ciphers.u16());
  reader.skip(reader.u8());
  Reader extensions(reader.bytes(reader.u16()));
  while (extensions.remaining() > 0) {
    hello.extensions.push_back(extensions.u16());
    extensions.skip(extensions.u16());
  }
  REQUIRE(reader.ok());
  REQUIRE(reader.remaining() == 0);
  REQUIRE(extensions.ok());
  return hello;
}

Hello hello_of(const std::shared_ptr<tls::ClientContext>& context) {
  BufferPool pool;
  const auto codec = tls::client_codec(context, "a.test", pool);
  Buffer in, out;
  std::error_code error;
  REQUIRE(codec->handshake(in, out, error) == StreamCodec::Handshake::kMore);
  return parse_hello(std::as_const(out).span());
}

// RFC 8701 section 2.
bool is_grease(std::uint16_t value) { return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff); }

TEST_CASE("tls: a client greases, and sends its extensions in another order each time") {
  auto context = client_context({.alpn = {"h2"}});
  const Hello a = hello_of(context), b = hello_of(context);
  for (const Hello& hello : {a, b}) {
    CHECK(is_grease(hello.ciphers.front()));
    CHECK(std::ranges::count_if(hello.ciphers, is_grease) == 1);
    CHECK(std::ranges::count_if(hello.extensions, is_grease) == 2);
  }
  const auto genuine = [](std::vector<std::uint16_t> extensions) {
    std::erase_if(extensions, is_grease);
    return extensions;
  };
  const auto in_a = genuine(a.extensions), in_b = genuine(b.extensions);
  CHECK(in_a.size() > 8);
  CHECK(in_a != in_b);
  CHECK(std::multiset(in_a.begin(), in_a.end()) == std::multiset(in_b.begin(), in_b.end()));
}

// --- the key log ---

struct LogFile {
  explicit LogFile(const char* who)
      : path(std::filesystem::temp_directory_path() /
             ("winze-keys-" + std::string(who) + "-" + std::to_string(::getpid()))) {
    std::filesystem::remove(path);  // of a run that was killed
  }
  ~LogFile() { std::filesystem::remove(path); }

  // The secrets by label; each line is "LABEL client-random secret".
  std::map<std::string, std::string> secrets(const std::string& random) const {
    std::map<std::string, std::string> out;
    std::ifstream file(path);
    std::string label, line_random, secret;
    while (file >> label >> line_random >> secret) {
      CHECK(line_random == random);
      CHECK(secret.find_first_not_of("0123456789abcdef") == secret.npos);
      out[label] = secret;
    }
    return out;
  }
  std::filesystem::path path;
};

TEST_CASE("tls: the key log opens what was captured") {
  const LogFile client_log("client"), server_log("server");
  Session s(client_context({.key_log_file = client_log.path}), server_context({.key_log_file = server_log.path}));
  Buffer hello;
  Session::step(s.client, {}, hello);
  const std::string random = parse_hello(std::as_const(hello).span()).random;
  s.shake_from(std::move(hello));
  REQUIRE(s.client.done);
  REQUIRE(s.server.done);
  const auto secrets = client_log.secrets(random);
  for (const char* label : {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                            "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}) {
    CAPTURE(label);
    REQUIRE(secrets.contains(label));
    CHECK(server_log.secrets(random).at(label) == secrets.at(label));
  }
  Buffer record = Buffer::copy_of("a secret message");
  CHECK_FALSE(s.client.codec->seal(record));
  const std::map<std::string_view, std::uint16_t> suites{
      {"TLS_AES_128_GCM_SHA256", 0x1301}, {"TLS_AES_256_GCM_SHA384", 0x1302}, {"TLS_CHACHA20_POLY1305_SHA256", 0x1303}};
  tls::RecordKey key;
  REQUIRE(key.init(suites.at(s.client.codec->info().cipher), test::unhex(secrets.at("CLIENT_TRAFFIC_SECRET_0")), 0));
  std::vector<std::uint8_t> plain(record.size());
  tls::ContentType type;
  std::size_t length;
  REQUIRE_FALSE(key.open(record.span(), plain.data(), type, length));
  CHECK(as_text({plain.data(), length}) == "a secret message");
}

TEST_CASE("tls: the key log under TLS 1.2") {
  const LogFile log("tls12");
  Session s(client_context({.max_version = tls::Version::kTls12, .key_log_file = log.path}), server_context());
  Buffer hello;
  Session::step(s.client, {}, hello);
  const std::string random = parse_hello(std::as_const(hello).span()).random;
  s.shake_from(std::move(hello));
  REQUIRE(s.client.done);
  CHECK(log.secrets(random).at("CLIENT_RANDOM").size() == 96);
}

}  // namespace
}  // namespace winze
