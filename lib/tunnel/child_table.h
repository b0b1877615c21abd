// The children of an IKE engine as those of a data plane's database: which is which, and what each has carried.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>

#include <cstdint>
#include <optional>

#include "winze/base/random.h"
#include "winze/proto/ike/event.h"
#include "winze/tunnel/data_plane.h"
#include "winze/tunnel/ipsec_host.h"

namespace winze::tunnel {

// What takes ESP without UDP.
struct RawCarriers {
  std::optional<std::uint32_t> v4, v6;
};

class ChildTable {
 public:
  ChildTable(DataPlane& plane, Random& random, std::size_t path_mtu, const RawCarriers& raw)
      : plane_(plane), random_(random), path_mtu_(path_mtu), raw_(raw) {}

  // An error: an SA that cannot be made; the child is then not here.
  absl::Status add(const ike::ChildUp& up);
  absl::Status add_inbound(const ike::ChildInbound& inbound);
  absl::Status set_outbound(const ike::ChildOutbound& outbound);
  void remove_inbound(const ike::ChildInboundGone& gone);
  void remove(ike::ChildId child);
  void migrate(const ike::Migrated& migrated);

  // The child whose newest SA of that direction has this SPI: one that was replaced may grow old without harm.
  std::optional<ike::ChildId> find_current(std::uint32_t spi, bool inbound) const;
  std::optional<ChildCounters> counters(ike::ChildId child) const;
  // When the newest packet of an SA's children came; long past: none has.
  TimePoint last_heard(ike::SaId sa) const;
  // When the newest packet of a child passed, either way.
  TimePoint last_traffic(ike::ChildId child) const;
  std::size_t size() const { return children_.size(); }

 private:
  struct Entry {
    ike::SaId sa{};
    esp::Child* child = nullptr;
    ChildCounters gone;  // by SAs that were replaced
  };

  // The traffic of a child in transport mode is that of the hosts themselves.
  void follow_hosts(esp::Child& child, const esp::Encapsulation& now);
  esp::Path path_of(const ike::Path& path, const esp::OutboundSa& sa, const esp::Encapsulation& how) const;
  ChildCounters counters_of(const Entry& entry) const;

  DataPlane& plane_;
  Random& random_;
  std::size_t path_mtu_;
  RawCarriers raw_;
  std::uint32_t added_ = 0;
  absl::flat_hash_map<ike::ChildId, Entry> children_;
  absl::flat_hash_map<std::uint32_t, ike::ChildId> by_outbound_spi_, by_inbound_spi_;
  absl::flat_hash_map<ike::SaId, std::vector<ike::ChildId>> of_sa_;
};

}  // namespace winze::tunnel
