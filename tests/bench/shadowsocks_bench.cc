// What Shadowsocks costs for one core: GB/s of payload in a stream, sealed and opened, and datagrams sealed and opened.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>

#include "proto/shadowsocks/chunks.h"
#include "winze/base/bytes.h"
#include "winze/base/random.h"
#include "winze/proto/shadowsocks/datagram.h"

namespace winze::shadowsocks {
namespace {

constexpr Method kMethods[] = {Method::kAes128Gcm,     Method::kAes256Gcm,     Method::kChaCha20Poly1305,
                               Method::k2022Aes128Gcm, Method::k2022Aes256Gcm, Method::k2022ChaCha20Poly1305};

struct Still final : WallClock {
  UnixTime unix_now() const override { return 1'700'000'000; }
};

struct World {
  SeededRandom random{1};
  Still clock;
  BufferPool pool;
  Surroundings around() { return {random, clock, pool}; }
};

Keys keys_of(Method method) {
  return {.method = method, .identity = {}, .user = Secret(std::string(key_size(method), 'k'))};
}

void streams(benchmark::State& state, Method method, bool opens) {
  const auto size = static_cast<std::size_t>(state.range(0));
  World world;
  const Keys keys = keys_of(method);
  const std::string salt(key_size(method), 's');
  ChunkSealer sealer(method, keys.user.span(), as_bytes(salt), world.pool);
  ChunkOpener opener(method, keys.user.span(), as_bytes(salt), world.pool);
  const Overhead room = ChunkSealer::kOverhead;
  for (auto _ : state) {
    Buffer data = world.pool.acquire(room.front + size + room.back, room.front);
    std::uint8_t* bytes = data.append(size);
    benchmark::DoNotOptimize(bytes);
    sealer.seal(data);
    if (!opens) continue;
    if (opener.open(data)) state.SkipWithError("open");
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

void datagrams(benchmark::State& state, Method method) {
  const auto size = static_cast<std::size_t>(state.range(0));
  World world;
  auto options = std::make_shared<ServerOptions>();
  options->method = method;
  options->key = keys_of(method).user;
  DatagramClient client(std::make_shared<const Keys>(keys_of(method)), world.around());
  DatagramServer server(options, world.around());
  const Destination to("192.0.2.1", 7, Network::kUdp);
  const Overhead room = client.overhead();
  Destination peer;
  std::uint64_t session = 0;
  for (auto _ : state) {
    Buffer datagram = world.pool.acquire(room.front + size + room.back, room.front);
    benchmark::DoNotOptimize(datagram.append(size));
    if (!client.seal(datagram, to)) state.SkipWithError("seal");
    if (server.open(datagram, peer, session) != Drop::kNone) state.SkipWithError("open");
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

// A connection's worth of keys: what a new one costs, both ends.
void connections(benchmark::State& state, Method method) {
  World world;
  auto options = std::make_shared<ServerOptions>();
  options->method = method;
  options->key = keys_of(method).user;
  const auto keys = std::make_shared<const Keys>(keys_of(method));
  const Destination to("a.test", 80);
  for (auto _ : state) {
    ClientCodec client(keys, to, world.around());
    ServerCodec server(options, world.around());
    Buffer up = Buffer::copy_of("GET /", client.overhead()), none, reply;
    std::error_code error = client.seal(up);
    if (error || server.handshake(up, none, error) != StreamCodec::Handshake::kDone) state.SkipWithError("request");
    if (server.open(up, reply)) state.SkipWithError("open");
    Buffer down = Buffer::copy_of("200 OK", server.overhead());
    if (server.seal(down) || client.open(down, reply) || down.size() != 6) state.SkipWithError("answer");
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

const bool kRegistered = [] {
  for (const Method method : kMethods) {
    const std::string name(name_of(method));
    const auto add = [&](const std::string& what, auto run) {
      return benchmark::RegisterBenchmark((what + " " + name).c_str(), run);
    };
    add("seal", [method](benchmark::State& s) { streams(s, method, false); })->Arg(1400)->Arg(16000)->Arg(255'000);
    add("seal and open", [method](benchmark::State& s) { streams(s, method, true); })->Arg(1400)->Arg(255'000);
    add("datagrams", [method](benchmark::State& s) { datagrams(s, method); })->Arg(64)->Arg(1400);
    add("connections", [method](benchmark::State& s) { connections(s, method); });
  }
  return true;
}();

}  // namespace
}  // namespace winze::shadowsocks
