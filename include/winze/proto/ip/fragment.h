// IP fragments: cutting before encryption, joining after decryption, so that policies see ports and hosts see whole
// packets.
//
// Base documents: RFC 791 section 3.2, RFC 815, RFC 8200 section 4.5, RFC 5722 (overlaps), RFC 6864 (identification).
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "winze/base/address.h"
#include "winze/base/buffer.h"
#include "winze/base/time.h"
#include "winze/proto/ip/header.h"

namespace winze::ip {

// Cuts a packet whose header.dont_fragment is clear into fragments of at most `mtu` bytes (68 or more; IPv6 1280),
// which are appended to `out`, each with `room` around it. Otherwise false: IPv6 only its sender may cut. A packet that
// fits is appended as it is.
bool fragment(Buffer packet, const Header& header, std::size_t mtu, Overhead room, std::vector<Buffer>& out);

// Joins fragments. Holds copies, so that a small fragment never keeps a large block from its pool; at a limit the
// oldest packet gives way. Pieces that overlap end their packet (they are attacks), but an exact repetition is let
// pass.
class Reassembler {
 public:
  struct Limits {
    std::size_t bytes = 1 << 20;  // held in all, bookkeeping included
    std::size_t fragments = 128;  // of one packet
    Duration timeout = std::chrono::seconds(30);
  };
  struct Counters {
    std::uint64_t joined = 0;     // whole packets
    std::uint64_t malformed = 0;  // fragments whose size or place cannot be
    std::uint64_t overlaps = 0;   // packets ended by one
    std::uint64_t evicted = 0;    // packets that gave way, or came in too many fragments
    std::uint64_t timed_out = 0;  // packets
  };

  Reassembler() : Reassembler(Limits{}) {}
  explicit Reassembler(const Limits& limits) : limits_(limits) {}

  // Takes a fragment (header.is_fragment()); gives the packet that it completes, with `room` around it. Fragments of
  // different owners are never joined.
  std::optional<Buffer> add(std::span<const std::uint8_t> packet, const Header& header, TimePoint now, Overhead room,
                            const void* owner = nullptr);
  // When on_deadline() has packets to give up; kNever while nothing is held.
  TimePoint deadline() const noexcept { return ages_.empty() ? kNever : packets_.find(ages_.front())->second.deadline; }
  void on_deadline(TimePoint now);

  std::size_t held_bytes() const noexcept { return held_; }
  const Counters& counters() const noexcept { return counters_; }

 private:
  struct Key {
    IpAddress source, destination;
    std::uint32_t identification;
    std::uint8_t protocol;  // IPv4; 0 for IPv6 (RFC 8200 section 4.5)
    const void* owner;

    friend bool operator==(const Key&, const Key&) = default;
    template <typename H>
    friend H AbslHashValue(H state, const Key& key) {
      const auto from = key.source.bytes(), to = key.destination.bytes();
      state = H::combine_contiguous(std::move(state), from.data(), from.size());
      state = H::combine_contiguous(std::move(state), to.data(), to.size());
      return H::combine(std::move(state), key.identification, key.protocol, key.owner);
    }
  };
  struct Piece {
    std::uint32_t begin = 0, end = 0;  // in the packet's fragmentable part
    std::vector<std::uint8_t> bytes;
  };
  struct Partial {
    std::vector<std::uint8_t> head;  // the first fragment's headers, made to lead the whole packet
    std::vector<Piece> pieces;       // in order
    std::uint32_t received = 0;      // bytes
    std::uint32_t size = 0;          // of the fragmentable part; 0: the last fragment has not come
    std::size_t held = 0;
    TimePoint deadline;
    std::list<Key>::iterator age;
  };
  using Packets = absl::flat_hash_map<Key, Partial>;

  bool insert(Partial& partial, std::span<const std::uint8_t> packet, const Header& header);
  Buffer join(const Partial& partial, Overhead room) const;
  void hold(Partial& partial, std::size_t bytes);
  void drop(Packets::iterator packet);

  Limits limits_;
  Packets packets_;
  std::list<Key> ages_;  // oldest first
  std::size_t held_ = 0;
  Counters counters_;
};

}  // namespace winze::ip
