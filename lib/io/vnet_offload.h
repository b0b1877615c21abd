// Segmentation and checksum offload, as TUN devices and network cards have it: runs of TCP segments, or of UDP
// datagrams of one size, travel as one packet of up to 64 KiB, with a header that says where to cut (virtio_net_hdr,
// the VIRTIO specification section 5.1.6).
//
//   flags(1) | gso_type(1) | hdr_len(2) | gso_size(2) | csum_start(2) | csum_offset(2)      in the host's byte order
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "winze/base/buffer.h"

namespace winze::vnet {

inline constexpr std::size_t kHeaderSize = 10;
using Header = std::array<std::uint8_t, kHeaderSize>;

// Makes whole packets of what a device gave: one, its checksum completed where that is asked for; or, for a run
// to be cut, its packets. They are copied from `packet`, each with `room` around it. False, and nothing appended, when
// header and packet do not fit each other. `packet` is changed.
bool split(const Header& header, std::span<std::uint8_t> packet, Overhead room, BufferPool& pool,
           std::vector<Buffer>& out);

// How many of `packets` from the first on can travel as one: following TCP segments of one connection, in order, of one
// size (the last may be shorter), with right checksums; with `udp`, also UDP datagrams between two ports.
std::size_t mergeable(std::span<const std::span<std::uint8_t>> packets, bool udp);
// Prepares the first of `packets`, which are mergeable and at least two: with the others' payloads behind it, it is the
// packet that `header` describes. Returns the size of its own headers, which the others are to be stripped of.
std::size_t merge(std::span<const std::span<std::uint8_t>> packets, Header& header);

}  // namespace winze::vnet
