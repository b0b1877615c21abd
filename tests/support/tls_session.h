// A TLS client and server joined by bytes, with the certificates of tests/vectors/tls; and BoringSSL's own client.
#pragma once

#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include "winze/base/error.h"
#include "winze/layer/tls.h"

namespace winze::test {

inline std::string read_file(const std::string& name) {
  std::ifstream file(std::string(WINZE_TEST_DATA) + "/vectors/tls/" + name);
  REQUIRE_MESSAGE(file, name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline tls::Identity identity(const std::string& name) {
  return {read_file(name + ".pem"), Secret(std::string_view(read_file(name + ".key")))};
}

inline std::shared_ptr<tls::ClientContext> client_context(tls::ClientOptions options = {}) {
  options.system_roots = false;
  if (options.roots_pem.empty()) options.roots_pem = {read_file("root.pem")};
  auto context = tls::ClientContext::create(options);
  REQUIRE_MESSAGE(context.ok(), context.status().ToString());
  return *context;
}

inline std::shared_ptr<tls::ServerContext> server_context(tls::ServerOptions options = {}) {
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
    Buffer hello;
    step(client, {}, hello);
    shake_from(std::move(hello), segment);
  }
  // The same from the client's first message on.
  void shake_from(Buffer to_server, std::size_t segment = 65536) {
    Buffer to_client;
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
inline std::string carry(Side& from, Side& to, std::string_view text, std::size_t segment, std::error_code& error) {
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

// BoringSSL's own client, records and all.
class LibraryClient {
 public:
  explicit LibraryClient(std::uint16_t version = TLS1_3_VERSION, const char* ciphers = "ALL") {
    REQUIRE(SSL_CTX_set_min_proto_version(context_.get(), version) == 1);
    REQUIRE(SSL_CTX_set_max_proto_version(context_.get(), version) == 1);
    REQUIRE(SSL_CTX_set_strict_cipher_list(context_.get(), ciphers) == 1);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_connect_state(ssl());
    bssl::UniquePtr<BIO> in(BIO_new(BIO_s_mem())), out(BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(in.get(), -1);
    SSL_set_bio(ssl(), in.release(), out.release());
  }

  SSL* ssl() { return ssl_.get(); }
  Buffer sent() {
    Buffer out;
    const std::size_t size = BIO_pending(SSL_get_wbio(ssl()));
    if (size != 0) BIO_read(SSL_get_wbio(ssl()), out.append(size), static_cast<int>(size));
    return out;
  }
  void receive(const Buffer& bytes) {
    if (!bytes.empty()) BIO_write(SSL_get_rbio(ssl()), bytes.data(), static_cast<int>(bytes.size()));
  }
  std::string read() {
    char text[100];
    const int n = SSL_read(ssl(), text, sizeof text);
    return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : "nothing";
  }

  // Until both are done, or the server has failed.
  std::error_code shake(tls::Codec& server) {
    std::error_code error;
    for (bool done = false; !error && (!done || SSL_in_init(ssl()));) {
      SSL_do_handshake(ssl());
      Buffer in = sent(), out;
      if (!done) done = server.handshake(in, out, error) == StreamCodec::Handshake::kDone;
      receive(out);
    }
    return error;
  }

 private:
  bssl::UniquePtr<SSL_CTX> context_{SSL_CTX_new(TLS_method())};
  bssl::UniquePtr<SSL> ssl_;
};

}  // namespace winze::test
