#include "winze/layer/tls.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "support/tls_session.h"
#include "support/vectors.h"
#include "winze/base/error.h"

namespace winze {
namespace {

using test::carry;
using test::client_context;
using test::identity;
using test::LibraryClient;
using test::read_file;
using test::server_context;
using test::Session;

std::string long_text(std::size_t size) {
  std::string text(size, 0);
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 2654435761u >> 23);
  return text;
}

TEST_CASE("tls: both versions carry data both ways at every segment size") {
  for (tls::Version version : {tls::Version::kTls12, tls::Version::kTls13}) {
    for (std::size_t segment : {1, 2, 3, 7, 1400, 65536}) {
      CAPTURE(static_cast<int>(version));
      CAPTURE(segment);
      Session s(client_context({.alpn = {"h2", "http/1.1"}, .max_version = version}),
                server_context({.alpn = {"http/1.1"}}));
      s.shake(segment);
      REQUIRE_FALSE(s.client.error);
      REQUIRE_FALSE(s.server.error);
      REQUIRE(s.client.done);
      REQUIRE(s.server.done);
      CHECK(s.client.codec->info().version == version);
      CHECK(s.client.codec->info().alpn == "http/1.1");
      CHECK(s.server.codec->info().server_name == "a.test");
      CHECK(s.client.codec->info().cipher == s.server.codec->info().cipher);
      for (std::size_t size :
           {std::size_t{1}, std::size_t{1000}, std::size_t{16384}, std::size_t{16385}, std::size_t{100000}}) {
        std::error_code error;
        const std::string text = long_text(size);
        CHECK(carry(s.client, s.server, text, segment, error) == text);
        CHECK_FALSE(error);
        CHECK(carry(s.server, s.client, text, segment, error) == text);
        CHECK_FALSE(error);
      }
      Buffer end, reply;
      CHECK(s.server.codec->seal_end(end) == StreamCodec::End::kShutdownBelow);
      CHECK(s.client.codec->open(end, reply) == Errc::kEof);
      CHECK(s.server.codec->open_end() == Errc::kTruncated);
    }
  }
}

TEST_CASE("tls: what is wrong with a certificate is what the error says") {
  struct Row {
    const char* certificate;
    const char* name;
    tls::Errc error;
  };
  for (const Row& row :
       {Row{"a", "c.test", tls::Errc::kWrongHost}, Row{"a", "127.0.0.2", tls::Errc::kWrongHost},
        Row{"a", "x.y.wild.test", tls::Errc::kWrongHost}, Row{"expired", "a.test", tls::Errc::kCertificateExpired},
        Row{"later", "a.test", tls::Errc::kCertificateNotYetValid}, Row{"unknown", "a.test", tls::Errc::kUnknownCa},
        Row{"client", "client.test", tls::Errc::kBadCertificate}}) {
    CAPTURE(row.certificate);
    CAPTURE(row.name);
    Session s(client_context(), server_context({.identities = {identity(row.certificate)}}), row.name);
    s.shake();
    CHECK(s.client.error == row.error);
    CHECK_FALSE(s.client.done);
    CHECK(s.server.error);
    CHECK(blame_of(s.server.error) == Blame::kPeerRefused);
  }
  for (const char* name : {"a.test", "A.TEST", "x.wild.test", "127.0.0.1", "::1"}) {
    CAPTURE(name);
    Session s(client_context(), server_context(), name);
    s.shake();
    CHECK(s.client.done);
  }
}

tls::Sha256 pin(std::string_view id, const std::string& kind) {
  for (const test::Vector& v : test::load_vectors("tls/pins.txt")) {
    if (v.text("id") != id) continue;
    tls::Sha256 out;
    std::ranges::copy(v.bytes(kind), out.begin());
    return out;
  }
  FAIL("no such pin");
  return {};
}

TEST_CASE("tls: pins") {
  tls::Sha256 wrong{};
  for (const char* pinned : {"a", "root"}) {
    CAPTURE(pinned);
    Session s(client_context({.spki_sha256 = {wrong, pin(pinned, "spki")}}), server_context());
    s.shake();
    CHECK(s.client.done);
    // A pinned key does not stand for the name.
    Session other(client_context({.spki_sha256 = {pin(pinned, "spki")}}), server_context(), "c.test");
    other.shake();
    CHECK(other.client.error == tls::Errc::kWrongHost);
  }
  for (const char* name : {"a", "unknown"}) {
    CAPTURE(name);
    Session s(client_context({.certificate_sha256 = {wrong, pin(name, "certificate")}}),
              server_context({.identities = {identity(name)}}), "any.test");
    s.shake();
    CHECK(s.client.done);
  }
  {
    Session s(client_context({.spki_sha256 = {wrong}}), server_context());
    s.shake();
    CHECK(s.client.error == tls::Errc::kPinMismatch);
  }
  {
    Session s(client_context({.certificate_sha256 = {wrong}}), server_context());
    s.shake();
    CHECK(s.client.error == tls::Errc::kPinMismatch);
  }
}

TEST_CASE("tls: certificates by name, replaced while running") {
  auto server = server_context({.identities = {identity("a"), identity("b")}});
  for (const char* name : {"a.test", "b.test"}) {
    CAPTURE(name);
    Session s(client_context(), server, name);
    s.shake();
    CHECK(s.client.done);
  }
  Session before(client_context(), server);
  before.shake();
  REQUIRE(before.client.done);
  REQUIRE(server->replace({identity("b")}).ok());
  CHECK_FALSE(server->replace({{"", Secret()}}).ok());
  Session after(client_context(), server);
  after.shake();
  CHECK(after.client.error == tls::Errc::kWrongHost);
  std::error_code error;
  CHECK(carry(before.client, before.server, "still here", 65536, error) == "still here");

  Session stranger(client_context(), server_context({.reject_unknown_names = true}), "b.test");
  stranger.shake();
  CHECK(stranger.server.error == tls::Errc::kUnknownName);
}

TEST_CASE("tls: client certificates, ALPN and versions that do not meet") {
  {
    Session s(client_context({.identity = identity("client")}),
              server_context({.client_roots_pem = {read_file("root.pem")}}));
    s.shake();
    CHECK(s.server.done);
  }
  {
    Session s(client_context(), server_context({.client_roots_pem = {read_file("root.pem")}}));
    s.shake();
    CHECK(s.server.error == tls::Errc::kNoCertificate);
  }
  {
    Session s(client_context({.alpn = {"h2"}}), server_context({.alpn = {"http/1.1"}}));
    s.shake();
    CHECK(s.server.error == tls::Errc::kNoCommonAlpn);
    CHECK(s.client.error == tls::Errc::kAlertNoCommonAlpn);
  }
  {
    Session s(client_context({.max_version = tls::Version::kTls12}),
              server_context({.min_version = tls::Version::kTls13}));
    s.shake();
    CHECK(s.server.error == tls::Errc::kNoCommonVersion);
    CHECK(s.client.error == tls::Errc::kAlertProtocolVersion);
  }
}

TEST_CASE("tls: a client certificate of another CA is refused, and both sides say why") {
  for (tls::Version version : {tls::Version::kTls12, tls::Version::kTls13}) {
    CAPTURE(static_cast<int>(version));
    Session s(client_context({.identity = identity("unknown_client"), .max_version = version}),
              server_context({.client_roots_pem = {read_file("root.pem")}}));
    s.shake();
    CHECK(s.server.error == tls::Errc::kUnknownCa);
    // Under TLS 1.3 the client is done before the server has looked.
    if (version == tls::Version::kTls13) {
      CHECK(s.client.done);
      Buffer reply;
      CHECK(s.client.codec->open(s.client.unread, reply) == tls::Errc::kAlertUnknownCa);
    } else {
      CHECK(s.client.error == tls::Errc::kAlertUnknownCa);
    }
  }
}

TEST_CASE("tls: clients with no cipher suite or version that we take") {
  struct Row {
    std::uint16_t version;
    const char* ciphers;
    tls::Errc error;
  };
  for (const Row& row : {Row{TLS1_2_VERSION, "AES128-SHA", tls::Errc::kNoCommonCipher},
                         Row{TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", tls::Errc::kNoCommonCipher},
                         Row{TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", tls::Errc::kNoCommonCipher},
                         Row{TLS1_1_VERSION, "ALL", tls::Errc::kNoCommonVersion}}) {
    CAPTURE(row.ciphers);
    BufferPool pool;
    LibraryClient client(row.version, row.ciphers);
    const auto server = tls::server_codec(server_context(), pool);
    CHECK(client.shake(*server) == row.error);
  }
}

TEST_CASE("tls: bytes that are not TLS, damaged and truncated records") {
  BufferPool pool;
  for (std::string_view bad : {"GET / HTTP/1.1\r\n\r\n", "\x16\x02\x01", "\x17\x03\x03\xff\xff"}) {
    auto codec = tls::server_codec(server_context(), pool);
    Buffer in = Buffer::copy_of(bad), out;
    std::error_code error;
    codec->handshake(in, out, error);
    CHECK(error);
    CHECK(blame_of(error) == Blame::kPeerMisbehaved);
  }
  Session s(client_context(), server_context());
  s.shake();
  Buffer wire = Buffer::copy_of("attack at dawn");
  CHECK_FALSE(s.client.codec->seal(wire));
  wire.data()[8] ^= 1;
  Buffer reply;
  CHECK(s.server.codec->open(wire, reply) == tls::Errc::kBadRecord);
  CHECK(wire.empty());
}

TEST_CASE("tls: set-up errors say what is wrong") {
  CHECK_FALSE(tls::ServerContext::create({}).ok());
  auto mixed =
      tls::ServerContext::create({.identities = {{read_file("a.pem"), Secret(std::string_view(read_file("b.key")))}}});
  CHECK(mixed.status().message() == "certificates[0]: the private key does not belong to the certificate");
  CHECK_FALSE(tls::ClientContext::create({.roots_pem = {"nonsense"}}).ok());
  CHECK_FALSE(tls::ClientContext::create({.alpn = {""}}).ok());
}

}  // namespace
}  // namespace winze
