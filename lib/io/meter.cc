#include "winze/io/meter.h"

#include <algorithm>
#include <chrono>

namespace winze {
namespace {

constexpr std::uint64_t kPiecesPerSecond = 20;
constexpr std::uint64_t kSmallestPiece = 4096;  // unless the rate is so low that one relay has smaller ones
constexpr std::uint64_t kLargestPiece = 1 << 20;
constexpr std::int64_t kCatchUp = std::chrono::nanoseconds(std::chrono::milliseconds(100)).count();
constexpr double kSecond = 1e9;

std::int64_t count_of(TimePoint at) { return at.time_since_epoch().count(); }

}  // namespace

void Allowance::set_rate(Way way, std::uint64_t bytes_per_second) {
  rate(way).bytes_per_second.store(bytes_per_second, std::memory_order_relaxed);
  rate(way).next.store(0, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_relaxed);
}

void Allowance::set_quota(std::uint64_t bytes, std::uint64_t used) {
  if (quota_.load(std::memory_order_relaxed) == 0) {
    used_.store(static_cast<std::int64_t>(used), std::memory_order_relaxed);
  }
  quota_.store(bytes, std::memory_order_relaxed);
  announced_.store(false, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_relaxed);
}

bool Allowance::is_spent() const {
  const auto quota = static_cast<std::int64_t>(quota_.load(std::memory_order_relaxed));
  return quota != 0 && used_.load(std::memory_order_relaxed) >= quota;
}

std::size_t Allowance::largest(Way way) const {
  const std::uint64_t bytes_per_second = rate(way).bytes_per_second.load(std::memory_order_relaxed);
  if (bytes_per_second == 0) return kLargestPiece;
  const std::uint64_t relays = std::max(relays_.load(std::memory_order_relaxed), std::uint32_t{1});
  const std::uint64_t low = std::clamp(bytes_per_second / kPiecesPerSecond, std::uint64_t{1}, kSmallestPiece);
  return std::clamp(bytes_per_second / kPiecesPerSecond / relays, low, kLargestPiece);
}

std::size_t Allowance::reserve(std::size_t bytes) {
  const auto quota = static_cast<std::int64_t>(quota_.load(std::memory_order_relaxed));
  std::int64_t used = used_.load(std::memory_order_relaxed);
  std::int64_t granted = 0;
  do {
    granted = std::min(static_cast<std::int64_t>(bytes), quota - std::min(used, quota));
  } while (granted != 0 && !used_.compare_exchange_weak(used, used + granted, std::memory_order_relaxed));
  return static_cast<std::size_t>(granted);
}

Allowance::Piece Allowance::book(Way way, std::size_t bytes, TimePoint now) {
  Piece piece{.bytes = bytes, .reserved = 0, .at = now, .epoch = epoch()};
  if (quota_.load(std::memory_order_relaxed) != 0) {
    piece.bytes = piece.reserved = reserve(piece.bytes);
    if (piece.bytes == 0) {
      if (on_spent_ && !announced_.exchange(true, std::memory_order_relaxed)) on_spent_();
      return piece;
    }
  }
  Rate& r = rate(way);
  const std::uint64_t bytes_per_second = r.bytes_per_second.load(std::memory_order_relaxed);
  if (bytes_per_second == 0) return piece;
  const double cost = static_cast<double>(piece.bytes) * kSecond / static_cast<double>(bytes_per_second);
  std::int64_t next = r.next.load(std::memory_order_relaxed);
  std::int64_t start = 0;
  do {
    start = std::max(next, count_of(now) - kCatchUp);
  } while (!r.next.compare_exchange_weak(next, start + static_cast<std::int64_t>(cost), std::memory_order_relaxed));
  piece.at = TimePoint(Duration(start));
  return piece;
}

void Allowance::give_back(std::size_t reserved) {
  if (reserved != 0) used_.fetch_sub(static_cast<std::int64_t>(reserved), std::memory_order_relaxed);
}

}  // namespace winze
