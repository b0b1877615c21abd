// ICMP echo, for ends of a tunnel that have no network interface.
#pragma once

#include <winze/base/address.h>
#include <winze/base/buffer.h>

#include <cstdint>
#include <optional>

namespace ipsec_example {

// An echo request with `size` bytes of payload; both addresses are of one version.
winze::Buffer make_echo_request(const winze::IpAddress& from, const winze::IpAddress& to, std::uint16_t sequence,
                                std::size_t size);
// The sequence number of an echo reply; nothing for any other packet.
std::optional<std::uint16_t> echo_reply_of(const winze::Buffer& packet);
// Makes the reply of an echo request, in place; false, and nothing done, for any other packet.
bool answer_echo(winze::Buffer& packet);

}  // namespace ipsec_example
