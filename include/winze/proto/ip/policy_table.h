// Policies by the packets they are for: a lookup does not scan them.
//
// Policies whose selectors have the same shape (so many bits of each address; protocol, ports one or any) stand in one
// hash table. A lookup asks each shape once, the ones with the foremost policies first, and stops where no better one
// can follow. Ranges that are no prefix stand under the smallest prefix around them, and are compared.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "winze/base/address.h"
#include "winze/base/bytes.h"
#include "winze/proto/ip/selector.h"

namespace winze::ip {

// T is cheap to copy: a pointer, a number.
template <typename T>
class PolicyTable {
 public:
  using Id = std::uint64_t;

  // Policies of a lower `order` come first; within one, those that were added first.
  Id add(const SelectorPair& selectors, std::uint32_t order, T value) {
    const Id id = std::uint64_t{order} << 32 | next_++;
    for (const Selector& local : selectors.local) {
      for (const Selector& remote : selectors.remote) {
        insert({id, value, local, remote});
      }
    }
    std::ranges::sort(groups_, {}, &Group::best);
    return id;
  }

  // `selectors`: those it was added with.
  void remove(Id id, const SelectorPair& selectors) {
    for (const Selector& local : selectors.local) {
      for (const Selector& remote : selectors.remote) {
        const auto group = find_group(local, remote);
        if (group == groups_.end()) continue;
        const auto bucket = group->buckets.find(group->key_of(local, remote));
        if (bucket == group->buckets.end()) continue;
        Rules& rules = bucket->second;
        const auto gone = [&](const Rule& rule) { return rule.id == id; };
        rules.erase(std::remove_if(rules.begin(), rules.end(), gone), rules.end());
        if (rules.empty()) group->buckets.erase(bucket);
        // Its foremost policy may be this one; that it then seems to come earlier than it does costs a look at most.
        if (group->buckets.empty()) groups_.erase(group);
      }
    }
  }

  // The first policy for a packet that leaves: its source is local.
  std::optional<T> find_outbound(const Flow& flow) const {
    const Side local{flow.source, flow.source_port}, remote{flow.destination, flow.destination_port};
    const Rule* best = nullptr;
    for (const Group& group : groups_) {
      if (best != nullptr && best->id < group.best) break;
      if (const Rule* found = group.find(flow, local, remote); found != nullptr && (!best || found->id < best->id)) {
        best = found;
      }
    }
    return best == nullptr ? std::nullopt : std::optional<T>(best->value);
  }

  bool empty() const noexcept { return groups_.empty(); }

 private:
  // 128 bits of an address, and what of it counts. IPv4 stands in the lowest 32.
  using Bits = std::array<std::uint64_t, 2>;
  using Key = std::array<std::uint64_t, 5>;

  struct Side {
    Side(const IpAddress& from, std::uint16_t from_port) : address(from), bits(bits_of(from)), port(from_port) {}
    const IpAddress& address;
    Bits bits;
    std::uint16_t port;
  };
  struct Rule {
    Id id;
    T value;
    Selector local, remote;
  };
  struct Shape {
    bool v6;
    std::uint8_t local_bits, remote_bits;
    bool protocol, local_port, remote_port;  // one; or any, or a range

    friend bool operator==(const Shape&, const Shape&) = default;
  };

  // Nearly always one, which then stands in the table itself.
  using Rules = absl::InlinedVector<Rule, 1>;

  struct Group {
    Shape shape;
    Bits local_mask, remote_mask;
    Id best = UINT64_MAX;
    absl::flat_hash_map<Key, Rules> buckets;

    Key key_of(const Bits& local, const Bits& remote, std::uint8_t protocol, std::uint16_t local_port,
               std::uint16_t remote_port) const {
      return {local[0] & local_mask[0], local[1] & local_mask[1], remote[0] & remote_mask[0],
              remote[1] & remote_mask[1],
              (shape.protocol ? std::uint64_t{protocol} << 32 : 0) |
                  (shape.local_port ? std::uint64_t{local_port} << 16 : 0) | (shape.remote_port ? remote_port : 0)};
    }

    Key key_of(const Selector& local, const Selector& remote) const {
      return key_of(bits_of(local.first), bits_of(remote.first), protocol_of(local, remote), local.first_port,
                    remote.first_port);
    }

    const Rule* find(const Flow& flow, const Side& local, const Side& remote) const {
      if (shape.v6 != flow.source.is_v6()) return nullptr;
      if ((shape.local_port || shape.remote_port) && !flow.ports_known) return nullptr;
      const auto bucket = buckets.find(key_of(local.bits, remote.bits, flow.protocol, local.port, remote.port));
      if (bucket == buckets.end()) return nullptr;
      for (const Rule& rule : bucket->second) {
        if (rule.local.covers(local.address) && rule.remote.covers(remote.address) &&
            rule.local.covers_port(flow.ports_known, local.port) &&
            rule.remote.covers_port(flow.ports_known, remote.port)) {
          return &rule;
        }
      }
      return nullptr;
    }
  };

  static Bits bits_of(const IpAddress& address) {
    const auto bytes = address.bytes();
    if (address.is_v4()) return {0, load_u32(bytes.data())};
    return {load_u64(bytes.data()), load_u64(bytes.data() + 8)};
  }
  static Bits mask_of(bool v6, unsigned bits) {
    const unsigned from = v6 ? bits : 96 + bits;
    const auto half = [](unsigned n) { return n >= 64 ? ~std::uint64_t{0} : ~(~std::uint64_t{0} >> n); };
    return {from == 0 ? 0 : half(from), from <= 64 ? 0 : half(from - 64)};
  }
  // Of the smallest prefix around a range.
  static std::uint8_t prefix_bits(const Selector& selector) {
    const Bits first = bits_of(selector.first), last = bits_of(selector.last);
    const std::uint64_t high = first[0] ^ last[0], low = first[1] ^ last[1];
    const int same = high != 0 ? std::countl_zero(high) : 64 + std::countl_zero(low);
    return static_cast<std::uint8_t>(selector.first.is_v6() ? same : same - 96);
  }

  // A protocol stands in both selectors of a pair, or in one of them.
  static std::uint8_t protocol_of(const Selector& local, const Selector& remote) {
    return local.protocol != Selector::kAnyProtocol ? local.protocol : remote.protocol;
  }
  // Nothing for a pair that no packet can match.
  static std::optional<Shape> shape_of(const Selector& local, const Selector& remote) {
    const bool two_protocols = local.protocol != Selector::kAnyProtocol && remote.protocol != Selector::kAnyProtocol &&
                               local.protocol != remote.protocol;
    if (two_protocols || local.first.is_v6() != remote.first.is_v6()) return std::nullopt;
    return Shape{.v6 = local.first.is_v6(),
                 .local_bits = prefix_bits(local),
                 .remote_bits = prefix_bits(remote),
                 .protocol = protocol_of(local, remote) != Selector::kAnyProtocol,
                 .local_port = local.first_port == local.last_port,
                 .remote_port = remote.first_port == remote.last_port};
  }

  auto find_group(const Selector& local, const Selector& remote) {
    const auto shape = shape_of(local, remote);
    return shape ? std::ranges::find(groups_, *shape, &Group::shape) : groups_.end();
  }

  void insert(Rule rule) {
    const auto shape = shape_of(rule.local, rule.remote);
    if (!shape) return;
    auto group = std::ranges::find(groups_, *shape, &Group::shape);
    if (group == groups_.end()) {
      groups_.push_back({.shape = *shape,
                         .local_mask = mask_of(shape->v6, shape->local_bits),
                         .remote_mask = mask_of(shape->v6, shape->remote_bits)});
      group = groups_.end() - 1;
    }
    group->best = std::min(group->best, rule.id);
    Rules& rules = group->buckets[group->key_of(rule.local, rule.remote)];
    const auto at = std::ranges::upper_bound(rules, rule.id, {}, &Rule::id);
    rules.insert(at, std::move(rule));
  }

  std::vector<Group> groups_;  // by their best policy
  std::uint32_t next_ = 0;
};

}  // namespace winze::ip
