// The security associations of a host, and which packets are for which (RFC 4301 sections 4.4.1 and 4.4.2).
//
// A Child is what IKE calls a child SA: one policy with {1 outbound, n inbound} SAs, so that a rekey makes new ones
// before it breaks the old (RFC 7296 section 2.8). Lookups cost the same for one as for 100,000.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/base/time.h"
#include "winze/proto/esp/mode.h"
#include "winze/proto/esp/sa.h"
#include "winze/proto/ip/fragment.h"
#include "winze/proto/ip/policy_table.h"
#include "winze/proto/ip/selector.h"

namespace winze::esp {

// How a child's packets travel: what the host that carries them keeps with it (tunnel::DataPlane).
struct Path {
  std::optional<Endpoint> peer;         // none: to where the first authentic packet comes from
  bool follow_peer = true;              // the newest authentic packet's source becomes the peer (RFC 7296 section 2.23)
  std::uint32_t carrier = 0;            // which of the host's ways out
  std::size_t mtu = 0;                  // of inner packets (inner_mtu()); 0: no limit
  IpAddress local;                      // this host's address that the peer's packets come to; unspecified: any
  TimePoint last_sent{}, last_heard{};  // packets of the child; the peer's are authentic
  // What the path itself has said, until it is tried again (RFC 1191 section 6.3).
  std::size_t learnt_mtu = 0;
  TimePoint learnt_until{};

  std::size_t least_mtu() const noexcept {
    return learnt_mtu == 0 ? mtu : mtu == 0 ? learnt_mtu : std::min(mtu, learnt_mtu);
  }
};

struct ChildConfig {
  Encapsulation how;
  ip::SelectorPair selectors = ip::SelectorPair::any();
  std::uint32_t order = 0;  // of its policy: lower ones come first
  Path path = {};
};

class Child {
 public:
  const Encapsulation& how() const noexcept { return how_; }
  // For a peer that moved (RFC 4555). The inbound SAs go on.
  void set_how(const Encapsulation& how) { how_ = how; }
  const ip::SelectorPair& selectors() const noexcept { return selectors_; }

  // Sends by this one from now on.
  void set_outbound(OutboundSa sa) { outbound_ = std::move(sa); }
  OutboundSa* outbound() noexcept { return outbound_ ? &*outbound_ : nullptr; }
  const OutboundSa* outbound() const noexcept { return outbound_ ? &*outbound_ : nullptr; }

  // esp::seal() for a packet that this child's policy was found for. kNoPolicy: there is no outbound SA.
  [[nodiscard]] Drop seal(Buffer& packet, const ip::Header& header, Outer& outer);

  Path path;

 private:
  friend class Database;
  explicit Child(const ChildConfig& config) : path(config.path), how_(config.how), selectors_(config.selectors) {}

  Encapsulation how_;
  ip::SelectorPair selectors_;
  std::optional<OutboundSa> outbound_;
  std::vector<std::uint32_t> inbound_;
  ip::PolicyTable<Child*>::Id policy_ = 0;
};

class Database {
 public:
  Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // The child is the database's, and stays in its place until it is removed, with all of its SAs.
  Child& add(const ChildConfig& config);
  void remove(Child& child);
  // Other traffic from now on, in another order of policies. Its SAs go on.
  void set_selectors(Child& child, const ip::SelectorPair& selectors, std::uint32_t order);
  // Packets for these selectors are dropped (kDiscarded) where no policy of a lower order says otherwise.
  void discard(const ip::SelectorPair& selectors, std::uint32_t order);

  // False, and nothing changes, when the SPI is taken.
  bool add_inbound(Child& child, InboundSa sa);
  bool remove_inbound(std::uint32_t spi);
  InboundSa* inbound(std::uint32_t spi) noexcept;
  // The SPIs of a child's inbound SAs, the oldest first.
  const std::vector<std::uint32_t>& inbound_of(const Child& child) const noexcept { return child.inbound_; }

  // The child for a packet that leaves; else null, and why.
  Child* select(const ip::Flow& flow, Drop& why) const;
  // The same for a packet with its header. Where policies ask for ports, fragments are held (kHeld) until they are one
  // packet, with `room` around it, which then stands in their place.
  Child* select(Buffer& packet, ip::Header& header, TimePoint now, Overhead room, Drop& why);
  // Opens an ESP packet, and holds what was in it against the selectors (RFC 4301 section 5.2). `child`: whose it was,
  // also when it was dropped; null for an unknown SPI. `inner` becomes the header of what was in it. Where the child's
  // selectors ask for ports, fragments are held until they are one packet.
  [[nodiscard]] Drop open(Buffer& packet, const Outer& outer, TimePoint now, Opened& opened, ip::Header& inner,
                          Child*& child);

  template <typename F>
  void for_each(F f) {
    for (auto& [at, child] : children_) f(*child);
  }
  std::size_t children() const noexcept { return children_.size(); }
  std::size_t inbound_count() const noexcept { return by_spi_.size(); }
  const ip::Reassembler& fragments() const noexcept { return fragments_; }

 private:
  bool join(Buffer& packet, ip::Header& header, TimePoint now, Overhead room, const void* owner);

  struct Entry {
    Child* child;
    InboundSa sa;
  };

  absl::flat_hash_map<const Child*, std::unique_ptr<Child>> children_;
  absl::flat_hash_map<std::uint32_t, std::unique_ptr<Entry>> by_spi_;
  ip::PolicyTable<Child*> policies_;  // null: discard
  std::size_t policies_with_ports_ = 0;
  ip::Reassembler fragments_;  // of packets in both directions; an inbound one's owner is its child
};

}  // namespace winze::esp
