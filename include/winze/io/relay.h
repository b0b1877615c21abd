// Carries bytes both ways between two streams until both directions have ended, or datagrams between two conduits.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <system_error>

#include "winze/base/time.h"
#include "winze/io/conduit.h"
#include "winze/io/meter.h"
#include "winze/io/pending.h"
#include "winze/io/stream.h"

namespace winze {

// The timers of V2Ray's policy of the same names; but zero is no limit here, for all of them.
struct RelayOptions {
  Duration idle{std::chrono::seconds(300)};         // connIdle: no byte in either direction
  Duration uplink_only{std::chrono::seconds(2)};    // no byte for so long after the downlink has ended
  Duration downlink_only{std::chrono::seconds(5)};  // no byte for so long after the uplink has ended
  // How long the server's side waits for the client's first payload, so that an opening can share its packet.
  Duration first_payload{std::chrono::milliseconds(30)};
  // Counts what has been passed on, at least every 1 MiB, and delays or withholds what its allowance does not let pass.
  Meter meter = {};
};

struct RelayResult {
  std::error_code error;  // none: both directions ended in order, or a timer of the policy ended the rest
  bool timed_out = false;
  std::uint64_t up = 0;       // bytes from `client` to `server`
  std::uint64_t down = 0;     // bytes from `server` to `client`
  std::uint64_t spliced = 0;  // of both, those that the kernel moved from socket to socket
  std::uint64_t dropped = 0;  // datagrams, by either conduit
};

// Relays until both directions have ended, one fails, or a timer ends it; closes both streams and calls the handler.
// Each direction holds at most one buffer (512 KiB), or, where the bytes pass unchanged between two sockets and there
// are many of them, one pipe of 1 MiB that the kernel fills and drains (splice); with a rate no more than one piece of
// it at a time (see Allowance).
// Dropping the Pending breaks both streams off: neither's peer shall take that for an end.
Pending relay(Environment& environment, StreamPtr client, StreamPtr server, const RelayOptions& options,
              absl::AnyInvocable<void(RelayResult)> handler);

// Relays until one conduit fails or ends (Errc::kEof, no failure), or nothing has come from either for `options.idle`;
// the other timers mean nothing here. The bytes counted are those that came, without headers.
Pending relay(Environment& environment, ConduitPtr client, ConduitPtr server, const RelayOptions& options,
              absl::AnyInvocable<void(RelayResult)> handler);

}  // namespace winze
