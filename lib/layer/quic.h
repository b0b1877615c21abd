// QUIC, which is UDP to port 443, is better off as TCP through a proxy; browsers go over to that where it finds no way.
#pragma once

#include <cstdint>

#include "packet_dialer.h"

namespace winze {

inline constexpr std::uint16_t kQuicPort = 443;

// `conduit`, without what is sent to that port: it is dropped.
ConduitPtr without_quic(ConduitPtr conduit);
// What opens conduits with `open`: none to that port (Errc::kRefusedPolicy), and for everyone() such ones.
OpenConduit without_quic(Environment& environment, OpenConduit open);

}  // namespace winze
