#include "winze/layer/tls.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "winze/base/error.h"

namespace winze {
namespace {

std::string read_file(const std::string& name) {
  std::ifstream file(std::string(WINZE_TEST_DATA) + "/vectors/tls/" + name);
  REQUIRE_MESSAGE(file, name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

tls::Identity identity(const std::string& name) {
  return {read_file(name + ".pem"), Secret(std::string_view(read_file(name + ".key")))};
}

std::shared_ptr<tls::ClientContext> client_context(tls::ClientOptions options = {}) {
  options.system_roots = false;
  if (options.roots_pem.empty()) options.roots_pem = {read_file("root.pem")};
  auto context = tls::ClientContext::create(options);
  REQUIRE_MESSAGE(context.ok(), context.status().ToString());
  return *context;
}

std::shared_ptr<tls::ServerContext> server_context(tls::ServerOptions options = {}) {
  if (options.identities.empty()) options.identities.push_back(identity("a"));
  auto context = tls::ServerContext::create(options);
  REQUIRE_MESSAGE(context.ok(), context.status().ToString());
  return *context;
}

struct Side {
  std::unique_ptr<tls::Codec> codec;
  bool done = false;
  std::error_code error;
  Buffer unread;
};

struct Session {
  BufferPool pool;
  Side client;
  Side server;

  Session(const std::shared_ptr<tls::ClientContext>& c, const std::shared_ptr<tls::ServerContext>& s,
          std::string_view name = "a.test") {
    client.codec = tls::client_codec(c, name, pool);
    server.codec = tls::server_codec(s, pool);
  }

  // Passes handshake bytes in pieces of `segment` until both sides are done or one has failed.
  void shake(std::size_t segment = 65536) {
    Buffer to_server, to_client;
    step(client, {}, to_server);
    while (!(client.done && server.done) && !(to_server.empty() && to_client.empty())) {
      Buffer sent = std::exchange(to_server, {});
      pass(server, sent, to_client, segment);
      sent = std::exchange(to_client, {});
      pass(client, sent, to_server, segment);
    }
  }

  static void step(Side& side, Buffer in, Buffer& out) {
    if (side.error) return;
    if (side.done) return side.unread.append(std::as_const(in).span());
    side.done = side.codec->handshake(in, out, side.error) == StreamCodec::Handshake::kDone && !side.error;
    if (side.done) side.unread = std::move(in);
  }
  static void pass(Side& side, Buffer& bytes, Buffer& out, std::size_t segment) {
    while (!bytes.empty()) {
      const std::size_t n = std::min(segment, bytes.size());
      step(side, Buffer::copy_of(std::span<const std::uint8_t>(bytes.span().first(n))), out);
      bytes.trim_front(n);
    }
  }
};

// Seals `text` on one side and opens it on the other in segments; replies go back.
std::string carry(Side& from, Side& to, std::string_view text, std::size_t segment, std::error_code& error) {
  Buffer wire = Buffer::copy_of(text);
  CHECK_FALSE(from.codec->seal(wire));
  std::string got;
  Buffer first = std::exchange(to.unread, {}), reply;
  error = to.codec->open(first, reply);
  got += first.text();
  while (!wire.empty() && !error) {
    const std::size_t n = std::min(segment, wire.size());
    Buffer piece = Buffer::copy_of(std::span<const std::uint8_t>(wire.span().first(n)));
    wire.trim_front(n);
    error = to.codec->open(piece, reply);
    got += piece.text();
  }
  if (!reply.empty()) {
    Buffer none;
    CHECK_FALSE(from.codec->open(reply, none));
  }
  return got;
}

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

TEST_CASE("tls: what is wrong with a certificate is what the error says") {
  struct Row {
    const char* certificate;
    const char* name;
    tls::Errc error;
  };
  for (const Row& row :
       {Row{"a", "c.test", tls::Errc::kWrongHost}, Row{"a", "127.0.0.2", tls::Errc::kWrongHost},
        Row{"a", "x.y.wild.test", tls::Errc::kWrongHost}, Row{"expired", "a.test", tls::Errc::kCertificateExpired},
        Row{"unknown", "a.test", tls::Errc::kUnknownCa}, Row{"client", "client.test", tls::Errc::kBadCertificate}}) {
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

TEST_CASE("tls: pins") {
  tls::Sha256 wrong{};
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
