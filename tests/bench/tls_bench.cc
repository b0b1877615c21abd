// Sealing and opening TLS 1.3 records, against the bare AEAD call on the same bytes.
#include <benchmark/benchmark.h>
#include <openssl/aead.h>

#include <fstream>
#include <sstream>

#include "winze/layer/tls.h"

namespace winze {
namespace {

std::string read_file(const std::string& name) {
  std::ifstream file(std::string(WINZE_TEST_DATA) + "/vectors/tls/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Session {
  BufferPool pool;
  std::unique_ptr<tls::Codec> client, server;

  Session() {
    auto c = tls::ClientContext::create({.system_roots = false, .roots_pem = {read_file("root.pem")}});
    auto s = tls::ServerContext::create(
        {.identities = {{read_file("a.pem"), Secret(std::string_view(read_file("a.key")))}}});
    client = tls::client_codec(*c, "a.test", pool);
    server = tls::server_codec(*s, pool);
    Buffer to_server, to_client, rest;
    std::error_code error;
    client->handshake(rest, to_server, error);
    while (!to_server.empty()) {
      server->handshake(to_server, to_client, error);
      to_server.release();
      if (!to_client.empty()) client->handshake(to_client, to_server, error);
      if (!to_client.empty()) rest = std::move(to_client);
      to_client.release();
    }
    // The client's library hands over after the first application bytes.
    Buffer first = Buffer::copy_of("x"), reply;
    (void)server->seal(first);
    rest.append(std::as_const(first).span());
    (void)client->open(rest, reply);
  }
};

void seal_open(benchmark::State& state) {
  Session s;
  const auto size = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    Buffer data = s.pool.acquire(size + 64, 16);
    data.append(size);
    (void)s.server->seal(data);
    Buffer reply;
    if (s.client->open(data, reply) || data.size() != size) state.SkipWithError("open failed");
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * size));
}
BENCHMARK(seal_open)->Arg(1024)->Arg(16384)->Arg(65536)->Arg(200000);

void bare_aead(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  std::vector<std::uint8_t> key(16), nonce(12), bytes(size + 16);
  EVP_AEAD_CTX* ctx = EVP_AEAD_CTX_new(EVP_aead_aes_128_gcm(), key.data(), key.size(), 16);
  for (auto _ : state) {
    std::size_t n;
    EVP_AEAD_CTX_seal(ctx, bytes.data(), &n, bytes.size(), nonce.data(), 12, bytes.data(), size, nullptr, 0);
    EVP_AEAD_CTX_open(ctx, bytes.data(), &n, bytes.size(), nonce.data(), 12, bytes.data(), n, nullptr, 0);
  }
  EVP_AEAD_CTX_free(ctx);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * size));
}
BENCHMARK(bare_aead)->Arg(1024)->Arg(16384);

void full_handshake(benchmark::State& state) {
  for (auto _ : state) Session s;
}
BENCHMARK(full_handshake);

}  // namespace
}  // namespace winze
