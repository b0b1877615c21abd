// Finding an SA by its SPI, and a child by a packet's addresses, among few and among many, in random order; and the
// memory that an SA takes.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <vector>

#include "winze/proto/esp/database.h"

namespace winze::esp {
namespace {

SaConfig sa_config(std::uint32_t spi, std::uint32_t window) {
  return {.spi = spi, .algorithms = {.encryption_key = Secret(20)}, .replay_window = window};
}

IpAddress remote_of(std::uint32_t number) {
  const std::uint8_t bytes[] = {10, static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
                                static_cast<std::uint8_t>(number)};
  return IpAddress::v4(bytes);
}

// Visits 0 to count - 1 in an order that no prefetcher follows.
class Shuffled {
 public:
  explicit Shuffled(std::uint32_t count) : order_(1 << 16) {
    SeededRandom random(1);
    for (std::uint32_t& n : order_) {
      std::uint8_t bytes[4];
      random.fill(bytes);
      n = load_u32(bytes) % count;
    }
  }
  std::uint32_t next() { return order_[at_++ & (order_.size() - 1)]; }

 private:
  std::vector<std::uint32_t> order_;
  std::size_t at_ = 0;
};

void spi_lookup(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  Database database;
  Child& child = database.add({});
  const std::size_t before = mallinfo2().uordblks;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!database.add_inbound(child, *InboundSa::create(sa_config(kFirstSpi + i * 7919, 64)))) {
      return state.SkipWithError("SPI taken");
    }
  }
  state.counters["bytes/SA"] = static_cast<double>(mallinfo2().uordblks - before) / count;
  Shuffled order(count);
  for (auto _ : state) benchmark::DoNotOptimize(database.inbound(kFirstSpi + order.next() * 7919));
}
BENCHMARK(spi_lookup)->Arg(1)->Arg(100'000);

void policy_lookup(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  Database database;
  for (std::uint32_t i = 0; i < count; ++i) {
    database.add(
        {.selectors = {.local = {ip::Selector::any(false)}, .remote = {ip::Selector::prefix(remote_of(i), 32)}}});
  }
  Shuffled order(count);
  std::vector<ip::Flow> flows;
  for (std::size_t i = 0; i < 1 << 16; ++i) {
    flows.push_back({.source = remote_of(1 << 20), .destination = remote_of(order.next()), .protocol = ip::kUdp});
  }
  std::size_t at = 0;
  Drop why{};
  for (auto _ : state) {
    Child* const child = database.select(flows[at++ & (flows.size() - 1)], why);
    if (child == nullptr) state.SkipWithError("no child");
  }
}
BENCHMARK(policy_lookup)->Arg(1)->Arg(10'000);

}  // namespace
}  // namespace winze::esp
