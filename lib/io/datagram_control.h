// What the kernel tells of a datagram beside its bytes, and takes with it: control messages, and the error queue.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>

#include "winze/base/address.h"
#include "winze/io/conduit.h"

namespace winze {

// Room for each kind that a message may have.
using ControlArea = std::array<char, 256>;

struct DatagramControl {
  std::size_t segment = 0;  // size of the datagrams that the kernel has joined; 0: one alone
  std::uint8_t traffic_class = 0;
  IpAddress local;
};
DatagramControl read_control(msghdr& message);

// Sets what of `control` is not 0, for a datagram to `to`; `area` must be zeroed, and outlive the message.
void write_control(msghdr& message, ControlArea& area, const DatagramControl& control, const IpAddress& to);

// Takes the next report off the socket's error queue; nothing when it is empty. `mtu` is 0 where it is of another kind.
// `area` holds what is quoted.
std::optional<TooBig> read_error(int fd, std::span<std::uint8_t> area);

}  // namespace winze
