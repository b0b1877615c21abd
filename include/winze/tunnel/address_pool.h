// Addresses that a gateway gives to its clients: none twice at a time, the same again to who comes back. Every
// operation costs the same however large the pool is, and memory grows with what was given, not with the pool.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "winze/base/address.h"

namespace winze::tunnel {

class AddressPool {
 public:
  // "10.3.0.0/24": all but the network's own address and, of IPv4, the last, which is its broadcast; "10.3.0.10/24":
  // from that one on; "10.3.0.10-10.3.0.250": these.
  static absl::StatusOr<AddressPool> parse(std::string_view addresses);

  // One for `identity`. Of those that it gave back `wish`, else the last; or `wish`, where nobody is remembered to have
  // had it, so that clients keep their addresses when the gateway has begun anew; or one that nobody is remembered to
  // have had; or the one that was given back longest ago. An identity may have several at once. None: all are taken.
  std::optional<IpAddress> take(std::string_view identity, const std::optional<IpAddress>& wish = std::nullopt);
  // What take() gave. Anything else is no matter.
  void give_back(const IpAddress& address);

  bool is_v6() const { return first_.is_v6(); }
  std::uint64_t size() const { return size_; }
  std::uint64_t taken() const { return taken_; }

  // So many that were given back are remembered with who had them.
  static constexpr std::size_t kRemembered = 1 << 16;

 private:
  using Offset = std::uint64_t;
  struct Lease {
    std::string identity;
    bool taken = true;
    std::list<Offset>::iterator place;  // in `free_`, when it is not taken
  };

  AddressPool(const IpAddress& first, std::uint64_t size) : first_(first), size_(size) {}
  IpAddress at(Offset offset) const;
  std::optional<Offset> offset_of(const IpAddress& address) const;
  std::optional<Offset> choose(std::string_view identity, const std::optional<IpAddress>& wish);
  void forget(Offset offset);

  IpAddress first_;
  std::uint64_t size_;
  std::uint64_t taken_ = 0;
  Offset fresh_ = 0;  // nobody has had those from here on, but for those in `leases_`
  absl::flat_hash_map<Offset, Lease> leases_;
  std::list<Offset> free_;                                         // given back, the longest ago first
  absl::flat_hash_map<std::string, std::vector<Offset>> free_of_;  // the last one last
  std::vector<Offset> forgotten_;  // below `fresh_`, but for those in `leases_` nobody is remembered to have had them
};

}  // namespace winze::tunnel
