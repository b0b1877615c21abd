// Sealing and opening ESP packets in memory, in batches of 64, against the bare AEAD call on the same sizes.
//
// The two run the same way: every packet is encrypted from the same bytes again and again, in place.
#include <benchmark/benchmark.h>
#include <openssl/aead.h>

#include <cstring>
#include <vector>

#include "winze/base/bytes.h"
#include "winze/proto/esp/sa.h"

#if defined(__x86_64__)
#  include <x86intrin.h>
#endif

namespace winze::esp {
namespace {

constexpr std::size_t kBatch = 64;

std::uint64_t cycles() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return 0;
#endif
}

struct Cipher {
  Encryption encryption;
  std::size_t key_size;
  const EVP_AEAD* (*aead)();
};
constexpr Cipher kCiphers[] = {{Encryption::kAesGcm, 16, EVP_aead_aes_128_gcm},
                               {Encryption::kAesGcm, 32, EVP_aead_aes_256_gcm},
                               {Encryption::kChaCha20Poly1305, 32, EVP_aead_chacha20_poly1305}};
constexpr const char* kNames[] = {"aes128gcm", "aes256gcm", "chacha20poly1305"};

SaConfig config_of(const Cipher& cipher) {
  SaConfig config;
  config.spi = 0x1000;
  config.esn = true;
  config.replay_window = 1024;
  config.algorithms.encryption = cipher.encryption;
  config.algorithms.encryption_key = Secret(cipher.key_size + 4);
  return config;
}

std::vector<Buffer> packets_of(std::size_t size, Overhead room) {
  std::vector<Buffer> packets;
  std::vector<std::uint8_t> bytes(size, 0x45);
  for (std::size_t i = 0; i < kBatch; ++i) packets.push_back(Buffer::copy_of(bytes, room));
  return packets;
}

void report(benchmark::State& state, std::size_t size, std::uint64_t ticks) {
  const auto packets = static_cast<double>(state.iterations()) * kBatch;
  state.SetLabel(kNames[state.range(0)]);
  state.SetBytesProcessed(static_cast<std::int64_t>(packets * static_cast<double>(size)));
  state.counters["cycles/packet"] = static_cast<double>(ticks) / packets;
}

void esp_seal(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(1));
  SeededRandom random(1);
  auto sa = OutboundSa::create(config_of(kCiphers[state.range(0)]), random);
  const Overhead room = sa->overhead();
  std::vector<Buffer> packets = packets_of(size, room);
  std::uint64_t ticks = 0;
  for (auto _ : state) {
    const std::uint64_t begin = cycles();
    const SealResult result = sa->seal(packets, kNextHeaderV4);
    ticks += cycles() - begin;
    if (result.sealed != kBatch) state.SkipWithError("not sealed");
    for (Buffer& packet : packets) {
      packet.clear(room.front);
      packet.append(size);
    }
  }
  report(state, size, ticks);
}

// Opening destroys its input, so each batch is copied in before, outside the time that counts; likewise below.
void esp_open(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(1));
  SeededRandom random(1);
  const SaConfig config = config_of(kCiphers[state.range(0)]);
  auto out = OutboundSa::create(config, random);
  std::vector<Buffer> sealed = packets_of(size, out->overhead());
  if (out->seal(sealed, kNextHeaderV4).sealed != kBatch) return state.SkipWithError("not sealed");
  std::vector<Buffer> packets = packets_of(sealed[0].size(), {64, 0});
  std::vector<Opened> results(kBatch);
  std::uint64_t ticks = 0;
  // A fresh SA each time, since the window takes a number once.
  for (auto _ : state) {
    state.PauseTiming();
    auto in = InboundSa::create(config);
    for (std::size_t i = 0; i < kBatch; ++i) {
      packets[i].clear(64);
      packets[i].append(std::as_const(sealed[i]).span());
    }
    state.ResumeTiming();
    const std::uint64_t begin = cycles();
    const std::size_t opened = in->open(packets, results);
    ticks += cycles() - begin;
    if (opened != kBatch) state.SkipWithError("not opened");
  }
  report(state, size, ticks);
}

void bare_seal(benchmark::State& state) {
  const Cipher& cipher = kCiphers[state.range(0)];
  const auto size = static_cast<std::size_t>(state.range(1));
  const std::vector<std::uint8_t> key(cipher.key_size);
  EVP_AEAD_CTX* context = EVP_AEAD_CTX_new(cipher.aead(), key.data(), key.size(), 16);
  std::vector<std::vector<std::uint8_t>> packets(kBatch, std::vector<std::uint8_t>(size + 64));
  std::uint8_t nonce[12]{}, associated[12]{};
  std::uint64_t ticks = 0, sequence = 0;
  for (auto _ : state) {
    const std::uint64_t begin = cycles();
    for (auto& packet : packets) {
      store_u64(nonce + 4, ++sequence);
      std::size_t n;
      EVP_AEAD_CTX_seal(context, packet.data(), &n, packet.size(), nonce, sizeof nonce, packet.data(), size, associated,
                        sizeof associated);
    }
    ticks += cycles() - begin;
  }
  EVP_AEAD_CTX_free(context);
  report(state, size, ticks);
}

void bare_open(benchmark::State& state) {
  const Cipher& cipher = kCiphers[state.range(0)];
  const auto size = static_cast<std::size_t>(state.range(1));
  const std::vector<std::uint8_t> key(cipher.key_size);
  EVP_AEAD_CTX* context = EVP_AEAD_CTX_new(cipher.aead(), key.data(), key.size(), 16);
  std::vector<std::uint8_t> sealed(size + 16);
  const std::uint8_t nonce[12]{}, associated[12]{};
  std::size_t n;
  EVP_AEAD_CTX_seal(context, sealed.data(), &n, sealed.size(), nonce, sizeof nonce, sealed.data(), size, associated,
                    sizeof associated);
  std::vector<std::vector<std::uint8_t>> packets(kBatch, sealed);
  std::uint64_t ticks = 0;
  for (auto _ : state) {
    state.PauseTiming();
    for (auto& packet : packets) packet = sealed;
    state.ResumeTiming();
    const std::uint64_t begin = cycles();
    bool opened = true;
    for (auto& packet : packets) {
      opened &= EVP_AEAD_CTX_open(context, packet.data(), &n, packet.size(), nonce, sizeof nonce, packet.data(),
                                  packet.size(), associated, sizeof associated) == 1;
    }
    ticks += cycles() - begin;
    if (!opened) state.SkipWithError("not opened");
  }
  EVP_AEAD_CTX_free(context);
  report(state, size, ticks);
}

void grid(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"cipher", "size"})->ArgsProduct({{0, 1, 2}, {64, 512, 1400}});
}
BENCHMARK(bare_seal)->Apply(grid);
BENCHMARK(esp_seal)->Apply(grid);
BENCHMARK(bare_open)->Apply(grid);
BENCHMARK(esp_open)->Apply(grid);

}  // namespace
}  // namespace winze::esp
