#include "winze/tunnel/address_pool.h"

#include <algorithm>
#include <array>

namespace winze::tunnel {
namespace {

// The last 64 bits; what stands before them is the same for all addresses of a pool.
std::uint64_t low_bits(const IpAddress& address) {
  const auto bytes = address.bytes();
  std::uint64_t out = 0;
  for (std::size_t i = bytes.size() - std::min<std::size_t>(bytes.size(), 8); i < bytes.size(); ++i) {
    out = out << 8 | bytes[i];
  }
  return out;
}

IpAddress with_low_bits(const IpAddress& address, std::uint64_t low) {
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(address.bytes(), bytes.begin());
  const std::size_t size = address.bytes().size();
  for (std::size_t i = 0; i < std::min<std::size_t>(size, 8); ++i, low >>= 8) {
    bytes[size - 1 - i] = static_cast<std::uint8_t>(low);
  }
  return address.is_v6() ? IpAddress::v6(bytes) : IpAddress::v4(std::span(bytes).first<4>());
}

bool same_high_bits(const IpAddress& a, const IpAddress& b) {
  return a.is_v6() == b.is_v6() && with_low_bits(a, 0) == with_low_bits(b, 0);
}

}  // namespace

absl::StatusOr<AddressPool> AddressPool::parse(std::string_view text) {
  const auto error = [&](std::string_view why) {
    return absl::InvalidArgumentError("\"" + std::string(text) + "\" " + std::string(why));
  };
  if (const std::size_t dash = text.find('-'); dash != text.npos) {
    const auto first = IpAddress::parse(text.substr(0, dash)), last = IpAddress::parse(text.substr(dash + 1));
    if (!first || !last) return error("is no range: ADDRESS-ADDRESS is wanted");
    if (!same_high_bits(*first, *last) || *last < *first) return error("does not go upwards, or is too wide");
    return AddressPool(*first, std::max<std::uint64_t>(low_bits(*last) - low_bits(*first) + 1, 1));
  }
  const auto prefix = Prefix::parse(text);
  if (!prefix) return error("is no pool: ADDRESS/BITS or ADDRESS-ADDRESS is wanted");
  const unsigned whole = prefix->address.is_v6() ? 128 : 32;
  // Of larger networks the first so many addresses.
  const unsigned host_bits = std::min(whole - prefix->bits, 63u);
  const std::uint64_t count = std::uint64_t{1} << host_bits;
  const std::uint64_t at = low_bits(prefix->address) & (count - 1);
  const bool small = host_bits < 2;
  const std::uint64_t from = at == 0 && !small ? 1 : at;
  const std::uint64_t end = prefix->address.is_v4() && !small ? count - 1 : count;
  if (from >= end) return error("leaves no address to give");
  return AddressPool(with_low_bits(prefix->address, (low_bits(prefix->address) & ~(count - 1)) + from), end - from);
}

IpAddress AddressPool::at(Offset offset) const { return with_low_bits(first_, low_bits(first_) + offset); }

std::optional<AddressPool::Offset> AddressPool::offset_of(const IpAddress& address) const {
  if (!same_high_bits(first_, address)) return std::nullopt;
  const Offset offset = low_bits(address) - low_bits(first_);
  return offset < size_ ? std::optional(offset) : std::nullopt;
}

std::optional<AddressPool::Offset> AddressPool::choose(std::string_view identity,
                                                       const std::optional<IpAddress>& wish) {
  const auto wished = wish ? offset_of(*wish) : std::nullopt;
  if (const auto own = free_of_.find(std::string(identity)); own != free_of_.end()) {
    return wished && std::ranges::find(own->second, *wished) != own->second.end() ? *wished : own->second.back();
  }
  if (wished && !leases_.contains(*wished)) return *wished;
  while (!forgotten_.empty() && leases_.contains(forgotten_.back())) forgotten_.pop_back();
  while (fresh_ < size_ && leases_.contains(fresh_)) ++fresh_;
  if (!forgotten_.empty()) return forgotten_.back();
  if (fresh_ < size_) return fresh_;
  if (!free_.empty()) return free_.front();
  return std::nullopt;
}

std::optional<IpAddress> AddressPool::take(std::string_view identity, const std::optional<IpAddress>& wish) {
  const auto offset = choose(identity, wish);
  if (!offset) return std::nullopt;
  if (leases_.contains(*offset)) forget(*offset);
  leases_.emplace(*offset, Lease{.identity = std::string(identity), .place = {}});
  ++taken_;
  return at(*offset);
}

// A lease that is not taken.
void AddressPool::forget(Offset offset) {
  const auto lease = leases_.find(offset);
  const auto own = free_of_.find(lease->second.identity);
  std::erase(own->second, offset);
  if (own->second.empty()) free_of_.erase(own);
  free_.erase(lease->second.place);
  leases_.erase(lease);
}

void AddressPool::give_back(const IpAddress& address) {
  const auto offset = offset_of(address);
  const auto lease = offset ? leases_.find(*offset) : leases_.end();
  if (lease == leases_.end() || !lease->second.taken) return;
  lease->second.taken = false;
  lease->second.place = free_.insert(free_.end(), *offset);
  free_of_[lease->second.identity].push_back(*offset);
  --taken_;
  if (free_.size() <= kRemembered) return;
  const Offset oldest = free_.front();
  forget(oldest);
  if (oldest < fresh_) forgotten_.push_back(oldest);
}

}  // namespace winze::tunnel
