// What VMess's chunks cost, by the byte: GB/s of payload for one core. `bare` is the AEAD call alone, over as much.
#include <benchmark/benchmark.h>

#include <cstring>

#include "proto/vmess/header.h"
#include "support/vmess_peers.h"

namespace winze::vmess {
namespace {

constexpr BodyFormat kGcm{.security = Security::kAes128Gcm, .options = 0x0d};
constexpr BodyFormat kChaCha{.security = Security::kChaCha20Poly1305, .options = 0x0d};

void count(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

void seal(benchmark::State& state, const BodyFormat& format) {
  const auto size = static_cast<std::size_t>(state.range(0));
  SeededRandom random(1);
  BufferPool pool;
  const BodyKeys keys;
  ChunkSealer sealer(format, keys, keys, pool, random);
  for (auto _ : state) {
    Buffer data = pool.acquire(size + 256, 64);
    benchmark::DoNotOptimize(data.append(size));
    sealer.seal(data, 64);
    benchmark::ClobberMemory();
  }
  count(state);
}

// Chunks as `piece` bytes at a time make them: 1966 is V2Ray's. The copy that brings the input back is included.
void open(benchmark::State& state, const BodyFormat& format, std::size_t piece) {
  const auto size = static_cast<std::size_t>(state.range(0));
  SeededRandom random(1);
  BufferPool pool;
  const BodyKeys keys;
  ChunkSealer sealer(format, keys, keys, pool, random);
  Buffer wire;
  for (std::size_t at = 0; at < size; at += piece) {
    Buffer data(std::min(piece, size - at) + 256, 64);
    std::memset(data.append(std::min(piece, size - at)), 'x', std::min(piece, size - at));
    sealer.seal(data, 64);
    wire.append(std::as_const(data).span());
  }
  for (auto _ : state) {
    // A new opener: chunks have numbers.
    ChunkOpener opener(format, keys, keys, pool);
    Buffer data = pool.acquire(wire.size() + 128, 64);
    data.append(std::as_const(wire).span());
    if (opener.open(data)) state.SkipWithError("open");
    benchmark::ClobberMemory();
  }
  count(state);
}

void bare(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::array<std::uint8_t, 16> key{};
  const std::array<std::uint8_t, 12> nonce{};
  const Aead aead = *Aead::create(AeadAlgorithm::kAesGcm, key);
  Buffer data(size + 16);
  std::memset(data.append(size), 'x', size);
  std::uint8_t tag[16];
  for (auto _ : state) {
    for (std::size_t at = 0; at < size; at += kMaxChunkData) {
      (void)aead.seal(nonce, {}, data.span().subspan(at, std::min(kMaxChunkData, size - at)), tag);
    }
    benchmark::ClobberMemory();
  }
  count(state);
}

void seal_gcm(benchmark::State& state) { seal(state, kGcm); }
void seal_chacha(benchmark::State& state) { seal(state, kChaCha); }
void open_gcm(benchmark::State& state) { open(state, kGcm, SIZE_MAX); }
void open_gcm_of_v2ray(benchmark::State& state) { open(state, kGcm, 1966); }

// A request and its answer: what a new connection costs both sides together.
void opening(benchmark::State& state) {
  test::VmessPeers peers;
  const auto user = std::make_shared<const UserKeys>(test::VmessPeers::id());
  for (auto _ : state) {
    ClientCodec client(user, Destination("example.org", 443), {}, peers.surroundings());
    Buffer data = Buffer::copy_of("x", client.overhead()), reply, out;
    (void)client.seal(data);
    const auto server = peers.make_server();
    std::error_code error;
    if (server->handshake(data, out, error) != StreamCodec::Handshake::kDone) state.SkipWithError("handshake");
    Buffer answer = Buffer::copy_of("y", server->overhead());
    (void)server->seal(answer);
    if (client.open(answer, reply)) state.SkipWithError("open");
  }
}

// An authentication id that is the last one's of so many users.
void find_user(benchmark::State& state) {
  UserTable table;
  Uuid id;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    std::memcpy(id.bytes.data(), &i, sizeof i);
    table.add(id, {});
  }
  SeededRandom random(1);
  const AuthId auth_id = make_auth_id(UserKeys(id).auth, 1000, random);
  for (auto _ : state) benchmark::DoNotOptimize(table.find(auth_id, 1000));
}

BENCHMARK(bare)->Arg(2048)->Arg(250000);
BENCHMARK(seal_gcm)->Arg(2048)->Arg(15000)->Arg(65536)->Arg(250000);
BENCHMARK(seal_chacha)->Arg(250000);
BENCHMARK(open_gcm)->Arg(2048)->Arg(65536)->Arg(250000);
BENCHMARK(open_gcm_of_v2ray)->Arg(65536);
BENCHMARK(opening);
BENCHMARK(find_user)->Arg(1)->Arg(100)->Arg(1000);

}  // namespace
}  // namespace winze::vmess
