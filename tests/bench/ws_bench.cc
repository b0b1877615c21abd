// What framing and masking cost, by the byte: GB/s of payload for one core, sealed and opened in place.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "winze/base/random.h"
#include "winze/proto/ws/frame.h"

namespace winze::ws {
namespace {

void count(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

void seal(benchmark::State& state, bool masked) {
  const auto size = static_cast<std::size_t>(state.range(0));
  SeededRandom random(1);
  Framing framing(masked ? &random : nullptr, Ending::kBoth);
  Buffer data(size + kMaxHeaderSize);
  for (auto _ : state) {
    data.clear(framing.header_room());
    benchmark::DoNotOptimize(data.append(size));
    benchmark::DoNotOptimize(framing.seal(data));
    benchmark::ClobberMemory();
  }
  count(state);
}

// One frame per buffer, or frames of `frame` bytes of payload that fill it, as V2Ray's peers send them.
void open(benchmark::State& state, bool masked, std::size_t frame) {
  const auto size = static_cast<std::size_t>(state.range(0));
  SeededRandom random(1);
  Framing sender(masked ? &random : nullptr, Ending::kBoth);
  Framing receiver(masked ? nullptr : &random, Ending::kBoth);
  Buffer wire;
  for (std::size_t at = 0; at < size; at += frame) {
    Buffer data(std::min(frame, size - at) + kMaxHeaderSize, sender.header_room());
    std::memset(data.append(std::min(frame, size - at)), 'x', std::min(frame, size - at));
    if (sender.seal(data)) state.SkipWithError("seal");
    wire.append(data.span());
  }
  // In place means that the input is gone: each round works on what the last one left, which is as good as any payload,
  // behind headers that are put back.
  Buffer data = Buffer::copy_of(wire.span());
  const std::size_t whole = data.size();
  Buffer reply;
  for (auto _ : state) {
    if (frame < size) {
      data.clear();
      std::memcpy(data.append(whole), wire.data(), whole);
    } else {
      data.clear();
      std::memcpy(data.append(whole), wire.data(), kMaxHeaderSize);
    }
    if (receiver.open(data, reply)) state.SkipWithError("open");
    benchmark::ClobberMemory();
  }
  count(state);
}

void seal_masked(benchmark::State& state) { seal(state, true); }
void seal_plain(benchmark::State& state) { seal(state, false); }
void open_masked(benchmark::State& state) { open(state, true, SIZE_MAX); }
void open_plain(benchmark::State& state) { open(state, false, SIZE_MAX); }
// These two include the copy that brings the frames back.
void open_masked_2k_frames(benchmark::State& state) { open(state, true, 2048); }
void open_plain_2k_frames(benchmark::State& state) { open(state, false, 2048); }

BENCHMARK(seal_masked)->Arg(2048)->Arg(65536)->Arg(262144);
BENCHMARK(seal_plain)->Arg(2048)->Arg(65536);
BENCHMARK(open_masked)->Arg(2048)->Arg(65536)->Arg(262144);
BENCHMARK(open_plain)->Arg(2048)->Arg(65536);
BENCHMARK(open_masked_2k_frames)->Arg(65536);
BENCHMARK(open_plain_2k_frames)->Arg(65536);

}  // namespace
}  // namespace winze::ws
